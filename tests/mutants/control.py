"""What must hold before a caught mutant means anything: the tests pass on a copy that nothing was taken from,
and the processes they start run the copy too."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.mutant import Mutant
from tests.mutants.report import say
from tests.mutants.runs import ORIGINAL, SMOKE, TEST_LIMIT_S, Outcome, Verdict, copy, run

CANARY = "outlast is the copy"
IN_PROCESSES = ("http", "crash")
"""Layers whose tests start `python -m outlast`."""


class Uncontrolled(Exception):
    """The control failed: nothing that follows would prove anything."""


def control(mutants: Sequence[Mutant], layers: Sequence[str], folder: Path, postgres: str, jobs: int) -> None:
    """Run all selections on an unmutated copy. Raises Uncontrolled."""
    selections = {layer: _selection(mutants, layer) for layer in layers}
    parts = [part for layer in layers for part in _parts(layer, selections[layer], jobs)]
    with ThreadPoolExecutor(jobs) as threads:
        for outcome in threads.map(lambda part: _run(folder, postgres, *part), parts):
            if outcome.verdict is not Verdict.PASSED:
                raise Uncontrolled(f"the control run fails: {outcome.test}\n{outcome.text}")
        count = sum(len(tests) for _, tests in parts)
        say(f"control: {count} tests pass on a copy that nothing was taken from")
        for layer in IN_PROCESSES:
            if selections.get(layer):
                _check_processes(folder, postgres, selections[layer][0], layer)


def _selection(mutants: Sequence[Mutant], layer: str) -> list[str]:
    return list(dict.fromkeys(test for each in mutants for test in each.tests(layer)))


def _parts(layer: str, tests: list[str], jobs: int) -> list[tuple[str, list[str]]]:
    """The tests of a layer in as many shares as there are jobs."""
    return [(layer, share) for share in (tests[first::jobs] for first in range(jobs)) if share]


def _run(folder: Path, postgres: str, layer: str, tests: list[str]) -> Outcome:
    own = Path(tempfile.mkdtemp(prefix="control-", dir=folder))
    try:
        return run(copy(own, folder / ORIGINAL), postgres, [SMOKE, *tests], TEST_LIMIT_S[layer], all_of=True)
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _check_processes(folder: Path, postgres: str, test: str, layer: str) -> None:
    """A copy whose processes end at once with a word of ours must fail the test, by that word."""
    own = Path(tempfile.mkdtemp(prefix="canary-", dir=folder))
    try:
        package = copy(own, folder / ORIGINAL)
        (package / "__main__.py").write_text(f"raise SystemExit({CANARY!r})\n", "utf-8")
        outcome = run(package, postgres, [test], TEST_LIMIT_S[layer])
    finally:
        shutil.rmtree(own, ignore_errors=True)
    if CANARY not in outcome.text:
        raise Uncontrolled(f"the hosts of {test} don't run the copy ({sys.executable}): {outcome.text}")
    say(f"control: the hosts that tests/{layer} starts run the copy")
