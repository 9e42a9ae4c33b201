"""All mutants. Each takes one guard away; each must be caught by a test that it names."""

from __future__ import annotations

from tests.mutants import of_replay, of_the_engine, of_the_store
from tests.mutants.mutant import Equivalent, Mutant

MUTANTS: tuple[Mutant, ...] = (*of_the_store.MUTANTS, *of_the_engine.MUTANTS, *of_replay.MUTANTS)
EQUIVALENTS: tuple[Equivalent, ...] = (
    *of_the_store.EQUIVALENTS,
    *of_the_engine.EQUIVALENTS,
    *of_replay.EQUIVALENTS,
)
