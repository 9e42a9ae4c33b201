"""Batches: what is in them, and how their members end."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

POSTGRES = "engine/test_queues_on_postgres.py::"

MUTANTS = (
    Mutant(
        "members-of-batches-uncounted",
        "Members of a batch that runs are counted as open",
        "engine/test_queues_on_postgres.py::test_members_of_a_batch_that_runs_are_counted_as_open",
    ),
    Mutant(
        "batch-of-what",
        "A function that gets batches takes a list",
        "functions/test_queues.py::test_what_a_function_with_batches_can_not_be",
    ),
    Mutant(
        "batches-of-two-functions",
        "A queue with batches is one function's",
        "functions/test_queues.py::test_a_queue_with_batches_has_one_function",
    ),
    Mutant(
        "batch-of-another-length",
        "A batch returns as many results as it got inputs",
        "engine/queue_cases.py::test_a_list_of_another_length_is_a_failure_that_says_so",
    ),
    Mutant(
        "batches-of-one-name",
        "Whose first member was the first of another batch before, that batch has a name of its own",
        POSTGRES + "test_members_that_are_retried_or_called_again_come_into_another_batch",
    ),
    Mutant(
        "one-input-fails-a-batch",
        "An input that is none for the function fails alone",
        "engine/queue_cases.py::test_an_input_that_is_none_fails_alone",
    ),
    Mutant(
        "one-validator-fails-a-batch",
        "An input whose validator raises anything fails alone",
        "engine/queue_cases.py::test_an_input_whose_validator_fails_otherwise_fails_alone",
    ),
    Mutant(
        "members-end-later",
        "Members end in the commit of their batch",
        POSTGRES + "test_members_end_in_the_commit_of_their_batch_and_not_by_an_end_that_is_refused",
    ),
    Mutant(
        "batch-full-unseen",
        "A full batch begins at once",
        POSTGRES + "test_a_full_batch_begins_at_once_and_each_caller_gets_its_own",
    ),
    Mutant(
        "batch-before-its-time",
        "One that isn't full waits",
        POSTGRES + "test_what_is_in_no_full_batch_waits_for_its_time",
    ),
    Mutant(
        "any-function-in-a-batch",
        "Only functions that are declared with a queue are in its batches",
        POSTGRES + "test_a_function_without_batches_is_in_no_queue_with_them",
    ),
    Mutant(
        "results-in-any-order",
        "Each caller gets its own element",
        POSTGRES + "test_a_full_batch_begins_at_once_and_each_caller_gets_its_own",
    ),
    Mutant(
        "members-end-before-their-batch",
        "An end of a batch that is refused ends no member",
        POSTGRES + "test_members_end_in_the_commit_of_their_batch_and_not_by_an_end_that_is_refused",
    ),
    Mutant(
        "members-outlive-their-batch",
        "Members of a batch that was cancelled, exhausted or removed end",
        POSTGRES + "test_a_batch_that_is_cancelled_takes_its_callers_with_it",
    ),
)
