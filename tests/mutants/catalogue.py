"""All mutants. Each takes one guard away; each must be caught by a test that it names."""

from __future__ import annotations

from tests.mutants import (
    of_callers,
    of_calls,
    of_connections,
    of_events,
    of_messages,
    of_recovery,
    of_repetition,
    of_replay,
    of_rows,
    of_the_fence,
    of_the_journal,
    of_the_lease,
)
from tests.mutants.mutant import Equivalent, Mutant

MUTANTS: tuple[Mutant, ...] = (
    *of_the_fence.MUTANTS,
    *of_repetition.MUTANTS,
    *of_recovery.MUTANTS,
    *of_the_journal.MUTANTS,
    *of_the_lease.MUTANTS,
    *of_calls.MUTANTS,
    *of_replay.MUTANTS,
    *of_connections.MUTANTS,
    *of_events.MUTANTS,
    *of_callers.MUTANTS,
    *of_messages.MUTANTS,
    *of_rows.MUTANTS,
)
EQUIVALENTS: tuple[Equivalent, ...] = (
    *of_recovery.EQUIVALENTS,
    *of_calls.EQUIVALENTS,
    *of_callers.EQUIVALENTS,
)
