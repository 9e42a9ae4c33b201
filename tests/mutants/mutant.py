"""What a mutant is: the product with one guard less, and the tests that must notice."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "runtime" / "outlast"

LAYERS = ("unit", "store", "engine", "web", "queues", "http", "crash")
"""The folders of tests that are asked, cheapest first."""

SLOW_LAYERS = ("simulation", "torture")
"""Commands of their own, asked where they are named: the simulation only about the engine."""

ALL_LAYERS = (*LAYERS, *SLOW_LAYERS)


@dataclass(frozen=True)
class Mutant:
    """One guard less. `old` must stand exactly once in `file`, which is a path within the package."""

    name: str
    guard: str
    """What it takes away, in a few words."""
    file: str
    old: str
    new: str
    unit: tuple[str, ...] = ()
    store: tuple[str, ...] = ()
    engine: tuple[str, ...] = ()
    web: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    http: tuple[str, ...] = ()
    crash: tuple[str, ...] = ()
    then: tuple[tuple[str, str], ...] = ()
    """Further changes, for a mutant that moves a line."""
    obvious: bool = False
    """Even the smoke test notices."""

    def tests(self, layer: str) -> list[str]:
        """The tests of a layer that should fail, fastest first: node ids from the project's root."""
        names: tuple[str, ...] = getattr(self, layer)
        return [f"tests/{layer}/{name}" for name in names]

    @property
    def layers(self) -> list[str]:
        """The layers that have a test against it."""
        return [layer for layer in LAYERS if getattr(self, layer)]

    def asked(self, chosen: Collection[str]) -> list[str]:
        """Those of the chosen layers that are to be asked."""
        simulated = self.file.startswith(("engine/", "core/"))
        slow = [layer for layer in SLOW_LAYERS if simulated or layer != "simulation"]
        return [layer for layer in (*self.layers, *slow) if layer in chosen]


@dataclass(frozen=True)
class Equivalent:
    """A change that takes nothing away, and why: it can't be caught, so it isn't counted."""

    name: str
    guard: str
    file: str
    old: str
    new: str
    why: str = field(kw_only=True)


class DoesNotApply(Exception):
    """The text that a mutant replaces isn't there exactly once: the catalogue is out of date."""


def mutated(each: Mutant | Equivalent, package: Path = PACKAGE) -> str:
    """The text of its file with the change. Raises DoesNotApply."""
    text = (package / each.file).read_text("utf-8")
    further = each.then if isinstance(each, Mutant) else ()
    for old, new in ((each.old, each.new), *further):
        if (count := text.count(old)) != 1:
            raise DoesNotApply(f"{each.name}: the text to replace stands {count} times in {each.file}: {old}")
        if new == old:
            raise DoesNotApply(f"{each.name}: nothing would change")
        text = text.replace(old, new)
    if each.file.endswith(".py"):
        try:
            compile(text, each.file, "exec")
        except SyntaxError as error:
            raise DoesNotApply(f"{each.name}: {error}") from error
    return text
