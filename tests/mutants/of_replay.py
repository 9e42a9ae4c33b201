"""What a workflow sees when it runs again, and what a step is."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "names-not-compared",
        "Replay that meets another step than the recorded one stops",
        "unit/test_replay.py::test_another_name_diverges_and_both_are_told",
    ),
    Mutant(
        "unreached-steps-ignored",
        "A body that ends before what it once did stops",
        "engine/test_workflows.py::test_changed_code_stops_with_both_steps_named",
    ),
    Mutant(
        "timer-unrecorded",
        "A timer of the body that struck is recorded",
        "engine/test_timers.py::test_it_strikes_on_replay_where_it_struck",
    ),
    Mutant(
        "paths-without-branches",
        "A task's calls are numbered by its branch, whatever order tasks run in",
        "unit/test_replay.py::test_paths_number_calls_and_branches",
    ),
    Mutant(
        "results-at-once",
        "A result waits until the branch that got the one before has come to rest",
        "engine/test_order.py::test_the_next_result_waits_until_the_branch_that_got_one_is_at_rest",
    ),
    Mutant(
        "results-without-turns",
        "Results go to concurrent branches one by one",
        "engine/test_order.py::test_results_come_in_the_recorded_order_however_they_are_asked_for",
    ),
    Mutant(
        "recorded-order-ignored",
        "On replay results come in the recorded order",
        "engine/test_order.py::test_results_come_in_the_recorded_order_however_they_are_asked_for",
    ),
    Mutant(
        "places-not-reserved",
        "No later completion passes one that another connection commits",
        "engine/test_order.py::test_no_completion_passes_one_that_is_about_to_be_committed",
    ),
    Mutant(
        "cancelled-step-unrecorded",
        "A step that the body gave up is recorded so",
        "engine/test_cancellation.py::test_a_cancelled_step_is_recorded_and_not_run_again",
    ),
    Mutant(
        "lossy-values-accepted",
        "A value that would come back as another is refused",
        "unit/test_codec.py::test_what_would_come_back_as_something_else_is_refused",
    ),
    Mutant(
        "retries-for-ever",
        "A step is tried as often as asked",
        "unit/test_retry.py::test_by_default_nothing_is_tried_again",
    ),
    Mutant(
        "given-up-in-doubt",
        "A transaction that was given up ends nothing before it is known that it wasn't committed",
        "engine/test_commit_in_doubt.py::test_who_is_cancelled_during_a_commit_learns_what_came_of_it",
    ),
    Mutant(
        "failed-in-doubt",
        "Nor does one that failed",
        "engine/test_commit_in_doubt.py::test_the_end_goes_by_what_was_committed[times_out]",
    ),
    Mutant(
        "place-in-doubt-unreserved",
        "And no later result passes meanwhile",
        "engine/test_order.py::test_no_result_passes_a_transaction_given_up_in_doubt",
    ),
    Mutant(
        "sleep-starts-anew",
        "After a crash a sleep ends when it was to end",
        "engine/test_sleeps.py::test_a_crash_keeps_the_wake_time",
    ),
    Mutant(
        "sleep-unsaved",
        "A sleep beside other work is recorded when it begins",
        "engine/test_sleeping_beside.py::test_a_sleep_is_recorded_when_it_begins",
    ),
    Mutant(
        "passed-deadline-ignored",
        "A deadline that passed while nobody ran the workflow ends it",
        "engine/test_workflows.py::test_a_deadline_that_passed_while_nobody_ran_it_ends_it_at_recovery",
    ),
    Mutant(
        "steps-within-steps",
        "A step called in a step is a plain call, recorded nowhere",
        "engine/test_steps.py::test_a_step_may_use_all_of_asyncio",
    ),
    Mutant(
        "conflicts-fail",
        "A serialization failure runs the transaction again",
        "engine/test_transactions.py::test_conflicts_run_the_body_again",
    ),
    Mutant(
        "lost-commit-fails",
        "A transaction whose answer was lost runs again, and its record undoes the second run",
        "engine/test_transactions.py::test_a_connection_killed_in_the_body_runs_it_again",
    ),
)
