"""What a mutant is: the product with one marked guard less, and the tests that must notice."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from tests.mutants.marks import DoesNotApply, Mark, marks, without

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "runtime" / "outlast"

LAYERS = ("unit", "functions", "store", "engine", "web", "queues", "http", "hostile", "crash")
"""The folders of tests that are asked, cheapest first."""

SLOW_LAYERS = ("simulation", "torture")
"""Commands of their own, asked where they are named: the simulation only about the engine."""

ALL_LAYERS = (*LAYERS, *SLOW_LAYERS)


class Mutant:
    """The guard marked `name`, what it is for in one sentence, and who must notice that it is gone.

    `noticing` are node ids below `tests/`, fastest first.
    """

    def __init__(self, name: str, guard: str, *noticing: str) -> None:
        self.name = name
        self.guard = guard
        self.noticing = noticing

    def tests(self, layer: str) -> list[str]:
        """Those of a layer: node ids from the project's root."""
        return [f"tests/{each}" for each in self.noticing if each.startswith(f"{layer}/")]

    @property
    def layers(self) -> list[str]:
        """The layers that have a test against it."""
        return [layer for layer in LAYERS if self.tests(layer)]

    def asked(self, chosen: Collection[str]) -> list[str]:
        """Those of the chosen layers that are to be asked."""
        simulated = {"unit", "engine"} & set(self.layers)
        slow = [layer for layer in SLOW_LAYERS if simulated or layer != "simulation"]
        return [layer for layer in (*self.layers, *slow) if layer in chosen]


def mutated(mutant: Mutant, package: Path = PACKAGE) -> tuple[Path, str]:
    """The file that bears the mutant's mark, and its text with the guard taken away. Raises DoesNotApply."""
    found: list[Mark] = [each for each in marks(package) if each.name == mutant.name]
    if len(found) != 1:
        raise DoesNotApply(f"{mutant.name} is marked {len(found)} times")
    return found[0].file, without(found[0])
