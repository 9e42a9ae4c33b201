"""Every process of a project hashes alike, and nobody outside knows how."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import outlast
from outlast.host.hash_seed import seed_of

PACKAGES = str(Path(outlast.__file__).parents[1])


def printed(code: str, **env: str) -> str:
    """What a new process prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": PACKAGES, **env},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_instances_of_a_project_have_one_seed_and_others_another() -> None:
    direct, pooled = "postgresql://u:s3cret@db:5432/p", "postgresql://u.ref:s3cret@pooler:6543/p"
    assert seed_of(direct) == seed_of(pooled)
    assert seed_of(direct) != seed_of(direct.replace("s3cret", "another"))
    assert seed_of("postgresql://[") != seed_of("")
    assert 0 <= seed_of("host=/tmp dbname=p") < 2**32


@pytest.mark.parametrize("given", ["1234", "0"])
def test_a_seed_that_is_given_is_kept(given: str) -> None:
    code = (
        "import os; from outlast.host.hash_seed import hash_alike; hash_alike('x'); "
        "print(os.environ['PYTHONHASHSEED'])"
    )
    assert printed(code, PYTHONHASHSEED=given) == given


def test_a_process_without_one_starts_anew_with_it() -> None:
    code = "from outlast.host.hash_seed import hash_alike; hash_alike('x'); print(hash('a'))"
    assert len({printed(code) for _ in range(2)}) == 1


def test_the_command_starts_anew_before_it_has_loaded_anything() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "outlast", "serve", "--port", "0"],
        env={"PYTHONPATH": PACKAGES, "SUPABASE_DB_URL": "postgresql://["},
        capture_output=True,
        text=True,
        timeout=45,
    )
    head = "import time: self [us] | cumulative | imported package\n"
    _, before, after = done.stderr.split(head)  # one such list for each process
    assert "SUPABASE_DB_URL" in after
    assert "outlast.cli" in after
    assert not [name for name in ("outlast.cli", "outlast.sdk", "click", "pydantic") if name in before]
