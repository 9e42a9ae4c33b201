"""Mutants of the statements and of what carries them."""

from __future__ import annotations

from tests.mutants.mutant import Equivalent, Mutant

JOURNAL = "store/journal.sql"
INSTANCES = "store/instances.sql"
WORKFLOWS = "store/workflows.sql"

_REFUSED = "test_journal.py::test_a_refused_fence_lets_nothing_of_its_workflow_in"
_STANDS = "test_journal.py::test_a_step_that_stands_there_is_not_accepted_but_a_sleep_that_is_over_is"
_UNDER_WAY = "test_fence.py::test_a_write_waits_for_a_takeover_that_is_under_way_and_is_refused"
_PAID_UNDER_WAY = (
    "test_fence.py::test_a_transaction_waits_for_a_takeover_that_is_under_way_and_leaves_nothing"
)
_SUPERSEDED = "test_fence.py::test_a_transaction_of_a_superseded_execution_leaves_nothing"
_UNDONE = "test_fence.py::test_a_transaction_that_was_recorded_undoes_its_second_run"
_NONCE = "test_fence.py::test_what_a_lost_answer_said_is_told_by_the_nonce"
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
_FROZEN_STEP = "test_freeze.py::test_a_step_that_ends_after_the_takeover_is_not_recorded"
_FROZEN_PAY = "test_freeze.py::test_a_transaction_left_open_by_the_freeze_leaves_nothing"
_CANCELLED = "test_takeover.py::test_a_step_that_ends_after_a_cancel_elsewhere_is_not_recorded"
_CUT = "test_database.py::test_a_connection_cut_at_any_commit_loses_and_doubles_nothing"

FENCE = (
    Mutant(
        "record-without-epoch",
        "A record carries the epoch it was claimed with",
        JOURNAL,
        "where w.epoch = h.epoch and (w.owner = %(instance)s) is true\n  for share",
        "where (w.owner = %(instance)s) is true\n  for share",
        store=(_REFUSED,),
    ),
    Mutant(
        "record-without-owner",
        "A record is written by the row's owner alone",
        JOURNAL,
        "where w.epoch = h.epoch and (w.owner = %(instance)s) is true\n  for share",
        "where w.epoch = h.epoch\n  for share",
        store=(_REFUSED,),
    ),
    Mutant(
        "record-without-fence",
        "Records of a workflow whose fence refused are left out",
        JOURNAL,
        "where (r.workflow_id in (select workflow_id from fenced)) is true",
        "where r.workflow_id is not null",
        store=(_REFUSED,),
        crash=(_FROZEN_STEP, _CANCELLED),
    ),
    Mutant(
        "record-without-lock",
        "A record holds its workflow's row FOR SHARE",
        JOURNAL,
        "is true\n  for share of w\n",
        "is true\n",
        store=(_UNDER_WAY,),
    ),
    Mutant(
        "record-with-weak-lock",
        "… and not by the lock of a foreign key, which a takeover passes by",
        JOURNAL,
        "is true\n  for share of w\n",
        "is true\n  for key share of w\n",
        store=(_UNDER_WAY,),
    ),
    Mutant(
        "end-without-epoch",
        "An end carries the epoch",
        JOURNAL,
        "where w.workflow_id = e.workflow_id and w.epoch = e.epoch and (w.owner = %(instance)s) is true",
        "where w.workflow_id = e.workflow_id and (w.owner = %(instance)s) is true",
        store=(_REFUSED,),
    ),
    Mutant(
        "end-without-owner",
        "An end is written by the row's owner alone",
        JOURNAL,
        "where w.workflow_id = e.workflow_id and w.epoch = e.epoch and (w.owner = %(instance)s) is true",
        "where w.workflow_id = e.workflow_id and w.epoch = e.epoch",
        store=(_REFUSED,),
    ),
    Mutant(
        "end-keeps-owner",
        "An end leaves the row nobody's, so that no loss of its instance wakes it",
        JOURNAL,
        "      response = e.response::json,\n      owner = null,\n",
        "      response = e.response::json,\n",
        engine=("test_transitions.py::test_statements_change_what_the_table_says",),
    ),
    Mutant(
        "last-record-dropped",
        "The last record and the end are one commit",
        JOURNAL,
        "select workflow_id from ended union all select workflow_id from held\n",
        "select workflow_id from held\n",
        store=("test_journal.py::test_all_kinds_in_one_batch_are_one_transaction",),
        obvious=True,
    ),
    Mutant(
        "transaction-without-epoch",
        "A transaction's record carries the epoch",
        JOURNAL,
        "where w.workflow_id = %(workflow_id)s and w.epoch = %(epoch)s and w.owner = %(instance)s\n",
        "where w.workflow_id = %(workflow_id)s and w.owner = %(instance)s\n",
        store=(_SUPERSEDED,),
    ),
    Mutant(
        "transaction-without-owner",
        "A transaction's record is written by the row's owner alone",
        JOURNAL,
        "where w.workflow_id = %(workflow_id)s and w.epoch = %(epoch)s and w.owner = %(instance)s\n",
        "where w.workflow_id = %(workflow_id)s and w.epoch = %(epoch)s\n",
        store=(_SUPERSEDED,),
    ),
    Mutant(
        "transaction-without-lock",
        "A transaction's record holds the row FOR SHARE",
        JOURNAL,
        "w.owner = %(instance)s\n  for share\n)",
        "w.owner = %(instance)s\n)",
        store=(_PAID_UNDER_WAY,),
    ),
    Mutant(
        "transaction-commits-when-refused",
        "A refused record undoes the transaction's effects",
        "store/transactions.py",
        "                    raise psycopg.Rollback\n",
        "                    return None\n",
        store=(_SUPERSEDED,),
        crash=(_FROZEN_PAY,),
    ),
    Mutant(
        "transaction-unmarked",
        "A record goes only into the transaction that was opened for it",
        JOURNAL,
        "from fenced f\nwhere current_setting('outlast.transaction', true) = %(mark)s\n",
        "from fenced f\n",
        engine=("test_transactions.py::test_a_body_that_ends_the_transaction_is_refused",),
    ),
    Mutant(
        "transaction-may-commit",
        "A body may not commit by the connection it was lent",
        "store/transactions.py",
        '    async def commit(self) -> NoReturn:\n        """Refused."""\n'
        "        raise UsageError(_ENDED_BY_BODY)\n",
        '    async def commit(self) -> None:\n        """Refused."""\n        await super().commit()\n',
        engine=("test_borrowed.py::test_nothing_is_committed_by_a_body_that_tries_to",),
    ),
)

REPEATED = (
    Mutant(
        "start-conflict-fails",
        "A start whose id is taken is no error of its batch",
        JOURNAL,
        "  on conflict (workflow_id) do nothing\n  returning w.workflow_id",
        "  returning w.workflow_id",
        store=("test_fence.py::test_a_start_leaves_a_row_that_is_there_as_it_is", _REFUSED),
    ),
    Mutant(
        "start-conflict-overwrites",
        "A start leaves a row that is there as it is",
        JOURNAL,
        "  on conflict (workflow_id) do nothing\n  returning w.workflow_id",
        "  on conflict (workflow_id) do update set nonce = excluded.nonce\n  returning w.workflow_id",
        store=("test_fence.py::test_a_start_leaves_a_row_that_is_there_as_it_is", _REFUSED),
        crash=("test_takeover.py::test_fifty_duplicates_over_two_instances_are_one_execution",),
    ),
    Mutant(
        "record-overwrites",
        "A step that is recorded stays as it is",
        JOURNAL,
        "    where o.completion_order is null and o.name = excluded.name\n",
        "    where o.name = excluded.name\n",
        store=(_STANDS,),
    ),
    Mutant(
        "sleep-ended-by-another",
        "An unfinished sleep is ended by a record of the same name alone",
        JOURNAL,
        "    where o.completion_order is null and o.name = excluded.name\n",
        "    where o.completion_order is null\n",
        store=("test_fence.py::test_a_sleep_is_ended_by_none_but_itself",),
    ),
    Mutant(
        "ended-sleep-without-nonce",
        "An ended sleep bears the nonce of the batch that ended it",
        JOURNAL,
        "completed_at = now(),\n        nonce = excluded.nonce\n",
        "completed_at = now()\n",
        store=("test_fence.py::test_a_sleep_is_ended_by_none_but_itself",),
    ),
    Mutant(
        "end-without-nonce",
        "An ended workflow bears the nonce of its batch",
        JOURNAL,
        "      owner = null,\n      nonce = %(nonce)s,\n",
        "      owner = null,\n",
        store=(_NONCE,),
        crash=(_CUT,),
    ),
    Mutant(
        "start-without-nonce",
        "A started workflow bears the nonce of its batch",
        JOURNAL,
        "%(instance)s, 1, %(nonce)s, now()",
        "%(instance)s, 1, null, now()",
        store=(_NONCE,),
        crash=(_CUT,),
    ),
    Mutant(
        "strangers-start-confirmed",
        "After a lost answer a start is known by its nonce, not by being there",
        JOURNAL,
        "where w.workflow_id = any(%(ids)s::text[]) and w.nonce = %(nonce)s\n",
        "where w.workflow_id = any(%(ids)s::text[]) and %(nonce)s::bigint is not null\n",
        store=(_NONCE, _STANDS),
    ),
    Mutant(
        "strangers-record-confirmed",
        "After a lost answer a record is known by its nonce, not by being there",
        JOURNAL,
        "where o.workflow_id = any(%(ids)s::text[]) and o.nonce = %(nonce)s\n",
        "where o.workflow_id = any(%(ids)s::text[]) and %(nonce)s::bigint is not null\n",
        store=(_STANDS,),
    ),
    Mutant(
        "starts-not-confirmed",
        "After a lost answer starts and ends are asked for",
        JOURNAL,
        "where w.workflow_id = any(%(ids)s::text[]) and w.nonce = %(nonce)s\n",
        "where w.workflow_id = any(%(ids)s::text[]) and w.nonce = %(nonce)s and false\n",
        store=(_NONCE,),
        crash=(_CUT,),
    ),
    Mutant(
        "records-not-confirmed",
        "After a lost answer records are asked for",
        JOURNAL,
        "where o.workflow_id = any(%(ids)s::text[]) and o.nonce = %(nonce)s\n",
        "where o.workflow_id = any(%(ids)s::text[]) and o.nonce = %(nonce)s and false\n",
        store=(_NONCE, _STANDS),
        crash=(_CUT,),
    ),
    Mutant(
        "part-accepted",
        "A write counts as accepted only when all its steps were recorded",
        "store/journal.py",
        "accepted = (workflow_id for workflow_id, count in rows.items() if 0 < count == done[workflow_id])",
        "accepted = (workflow_id for workflow_id, count in rows.items() if done[workflow_id])",
        store=(_STANDS,),
    ),
    Mutant(
        "part-confirmed",
        "… and as confirmed",
        "store/journal.py",
        "frozenset(workflow_id for workflow_id, count in rows.items() if 0 < count == done[workflow_id])",
        "frozenset(workflow_id for workflow_id, count in rows.items() if done[workflow_id])",
        store=("test_journal.py::test_a_batch_is_confirmed_only_where_all_of_it_was_written",),
    ),
    Mutant(
        "transaction-record-overwrites",
        "A transaction's record stands in the way of its second run",
        JOURNAL,
        "on conflict (workflow_id, step_id) do nothing\nreturning step_id",
        "on conflict (workflow_id, step_id) do update set output = excluded.output\nreturning step_id",
        store=(_UNDONE,),
    ),
    Mutant(
        "standing-record-unread",
        "A transaction that was recorded already returns what stands there",
        "store/transactions.py",
        "                if record is None and fence is not None:\n",
        "                if record is None and fence is None:\n",
        store=(_UNDONE,),
    ),
    Mutant(
        "last-words-are-the-steps-error",
        "A server's last words at BEGIN or COMMIT leave the transaction in doubt, and fail no step",
        "store/connections.py",
        "    return isinstance(error, errors.InternalError) and error.sqlstate is None\n",
        "    return isinstance(error, errors.InternalError) and error.sqlstate is None and False\n",
        store=("test_last_words.py::test_whatever_is_said_at_the_end_leaves_a_transaction_in_doubt",),
    ),
    Mutant(
        "answer-of-another-request",
        "A connection whose request was cut short is never used again",
        "store/wire.py",
        "            self._answer = None\n            self._lose(error)\n            raise\n",
        "            self._answer = None\n            raise\n",
        store=("test_wire.py::test_a_cancelled_request_loses_the_connection",),
    ),
    Mutant(
        "bad-data-sent-again",
        "What Postgres refuses for its data is told, not sent again for ever",
        "store/journal.py",
        "        except _BAD_DATA as error:\n",
        "        except ZeroDivisionError as error:\n",
        store=("test_journal.py::test_bad_data_is_refused_with_all_that_came_along",),
    ),
    Mutant(
        "plain-transaction-unmarked",
        "A transaction outside a workflow may not end itself either",
        "store/transactions.py",
        "                if fence is None:\n                    await _check_open(connection, mark)\n",
        "",
        store=("test_fence.py::test_a_transaction_without_a_record_may_not_end_itself",),
    ),
    Mutant(
        "migrations-without-lock",
        "Instances that start together migrate once",
        "store/migrations.py",
        "                await lock_migrations(connection)\n",
        "",
        store=("test_migrations.py::test_many_instances_that_start_together_migrate_once",),
    ),
)

PASSED_ON = (
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
        "  limit %(room)s\n  for update skip locked\n",
        "  limit %(room)s\n",
        store=("test_recovery.py::test_two_claims_of_one_moment_share_what_is_due",),
    ),
    Mutant(
        "claim-waits",
        "A claim waits for no row that another has in hand",
        INSTANCES,
        "  limit %(room)s\n  for update skip locked\n",
        "  limit %(room)s\n  for update\n",
        store=("test_recovery.py::test_two_claims_of_one_moment_share_what_is_due",),
    ),
    Mutant(
        "recovery-waits",
        "A recovery waits for no row that another has in hand",
        INSTANCES,
        "  limit %(limit)s\n  for update of w skip locked\n",
        "  limit %(limit)s\n  for update of w\n",
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
        '            await connection.execute(_SQL["adopt_orphans"])\n',
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
        "    set lease_until = excluded.lease_until,\n        backend_pid",
        "    set backend_pid",
        store=("test_recovery.py::test_a_beat_renews_the_lease_and_names_the_new_session",),
    ),
    Mutant(
        "new-session-unwritten",
        "A beat over a new connection names the new session",
        INSTANCES,
        "excluded.lease_until,\n        backend_pid = excluded.backend_pid,\n"
        "        backend_started = excluded.backend_started\n",
        "excluded.lease_until\n",
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

MUTANTS = FENCE + REPEATED + PASSED_ON
