"""What makes it safe to do something again: keys, nonces, and who believes them."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "start-conflict-overwrites",
        "A start leaves a row that is there as it is",
        "store/test_fence.py::test_a_start_leaves_a_row_that_is_there_as_it_is",
        "store/test_journal.py::test_a_refused_fence_lets_nothing_of_its_workflow_in",
    ),
    Mutant(
        "record-overwrites",
        "A step that is recorded stays as it is",
        "store/test_journal.py::test_a_step_that_stands_there_is_not_accepted_but_a_sleep_that_is_over_is",
    ),
    Mutant(
        "sleep-ended-by-another",
        "An unfinished sleep is ended by a record of the same name alone",
        "store/test_fence.py::test_a_sleep_is_ended_by_none_but_itself",
    ),
    Mutant(
        "strangers-start-confirmed",
        "After a lost answer a start is known by its nonce, not by being there",
        "store/test_fence.py::test_what_a_lost_answer_said_is_told_by_the_nonce",
        "store/test_journal.py::test_a_step_that_stands_there_is_not_accepted_but_a_sleep_that_is_over_is",
    ),
    Mutant(
        "strangers-record-confirmed",
        "After a lost answer a record is known by its nonce, not by being there",
        "store/test_journal.py::test_a_step_that_stands_there_is_not_accepted_but_a_sleep_that_is_over_is",
    ),
    Mutant(
        "part-accepted",
        "A write counts as accepted only when all its steps were recorded",
        "store/test_journal.py::test_a_step_that_stands_there_is_not_accepted_but_a_sleep_that_is_over_is",
    ),
    Mutant(
        "transaction-record-overwrites",
        "A transaction's record stands in the way of its second run",
        "store/test_fence.py::test_a_transaction_that_was_recorded_undoes_its_second_run",
    ),
    Mutant(
        "standing-record-unread",
        "A transaction that was recorded already returns what stands there",
        "store/test_fence.py::test_a_transaction_that_was_recorded_undoes_its_second_run",
    ),
    Mutant(
        "second-runs-error",
        "A second run that fails on what the first has done is no failure",
        "store/test_fence.py::test_a_second_run_that_fails_was_done_by_the_first",
    ),
    Mutant(
        "nul-cuts-off",
        "A text with NUL is refused, not sent in part",
        "store/test_wire.py::test_what_the_server_would_read_as_less_is_not_sent",
    ),
    Mutant(
        "answer-of-another-request",
        "A connection whose request was cut short is never used again",
        "store/test_wire.py::test_a_cancelled_request_loses_the_connection",
    ),
    Mutant(
        "plain-transaction-unmarked",
        "A transaction outside a workflow may not end itself either",
        "store/test_fence.py::test_a_transaction_without_a_record_may_not_end_itself",
    ),
    Mutant(
        "migrations-without-lock",
        "Instances that start together migrate once",
        "store/test_migrations.py::test_many_instances_that_start_together_migrate_once",
    ),
    Mutant(
        "own-migrations-alone",
        "A project's migrations in a checkout aren't Outlast's own",
        "store/test_migrations.py::test_a_migration_of_a_project_beside_ours_is_not_ours",
    ),
    Mutant(
        "another-message-taken-for-it",
        "A message of a queue that was made anew isn't the older one of its number",
        "queues/test_consume.py::test_a_queue_that_was_made_anew_loses_nothing",
    ),
)
