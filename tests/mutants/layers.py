"""Asking the layers of tests about one mutant, one after the other."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.mutant import Mutant
from tests.mutants.runs import ORIGINAL, SMOKE, TEST_LIMIT_S, Outcome, Verdict, copy, run


@dataclass(frozen=True)
class Result:
    """What the layers that were asked said of a mutant."""

    mutant: Mutant
    outcomes: dict[str, Outcome]

    @property
    def caught(self) -> bool:
        """Whether a layer noticed, and none found it broken."""
        found = self.outcomes.values()
        return any(each.caught for each in found) and all(
            each.verdict is not Verdict.BROKEN for each in found
        )


def examine(mutant: Mutant, layers: Sequence[str], folder: Path, postgres: str, *, every: bool) -> Result:
    """Ask `layers` until one notices, or `every` one that has a test against the mutant."""
    own = Path(tempfile.mkdtemp(prefix=f"{mutant.name}-", dir=folder))
    outcomes: dict[str, Outcome] = {}
    try:
        package = copy(own, folder / ORIGINAL, mutant)
        for layer in (each for each in mutant.layers if each in layers):
            tests = mutant.tests(layer)
            smoke = [] if outcomes or mutant.obvious else [SMOKE]
            outcome = run(package, postgres, [*smoke, *tests], TEST_LIMIT_S[layer])
            outcomes[layer] = outcome
            if outcome.verdict is Verdict.BROKEN or (outcome.caught and not every):
                break
    finally:
        shutil.rmtree(own, ignore_errors=True)
    return Result(mutant, outcomes)
