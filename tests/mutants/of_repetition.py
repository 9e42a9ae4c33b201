"""Mutants of what makes it safe to do something again: keys, nonces, and who believes them."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

JOURNAL = "store/journal.sql"
_REFUSED = "test_journal.py::test_a_refused_fence_lets_nothing_of_its_workflow_in"
_STANDS = "test_journal.py::test_a_step_that_stands_there_is_not_accepted_but_a_sleep_that_is_over_is"
_UNDONE = "test_fence.py::test_a_transaction_that_was_recorded_undoes_its_second_run"
_NONCE = "test_fence.py::test_what_a_lost_answer_said_is_told_by_the_nonce"

MUTANTS = (
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
        "completed_at = excluded.completed_at,\n        nonce = excluded.nonce,\n",
        "completed_at = excluded.completed_at,\n",
        store=("test_fence.py::test_a_sleep_is_ended_by_none_but_itself",),
    ),
    Mutant(
        "end-without-nonce",
        "An ended workflow bears the nonce of its batch",
        JOURNAL,
        "      owner = null,\n      nonce = %(nonce)s,\n",
        "      owner = null,\n",
        store=(_NONCE,),
    ),
    Mutant(
        "start-without-nonce",
        "A started workflow bears the nonce of its batch",
        JOURNAL,
        "%(instance)s, 1, %(nonce)s, now()",
        "%(instance)s, 1, null, now()",
        store=(_NONCE,),
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
    ),
    Mutant(
        "records-not-confirmed",
        "After a lost answer records are asked for",
        JOURNAL,
        "where o.workflow_id = any(%(ids)s::text[]) and o.nonce = %(nonce)s\n",
        "where o.workflow_id = any(%(ids)s::text[]) and o.nonce = %(nonce)s and false\n",
        store=(_NONCE, _STANDS),
    ),
    Mutant(
        "part-accepted",
        "A write counts as accepted only when all its steps were recorded",
        "store/journal.py",
        "accepted = (workflow_id for workflow_id, count in rows.items() if count == done[workflow_id])",
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
        "                    if fence is None:\n"
        "                        await _check_open(connection, mark)\n",
        "",
        store=("test_fence.py::test_a_transaction_without_a_record_may_not_end_itself",),
    ),
    Mutant(
        "migrations-without-lock",
        "Instances that start together migrate once",
        "store/migrations.py",
        "            await lock_migrations(connection)\n",
        "",
        store=("test_migrations.py::test_many_instances_that_start_together_migrate_once",),
    ),
)
