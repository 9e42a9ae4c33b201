"""The Supabase CLI: the one that tests/clients/setup installs, or that SUPABASE_CLI or the path names."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_INSTALLED = Path(__file__).parents[1] / "build" / "cli" / "node_modules" / ".bin" / "supabase"
LIMIT_S = 60.0


def program() -> str | None:
    """Where it is; None where it isn't."""
    return os.environ.get("SUPABASE_CLI") or (
        str(_INSTALLED) if _INSTALLED.exists() else shutil.which("supabase")
    )


needs_cli = pytest.mark.skipif(
    program() is None, reason="SKIPPED LOUDLY: there is no Supabase CLI here (tests/clients/setup gets it)"
)


def supabase(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it in a project's folder, where it finds nothing of its user and calls nobody."""
    quiet = {"SUPABASE_TELEMETRY_DISABLED": "1", "DO_NOT_TRACK": "1", "SUPABASE_NO_UPDATE_NOTIFIER": "1"}
    return subprocess.run(
        [str(program()), *arguments],
        cwd=folder,
        env={**os.environ, "HOME": str(folder), **quiet},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )


def assert_done(run: subprocess.CompletedProcess[str]) -> None:
    """It succeeded; else what it said."""
    assert run.returncode == 0, run.stdout + run.stderr
