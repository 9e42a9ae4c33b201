"""What must hold before a caught mutant means anything: the tests pass on a copy that nothing was taken from,
and the processes they start run the copy too."""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.commands import run_command
from tests.mutants.mutant import ALL_LAYERS, LAYERS, Mutant
from tests.mutants.report import say
from tests.mutants.runs import ORIGINAL, SMOKE, TEST_LIMIT_S, Verdict, copy, run

CANARY = "outlast is the copy"
IN_PROCESSES = ("http", "crash")
"""Layers whose tests start `python -m outlast`."""


class Uncontrolled(Exception):
    """The control failed: nothing that follows would prove anything."""


class Control:
    """Which tests are known to pass where nothing was taken away. A test is asked here first, and once."""

    def __init__(self, folder: Path, postgres: str) -> None:
        self._folder = folder
        self._postgres = postgres
        self._passed: set[str] = set()
        self._checked: set[str] = set()
        self._locks = {layer: threading.Lock() for layer in ALL_LAYERS}

    def prepare(self, mutants: Sequence[Mutant], layers: Sequence[str], jobs: int, *, every: bool) -> None:
        """Ask all tests of the first layer of each mutant, or of all its layers. Raises Uncontrolled."""
        wanted: dict[str, list[str]] = {layer: [] for layer in LAYERS if layer in layers}
        for mutant in mutants:
            asked = [layer for layer in mutant.asked(layers) if layer in LAYERS]
            for layer in asked if every else asked[:1]:
                wanted[layer] += mutant.tests(layer)
        shares = [
            (layer, list(dict.fromkeys(tests))[first::jobs])
            for layer, tests in wanted.items()
            for first in range(jobs)
        ]
        with ThreadPoolExecutor(jobs) as threads:
            for _ in threads.map(lambda share: self._ask(*share), shares):
                pass
        say(f"control: {len(self._passed)} tests pass on a copy that nothing was taken from")
        for layer in IN_PROCESSES:
            if wanted.get(layer):
                self._check_processes(layer, wanted[layer][0])

    def ensure(self, layer: str, tests: Sequence[str]) -> None:
        """Ask those that weren't asked yet. Raises Uncontrolled."""
        with self._locks[layer]:
            self._ask(layer, [test for test in tests if test not in self._passed])
            if layer in IN_PROCESSES:
                self._check_processes(layer, tests[0])

    def ensure_command(self, layer: str) -> None:
        """The same for a layer that is a command."""
        with self._locks[layer]:
            if layer in self._checked:
                return
            own = Path(tempfile.mkdtemp(prefix="control-", dir=self._folder))
            try:
                outcome = run_command(layer, copy(own, self._folder / ORIGINAL))
            finally:
                shutil.rmtree(own, ignore_errors=True)
            if outcome.verdict is not Verdict.PASSED:
                raise Uncontrolled(f"tests.{layer} fails where nothing was taken away\n{outcome.text}")
            self._checked.add(layer)
            say(f"control: tests.{layer} finds nothing in a copy that nothing was taken from")

    def _ask(self, layer: str, tests: Sequence[str]) -> None:
        if not tests:
            return
        own = Path(tempfile.mkdtemp(prefix="control-", dir=self._folder))
        try:
            package = copy(own, self._folder / ORIGINAL)
            outcome = run(package, self._postgres, [SMOKE, *tests], TEST_LIMIT_S[layer], all_of=True)
        finally:
            shutil.rmtree(own, ignore_errors=True)
        if outcome.verdict not in (Verdict.PASSED, Verdict.SKIPPED):
            raise Uncontrolled(f"the control run fails: {outcome.test}\n{outcome.text}")
        self._passed.update(tests)

    def _check_processes(self, layer: str, test: str) -> None:
        """A copy whose processes end at once with a word of ours must fail the test, by that word."""
        if layer in self._checked:
            return
        own = Path(tempfile.mkdtemp(prefix="canary-", dir=self._folder))
        try:
            package = copy(own, self._folder / ORIGINAL)
            (package / "__main__.py").write_text(f"raise SystemExit({CANARY!r})\n", "utf-8")
            outcome = run(package, self._postgres, [test], TEST_LIMIT_S[layer])
        finally:
            shutil.rmtree(own, ignore_errors=True)
        if CANARY not in outcome.text:
            raise Uncontrolled(f"the hosts of {test} don't run the copy ({sys.executable}): {outcome.text}")
        self._checked.add(layer)
        say(f"control: the hosts that tests/{layer} starts run the copy")
