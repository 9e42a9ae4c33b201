"""Mutants of how a workflow passes from one instance to another: claims, losses, counts, leases."""

from __future__ import annotations

from tests.mutants.mutant import Equivalent, Mutant

JOURNAL = "store/journal.sql"
INSTANCES = "store/instances.sql"
WORKFLOWS = "store/workflows.sql"
_HANDS = "test_recovery.py::test_each_change_of_hands_raises_the_epoch"
_COUNTED = (
    "test_recovery.py::test_losses_in_vain_are_counted_and_backed_off_and_progress_starts_the_count_anew"
)
_IN_HAND = "test_recovery.py::test_nobody_waits_for_a_row_that_another_has_in_hand"
_LOST = "test_recovery.py::test_an_instance_is_lost_by_its_lease_or_its_session_and_never_to_itself"
_TIDY = "test_recovery.py::test_who_has_work_is_not_forgotten_and_whoever_is_unknown_is_known_as_lost"
_OWN = "test_recovery.py::test_only_what_is_still_its_own_is_given_back"
_NOBODYS = "test_recovery.py::test_a_cancelled_workflow_is_nobodys_and_no_loss_of_its_owner_wakes_it"
_HANDOVER = "test_recovery.py::test_a_hand_over_keeps_the_count_and_a_suspension_starts_it_anew"

MUTANTS = (
    Mutant(
        "claim-keeps-epoch",
        "A claim raises the epoch",
        INSTANCES,
        "set owner = %(instance)s,\n      epoch = w.epoch + 1,\n",
        "set owner = %(instance)s,\n",
        store=(_HANDS,),
    ),
    Mutant(
        "recovery-keeps-epoch",
        "A recovery raises the epoch",
        INSTANCES,
        "set owner = null,\n    epoch = w.epoch + 1,\n",
        "set owner = null,\n",
        store=(_HANDS,),
    ),
    Mutant(
        "cancel-keeps-epoch",
        "A cancel raises the epoch",
        WORKFLOWS,
        "owner = null, epoch = epoch + 1, claimable_at = null",
        "owner = null, claimable_at = null",
        store=(_HANDS,),
    ),
    Mutant(
        "cancel-keeps-owner",
        "A cancel leaves the row nobody's",
        WORKFLOWS,
        "set status = 'CANCELLED', owner = null, epoch",
        "set status = 'CANCELLED', epoch",
        store=(_NOBODYS,),
    ),
    Mutant(
        "cancel-of-the-ended",
        "What has ended is not cancelled",
        WORKFLOWS,
        "where workflow_id = %(workflow_id)s and status in ('ENQUEUED', 'PENDING')\n",
        "where workflow_id = %(workflow_id)s\n",
        engine=("test_transitions.py::test_statements_change_what_the_table_says",),
    ),
    Mutant(
        "cancel-unknown-again",
        "A cancel whose answer was lost is known as one's own",
        WORKFLOWS,
        "status = 'CANCELLED' and nonce = %(nonce)s\n",
        "status = 'CANCELLED' and nonce = %(nonce)s and false\n",
        store=("test_last_words.py::test_a_cancel_whose_answer_was_lost_is_known_as_ones_own",),
    ),
    Mutant(
        "strangers-cancel-taken",
        "… and another's isn't",
        WORKFLOWS,
        "status = 'CANCELLED' and nonce = %(nonce)s\n",
        "status = 'CANCELLED'\n",
        store=(_NOBODYS,),
    ),
    Mutant(
        "claim-what-is-not-due",
        "A workflow that sleeps is claimed when it is due, not before",
        INSTANCES,
        "where w.owner is null and w.claimable_at <= now()\n    and w.function = any(%(functions)s::text[])\n"
        "    and w.recovery_attempts < ",
        "where w.owner is null and w.claimable_at is not null\n"
        "    and w.function = any(%(functions)s::text[])\n"
        "    and w.recovery_attempts < ",
        store=("test_recovery.py::test_what_is_not_due_is_not_claimed",),
    ),
    Mutant(
        "claim-without-lock",
        "Two claims of one moment don't take the same row",
        INSTANCES,
        "  limit %(room)s\n  for no key update skip locked\n",
        "  limit %(room)s\n",
        store=("test_recovery.py::test_two_claims_of_one_moment_share_what_is_due",),
    ),
    Mutant(
        "claim-waits",
        "A claim waits for no row that another has in hand",
        INSTANCES,
        "  limit %(room)s\n  for no key update skip locked\n",
        "  limit %(room)s\n  for no key update\n",
        store=("test_recovery.py::test_two_claims_of_one_moment_share_what_is_due",),
    ),
    Mutant(
        "recovery-waits",
        "A recovery waits for no row that another has in hand",
        INSTANCES,
        "  limit %(limit)s\n  for no key update of w skip locked\n",
        "  limit %(limit)s\n  for no key update of w\n",
        store=(_IN_HAND,),
        crash=("test_database.py::test_a_commit_on_its_way_while_its_instance_is_frozen_keeps_others_away",),
    ),
    Mutant(
        "recovery-of-the-living",
        "Whoever renewed its lease meanwhile keeps its work",
        INSTANCES,
        "      i.lease_until < now()\n      -- Who beat",
        "      true\n      -- Who beat",
        store=("test_recovery.py::test_a_living_instances_work_is_left_alone",),
    ),
    Mutant(
        "recovery-of-the-returned",
        "Whoever came back with another session keeps its work",
        INSTANCES,
        " and g.lease_until_s = extract(epoch from i.lease_until)::float8\n",
        "\n",
        store=("test_recovery.py::test_a_living_instances_work_is_left_alone",),
    ),
    Mutant(
        "robbed-though-alive",
        "A recovery sees the beat that is under way: nobody is told that it lives and robbed",
        INSTANCES,
        "  for share of i skip locked\n",
        "",
        store=("test_recovery.py::test_whoever_is_renewing_its_lease_is_not_robbed",),
    ),
    Mutant(
        "lost-to-itself",
        "An instance never finds itself lost",
        INSTANCES,
        "where i.instance_id <> %(instance)s\n",
        "where true\n",
        store=(_LOST,),
    ),
    Mutant(
        "lease-never-ends",
        "An instance whose lease ran out is lost",
        INSTANCES,
        "    and (i.lease_until < now() or (i.backend_pid is not null and s.pid is null))\n",
        "    and (i.backend_pid is not null and s.pid is null)\n",
        store=(_LOST,),
    ),
    Mutant(
        "session-by-number-alone",
        "A session is known by its number and its start, since numbers are given anew",
        INSTANCES,
        "on s.pid = i.backend_pid and coalesce(s.backend_start = i.backend_started, true)\n",
        "on s.pid = i.backend_pid\n",
        store=("test_recovery.py::test_another_session_under_the_same_number_is_not_the_one_that_is_gone",),
    ),
    Mutant(
        "half-a-restart-unseen",
        "A server that lost one process starts all others anew, which is a restart to whoever had sessions",
        INSTANCES,
        "      pg_postmaster_start_time(), (select max(backend_start) from sessions "
        "where backend_type = 'checkpointer')\n",
        "      pg_postmaster_start_time(), null\n",
        store=(
            "test_recovery.py::test_a_session_from_before_a_crash_within_the_server_went_with_all_others",
        ),
        crash=("test_cut_off.py::test_an_outage_of_postgres_takes_nobodys_work",),
    ),
    Mutant(
        "losses-not-counted",
        "Each loss in vain is counted",
        INSTANCES,
        "      else w.recovery_attempts + 1\n",
        "      else w.recovery_attempts\n",
        store=(_COUNTED,),
        crash=("test_takeover.py::test_a_workflow_that_kills_its_instances_is_given_up_alone",),
    ),
    Mutant(
        "progress-not-counted",
        "Progress starts the count anew",
        INSTANCES,
        "o.completed_at > w.updated_at\n",
        "o.completed_at > w.updated_at and false\n",
        store=(_COUNTED,),
    ),
    Mutant(
        "old-progress-counted",
        "Only what was recorded since the last claim is progress",
        INSTANCES,
        "o.workflow_id = w.workflow_id and o.completed_at > w.updated_at\n",
        "o.workflow_id = w.workflow_id\n",
        store=(_COUNTED,),
    ),
    Mutant(
        "no-backoff",
        "A workflow that was lost again waits, each time longer",
        INSTANCES,
        "%(backoff)s * 2 ^ (o.attempts - 2)",
        "%(backoff)s * 0 ^ (o.attempts - 2)",
        store=(_COUNTED,),
    ),
    Mutant(
        "never-exhausted",
        "Past the limit a workflow is given up",
        INSTANCES,
        "status = case when o.attempts > %(attempts_max)s then 'EXHAUSTED' else 'PENDING' end",
        "status = 'PENDING'",
        store=("test_recovery.py::test_past_the_limit_nobody_tries_any_more",),
    ),
    Mutant(
        "suspects-among-all",
        "What was lost often is not claimed among the others",
        INSTANCES,
        "    and w.recovery_attempts < %(suspect_after)s\n",
        "    and (true or %(suspect_after)s > 0)\n",
        store=("test_recovery.py::test_what_was_lost_often_is_claimed_alone_and_within_the_room",),
    ),
    Mutant(
        "hand-over-counted",
        "A hand-over leaves the count as it is",
        JOURNAL,
        "case when e.claimable is null then w.recovery_attempts else 0 end",
        "case when e.claimable is null then w.recovery_attempts + 1 else 0 end",
        store=(_HANDOVER,),
    ),
    Mutant(
        "suspension-keeps-count",
        "A suspension starts the count anew",
        JOURNAL,
        "case when e.claimable is null then w.recovery_attempts else 0 end",
        "w.recovery_attempts",
        store=(_HANDOVER,),
    ),
    Mutant(
        "release-without-epoch",
        "A row that was claimed anew meanwhile is not given back",
        INSTANCES,
        "where w.workflow_id = r.workflow_id and w.epoch = r.epoch and w.owner = %(instance)s",
        "where w.workflow_id = r.workflow_id and w.owner = %(instance)s",
        store=(_OWN,),
    ),
    Mutant(
        "release-without-owner",
        "A row of another instance is not given back",
        INSTANCES,
        "where w.workflow_id = r.workflow_id and w.epoch = r.epoch and w.owner = %(instance)s",
        "where w.workflow_id = r.workflow_id and w.epoch = r.epoch",
        store=(_OWN,),
    ),
    Mutant(
        "leave-keeps-lease",
        "Whoever leaves ends its lease at once",
        INSTANCES,
        "set lease_until = '-infinity' where",
        "set lease_until = lease_until where",
        store=("test_recovery.py::test_a_lease_ends_when_its_instance_leaves",),
    ),
    Mutant(
        "orphans-not-adopted",
        "Rows of an owner that nobody knows are found",
        "store/instances.py",
        '        await self._run("adopt_orphans", {})\n',
        "",
        store=(_TIDY,),
    ),
    Mutant(
        "beat-tells-all",
        "A beat tells what this instance owns",
        INSTANCES,
        "select workflow_id, epoch from outlast.workflow_status where owner = %(instance)s\n",
        "select workflow_id, epoch from outlast.workflow_status where owner is not null\n",
        store=("test_recovery.py::test_a_beat_tells_what_is_owned",),
    ),
    Mutant(
        "claim-what-it-cannot-run",
        "An instance claims only what it has functions for",
        INSTANCES,
        "    and w.function = any(%(functions)s::text[])\n    and w.recovery_attempts < ",
        "    and (true or w.function = any(%(functions)s::text[]))\n    and w.recovery_attempts < ",
        store=("test_recovery.py::test_what_has_waited_longest_is_claimed_first_by_who_can_run_it",),
    ),
    Mutant(
        "claim-newest-first",
        "What has waited longest is claimed first",
        INSTANCES,
        "  order by w.claimable_at\n  limit %(room)s\n",
        "  order by w.claimable_at desc\n  limit %(room)s\n",
        store=("test_recovery.py::test_what_has_waited_longest_is_claimed_first_by_who_can_run_it",),
    ),
    Mutant(
        "renewal-unwritten",
        "A beat renews the lease",
        INSTANCES,
        "    set lease_until = excluded.lease_until,\n        running",
        "    set running",
        store=("test_recovery.py::test_a_beat_renews_the_lease_and_names_the_new_session",),
    ),
    Mutant(
        "new-session-unwritten",
        "A beat over a new connection names the new session",
        INSTANCES,
        "i.running),\n        backend_pid = excluded.backend_pid,\n"
        "        backend_started = excluded.backend_started\n",
        "i.running)\n",
        store=("test_recovery.py::test_a_beat_renews_the_lease_and_names_the_new_session",),
    ),
)

EQUIVALENTS = (
    Equivalent(
        "owners-forgotten",
        "An instance that owns work is not forgotten",
        INSTANCES,
        "  and not exists (select from outlast.workflow_status w where w.owner = i.instance_id)\n",
        "",
        why="the statement after it adopts the rows of owners that nobody knows, as lost, which whoever may "
        "be forgotten has been for a day",
    ),
    Equivalent(
        "claim-without-owner",
        "A claim takes rows that are nobody's",
        INSTANCES,
        "where w.owner is null and w.claimable_at <= now()\n    and w.function = any(%(functions)s::text[])\n"
        "    and w.recovery_attempts < ",
        "where w.claimable_at <= now()\n    and w.function = any(%(functions)s::text[])\n"
        "    and w.recovery_attempts < ",
        why="every statement that sets `owner` clears `claimable_at` in the same row; the condition is there "
        "for the partial index",
    ),
)
