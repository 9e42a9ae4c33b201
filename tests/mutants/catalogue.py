"""All mutants. Each takes one guard away; each must be caught by a test that it names."""

from __future__ import annotations

from tests.mutants import (
    of_callers,
    of_calls,
    of_connections,
    of_events,
    of_logs,
    of_memory,
    of_messages,
    of_misuse,
    of_recovery,
    of_repetition,
    of_replay,
    of_requests,
    of_rights,
    of_rows,
    of_settings,
    of_shares,
    of_the_fence,
    of_the_journal,
    of_the_lease,
    of_values,
    of_weights,
    of_visibility,
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
    *of_logs.MUTANTS,
    *of_memory.MUTANTS,
    *of_rights.MUTANTS,
    *of_misuse.MUTANTS,
    *of_requests.MUTANTS,
    *of_values.MUTANTS,
    *of_settings.MUTANTS,
    *of_shares.MUTANTS,
    *of_rows.MUTANTS,
    *of_weights.MUTANTS,
    *of_visibility.MUTANTS,
)
EQUIVALENTS: tuple[Equivalent, ...] = (
    *of_recovery.EQUIVALENTS,
    *of_calls.EQUIVALENTS,
    *of_callers.EQUIVALENTS,
)
