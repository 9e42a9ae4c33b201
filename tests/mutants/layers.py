"""Asking the layers of tests about one mutant, one after the other."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.commands import COMMANDS, run_command
from tests.mutants.control import Control
from tests.mutants.mutant import Mutant
from tests.mutants.report import Result
from tests.mutants.runs import ORIGINAL, SMOKE, TEST_LIMIT_S, Outcome, Verdict, copy, run


def examine(
    mutant: Mutant, layers: Sequence[str], folder: Path, postgres: str, control: Control, *, every: bool
) -> Result:
    """Ask `layers` until one notices, or `every` one that has a test against the mutant.

    Raises Uncontrolled where a test fails without any mutant.
    """
    own = Path(tempfile.mkdtemp(prefix=f"{mutant.name}-", dir=folder))
    outcomes: dict[str, Outcome] = {}
    try:
        package = copy(own, folder / ORIGINAL, mutant)
        for layer in mutant.asked(layers):
            if layer in COMMANDS:
                control.ensure_command(layer)
                outcome = run_command(layer, package)
            else:
                tests = mutant.tests(layer)
                control.ensure(layer, tests)
                smoke = [] if outcomes else [SMOKE]
                outcome = _ask(package, postgres, [*smoke, *tests], TEST_LIMIT_S[layer])
            outcomes[layer] = outcome
            if outcome.verdict is Verdict.BROKEN or (outcome.caught and not every):
                break
    finally:
        shutil.rmtree(own, ignore_errors=True)
    return Result(mutant, outcomes)


def _ask(package: Path, postgres: str, tests: Sequence[str], limit_s: float) -> Outcome:
    """Run them; what hangs is asked again with more patience: it may have been the machine."""
    outcome = run(package, postgres, tests, limit_s)
    if outcome.verdict is Verdict.HUNG:
        outcome = run(package, postgres, tests, 2 * limit_s)
    return outcome
