"""Layers that are commands of their own: slower, and asked only by name. Each takes `--package`."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.mutants.mutant import ROOT
from tests.mutants.runs import Outcome, Verdict, end

COMMANDS: dict[str, tuple[str, ...]] = {
    "simulation": ("tests.simulation", "--seconds", "30", "--seed", "1", "--jobs", "1"),
    "torture": ("tests.torture", "--minutes", "2", "--seed", "1"),
}
LIMIT_S = {"simulation": 150.0, "torture": 420.0}
_BY_STATUS = {0: Verdict.PASSED, 1: Verdict.CAUGHT}


def run_command(layer: str, package: Path) -> Outcome:
    """What the command says of `package`: 0 is nothing, 1 is something, all else is a fault of its own."""
    module, *options = COMMANDS[layer]
    output = package.parents[1] / "output"
    began = time.monotonic()
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *options, "--package", str(package.parent)],
            cwd=ROOT, start_new_session=True, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            verdict = _BY_STATUS.get(process.wait(LIMIT_S[layer]), Verdict.BROKEN)
        except subprocess.TimeoutExpired:
            verdict = Verdict.HUNG
        finally:
            end(process)
    said = output.read_text("utf-8", "replace")
    return Outcome(verdict, f"{layer}/{layer}/after {time.monotonic() - began:.0f} s", said)
