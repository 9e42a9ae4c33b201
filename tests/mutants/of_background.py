"""Background loops: woken, retried, told of, and in nobody's way; and who hears of it."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "wake-without-end",
        "A wake is followed by one round",
        "unit/test_background.py::test_a_wake_during_a_round_leads_to_another_one_after_it",
    ),
    Mutant(
        "loop-ends-at-a-failure",
        "A loop goes on whatever a round raises",
        "unit/test_background.py::test_failures_are_retried_at_once_and_then_ever_later_and_told_once",
    ),
    Mutant(
        "loop-ends-with-what-it-waits-for",
        "Also if what was cancelled is something that it waited for",
        "unit/test_background.py::test_what_a_round_waits_for_may_be_cancelled",
    ),
    Mutant(
        "loop-without-turns",
        "Rounds without a pause leave the event loop to others in between",
        "unit/test_background.py::test_rounds_without_a_pause_leave_others_their_turn",
    ),
    Mutant(
        "loop-fails-again-and-again",
        "One failure is told once, however often it comes again",
        "unit/test_background.py::test_failures_are_retried_at_once_and_then_ever_later_and_told_once",
    ),
    Mutant(
        "loop-without-backoff",
        "Failing rounds come ever more seldom",
        "unit/test_background.py::test_failures_are_retried_at_once_and_then_ever_later_and_told_once",
    ),
    Mutant(
        "pauses-add-up",
        "Who loses several sessions in a row is back before others take it for dead",
        "engine/test_edges.py::test_sessions_lost_one_after_the_other_put_the_return_off_once",
    ),
    Mutant(
        "loop-that-never-relents",
        "Pauses begin anew once a loop is told that what failed is over",
        "unit/test_background.py::test_who_knows_that_what_failed_is_over_lets_pauses_grow_from_the_shortest_again",
    ),
    Mutant(
        "rounds-for-nothing",
        "A loop whose failed rounds are not to be repeated waits for a wake",
        "unit/test_background.py::test_what_is_not_to_be_repeated_waits_for_a_wake_and_its_pauses_grow_all_the_same",
    ),
    Mutant(
        "loop-that-does-not-end",
        "A loop ends without waiting for what is due next",
        "unit/test_background.py::test_a_loop_ends_wherever_it_is",
    ),
    Mutant(
        "listener-fails-who-tells",
        "What a listener raises reaches neither other listeners nor who told it",
        "unit/test_listeners.py::test_one_that_fails_is_told_of_once_and_disturbs_nobody",
    ),
    Mutant(
        "held-taken-for-away",
        "A row that somebody holds is not told as a database that is away",
        "unit/test_background.py::test_a_row_that_somebody_holds_is_no_absence",
    ),
)
