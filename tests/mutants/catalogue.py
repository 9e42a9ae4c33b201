"""All mutants: the guards that are marked in the code, what each is for, and who notices that it is gone."""

from __future__ import annotations

from tests.mutants import (
    of_background,
    of_batches,
    of_callers,
    of_calls,
    of_connections,
    of_events,
    of_memory,
    of_messages,
    of_misuse,
    of_queues,
    of_recovery,
    of_repetition,
    of_replay,
    of_requests,
    of_rights,
    of_sagas,
    of_schedules,
    of_shares,
    of_tables,
    of_the_fence,
    of_the_journal,
    of_the_lease,
)
from tests.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    *of_the_fence.MUTANTS,
    *of_repetition.MUTANTS,
    *of_recovery.MUTANTS,
    *of_the_journal.MUTANTS,
    *of_the_lease.MUTANTS,
    *of_background.MUTANTS,
    *of_calls.MUTANTS,
    *of_replay.MUTANTS,
    *of_connections.MUTANTS,
    *of_events.MUTANTS,
    *of_callers.MUTANTS,
    *of_messages.MUTANTS,
    *of_memory.MUTANTS,
    *of_rights.MUTANTS,
    *of_tables.MUTANTS,
    *of_misuse.MUTANTS,
    *of_queues.MUTANTS,
    *of_requests.MUTANTS,
    *of_shares.MUTANTS,
    *of_batches.MUTANTS,
    *of_schedules.MUTANTS,
    *of_sagas.MUTANTS,
)
