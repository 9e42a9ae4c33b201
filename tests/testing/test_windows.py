"""The kit needs nothing that Windows lacks, as long as it needs no Postgres. Windows has a stand-in here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(240)
@pytest.mark.slow
def test_the_kit_does_without_what_windows_lacks() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.testing.without_posix"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "all of it"


def test_what_windows_lacks_is_noticed() -> None:
    """The stand-in refuses what it says."""
    code = "from tests.testing.without_posix import take_away; take_away(); import outlast.host.server"
    code += "; from outlast.host.memory import memory_limit_bytes; memory_limit_bytes()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert "No module named 'resource', which outlast.host.memory imports" in done.stderr
