"""Batches: what is in them, and how their members end."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
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
        "one-input-fails-a-batch",
        "An input that is none for the function fails alone",
        "engine/queue_cases.py::test_an_input_that_is_none_fails_alone",
    ),
    Mutant(
        "members-end-later",
        "Members end in the commit of their batch",
        "engine/test_queues_on_postgres.py::"
        "test_members_end_in_the_commit_of_their_batch_and_not_by_an_end_that_is_refused",
    ),
)
