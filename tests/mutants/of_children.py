"""Children: who waits for an end is woken in its commit, and cancels pass down."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "ends-told-to-nobody",
        "The journal tells of ends in their own commit",
        "store/test_waits.py::test_an_end_wakes_who_waits_for_it_and_says_so",
    ),
    Mutant(
        "waits-for-what-has-ended",
        "Nobody leaves the memory for what has ended",
        "store/test_waits.py::test_an_end_that_came_first_makes_the_suspension_due_at_once",
    ),
    Mutant(
        "waits-without-the-lock",
        "A wait is noted under the lock of the row that it is for",
        "store/test_waits_on_postgres.py::test_a_target_that_is_locked_keeps_nobody_asleep",
    ),
    Mutant(
        "waiters-sleep-on",
        "An end makes claimable who waits for it",
        "store/test_waits.py::test_an_end_wakes_who_waits_for_it_and_says_so",
    ),
    Mutant(
        "locked-waiters-forgotten",
        "Who was locked when an end came is woken later",
        "store/test_waits_on_postgres.py::test_a_waiter_that_is_locked_is_woken_by_the_next_claim",
    ),
    Mutant(
        "told-from-an-old-snapshot",
        "Who may not see all waits leaves it to the next claim to tell",
        "store/test_waits_on_postgres.py::test_what_nobody_told_of_is_told_by_the_next_claim",
    ),
    Mutant(
        "ends-untold-for-ever",
        "Instances tell of ends that nobody told of",
        "engine/test_parents_on_postgres.py::test_an_end_that_nobody_told_of_wakes_by_the_next_tick",
    ),
    Mutant(
        "cancel-told-to-nobody",
        "A cancel tells of its end in its own commit",
        "store/test_waits.py::test_a_cancel_wakes_who_waits",
    ),
    Mutant(
        "cancels-stop-halfway",
        "A cancel that has too many children for one commit goes on",
        "store/test_waits_on_postgres.py::test_a_cancel_of_many_goes_on_by_the_next_claims",
    ),
    Mutant(
        "detached-children-cancelled",
        "What was detached goes on",
        "store/test_waits.py::test_what_is_detached_goes_on",
    ),
    Mutant(
        "children-of-the-cancelled",
        "Who was cancelled starts nothing more",
        "store/test_waits.py::test_a_cancelled_parent_starts_nothing_more",
    ),
    Mutant(
        "children-beside-a-cancel",
        "A start and a cancel of its parent don't pass each other",
        "store/test_waits_on_postgres.py::test_a_child_that_starts_beside_a_cancel_is_no_orphan",
    ),
    Mutant(
        "ids-without-bound",
        "Ids stay below what an index holds",
        "unit/test_names.py::test_ids_of_any_generation_are_bounded_and_their_own",
    ),
    Mutant(
        "paths-without-bound",
        "Ids of steps stay below what an index holds",
        "engine/test_long_ids.py::test_tasks_in_tasks",
    ),
)
