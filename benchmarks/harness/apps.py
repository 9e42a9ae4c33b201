"""Run one of `benchmarks/apps` in a process of its own, and read the JSON object that it prints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.harness.processes import BenchmarkError, clean_environment

ROOT = Path(__file__).parents[2]
LIMIT_S = 300


def run_app(name: str, *arguments: str, python: str | Path = sys.executable) -> dict[str, Any]:
    """What `apps/NAME.py` prints. Raises BenchmarkError."""
    command = [str(python), str(ROOT / "benchmarks" / "apps" / f"{name}.py"), *arguments]
    environment = {**clean_environment(), "PYTHONPATH": _path()}
    done = subprocess.run(command, capture_output=True, timeout=LIMIT_S, env=environment, check=False)
    if done.returncode:
        raise BenchmarkError(f"{name}: {done.stderr.decode()[-1000:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _path() -> str:
    """This checkout first, then whatever was given."""
    given = clean_environment().get("PYTHONPATH")
    return f"{ROOT}:{given}" if given else str(ROOT)
