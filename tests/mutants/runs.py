"""Running a selection of tests against a copy of the package, and what came of it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from tests.mutants import plugin
from tests.mutants.mutant import ROOT, Mutant, mutated

TEST_LIMIT_S = {
    "unit": 20, "functions": 20, "store": 20, "engine": 25, "web": 25, "queues": 25,
    "http": 45, "hostile": 45, "crash": 90,
}  # fmt: skip
"""After so long a test of that layer hangs: several times what the slowest of them takes."""

ORIGINAL = "original"
"""The folder of the copy that all others are made of."""

END_S = 15.0
SMOKE = "tests/engine/test_steps.py::test_a_workflow_returns_what_its_steps_return"
"""Passes on every mutant that is worth asking about: one that can't run two steps isn't short of a guard."""


class Verdict(StrEnum):
    """What a run says of a mutant."""

    CAUGHT = "caught"
    HUNG = "caught, by hanging"
    PASSED = "survived"
    SKIPPED = "not asked, its tests are skipped here"
    BROKEN = "broken"


@dataclass(frozen=True)
class Outcome:
    """A verdict, the test that gave it, and its last words."""

    verdict: Verdict
    test: str = ""
    text: str = ""

    @property
    def caught(self) -> bool:
        """Whether a test noticed."""
        return self.verdict in (Verdict.CAUGHT, Verdict.HUNG)


def copy(folder: Path, source: Path = ROOT, mutant: Mutant | None = None) -> Path:
    """A copy of the package below `source`, and of the migrations where it looks for them; its path.

    All are made of one copy: the sources may be edited during a run.
    """
    package = folder / "runtime" / "outlast"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source / "runtime" / "outlast", package, ignore=ignored)
    shutil.copytree(source / "supabase" / "migrations", folder / "supabase" / "migrations")
    if mutant is not None:
        file, text = mutated(mutant, package)
        file.write_text(text, "utf-8")
    return package


def run(
    package: Path, postgres: str, tests: Sequence[str], limit_s: float, *, all_of: bool = False
) -> Outcome:
    """Run `tests` against `package`, up to the first that fails or `all_of` them."""
    scratch = package.parents[1]
    report = scratch / "report.jsonl"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    command += [
        "-p",
        plugin.__name__,
        f"--basetemp={scratch / 'tests'}",
        "--hypothesis-seed=0",
        f"--timeout={limit_s}",
    ]
    command += [*([] if all_of else ["-x"]), *tests]
    output = scratch / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, env=_environment(package, postgres, report), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            status = process.wait(limit_s * len(tests) + END_S)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            end(process)
    return _outcome(status, report, output.read_text("utf-8", "replace"))


def _environment(package: Path, postgres: str, report: Path) -> dict[str, str]:
    """PYTHONPATH comes before where the package is installed, in the hosts that tests start too."""
    return {
        **os.environ,
        "PYTHONPATH": str(package.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(package.parents[1] / "hypothesis"),
        plugin.PACKAGE: str(package),
        plugin.POSTGRES: postgres,
        plugin.REPORT: str(report),
    }


def end(process: subprocess.Popen[bytes]) -> None:
    """End pytest as Ctrl-C does, so that fixtures end the hosts they started; then in earnest."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, number)
            process.wait(END_S)


def _outcome(status: int | None, report: Path, said: str) -> Outcome:
    lines = [json.loads(line) for line in report.read_text("utf-8").splitlines()] if report.exists() else []
    failed = next((line for line in lines if line["outcome"] == "failed"), None)
    if failed is not None:
        return Outcome(_verdict(failed), failed["test"], failed["text"])
    if status is None:
        unended = lines[-1]["test"] if lines else ""
        return Outcome(Verdict.HUNG, unended, "the run did not end")
    skipped = {line["test"] for line in lines if line["outcome"] == "skipped"}
    if status == 0 and skipped and {line["test"] for line in lines} <= {SMOKE, *skipped}:
        return Outcome(Verdict.SKIPPED, "", said)
    passed = status == 0 and any(line["outcome"] == "passed" for line in lines)
    return Outcome(Verdict.PASSED if passed else Verdict.BROKEN, "", said)


def _verdict(failed: dict[str, Any]) -> Verdict:
    """What the first failure is worth. Who can't be collected, or run at all, has not been tested."""
    if failed["phase"] == "collect" or failed["test"] == SMOKE:
        return Verdict.BROKEN
    return Verdict.HUNG if "Failed: Timeout" in failed["text"] else Verdict.CAUGHT


def summary(tests: Iterable[str]) -> str:
    """Node ids, shortened for people."""
    return ", ".join(test.removeprefix("tests/") for test in tests)
