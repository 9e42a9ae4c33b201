"""What a workflow sees when it runs again, and what a step is."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "members-stay-members",
        "A key that is an enum's member is its value, whatever Python makes of it",
        "engine/test_children.py::test_a_member_of_an_enum_is_its_value",
    ),
    Mutant(
        "holds-that-cant-be-written",
        "A hold is written whatever the error says that it quotes",
        "engine/test_workflows.py::test_a_recorded_input_that_no_longer_fits_stops_the_workflow",
    ),
    Mutant(
        "kinds-of-what-failed-forgotten",
        "Dates and decimals of an exception come back as what they were",
        "unit/test_failures.py::test_an_exception_comes_back_as_it_was[TooLate]",
    ),
    Mutant(
        "texts-of-errors-believed",
        "A step whose error has no text is tried again as any other",
        "engine/test_foreign_errors.py::test_whatever_its_class_refuses[Unprintable]",
    ),
    Mutant(
        "classes-refuse-to-end",
        "A workflow ends, whatever the class of what it raised refuses",
        "engine/test_foreign_errors.py::test_whatever_its_class_refuses[Frozen]",
    ),
    Mutant(
        "classes-refuse-their-record",
        "A failure is recorded, whatever its class refuses",
        "engine/test_foreign_errors.py::test_whatever_its_class_refuses[Renamed]",
    ),
    Mutant(
        "classes-refuse-to-pass",
        "A body can catch what a transaction raised, whatever its class refuses",
        "engine/test_foreign_errors.py::test_a_class_that_refuses_all_is_caught_as_what_a_transaction_raised",
    ),
    Mutant(
        "inputs-that-cant-be-read-fail",
        "A recorded input that a validator of other code refuses in any way holds its workflow",
        "engine/test_workflows.py::test_a_recorded_input_that_no_longer_fits_stops_the_workflow["
        "LookupError('no such customer')]",
    ),
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
        "paths-without-branches",
        "A task's calls are numbered by its branch, whatever order tasks run in",
        "unit/test_replay.py::test_paths_number_calls_and_branches",
    ),
    Mutant(
        "uncalled-steps-ignored",
        "A recorded completion whose call was not made stops the replay at once",
        "unit/test_replay.py::test_a_completion_whose_call_was_not_made_diverges",
    ),
    Mutant(
        "recorded-order-ignored",
        "On replay results come in the recorded order",
        "engine/test_body_loop.py::test_a_replay_gives_what_a_run_in_one_go_gives[queues]",
    ),
    Mutant(
        "futures-hashed-by-address",
        "Sets of a body's futures go in the same order on replay",
        "engine/test_body_loop.py::test_a_replay_gives_what_a_run_in_one_go_gives[waits_over_shields]",
    ),
    Mutant(
        "collected-generators-closed-at-once",
        "What the collector does, and when, decides nothing in a body",
        "engine/test_body_loop.py::test_where_the_collector_finds_a_generator_makes_no_difference",
    ),
    Mutant(
        "scopes-hashed-by-address",
        "anyio's sets of a body's scopes go in the same order on replay",
        "engine/test_body_order.py::test_a_group_of_anyio_is_cancelled_in_the_same_order",
    ),
    Mutant(
        "cancelled-without-message",
        "A transaction is cancelled with the message of who did that, by which anyio knows its own",
        "engine/test_commit_in_doubt.py::test_a_scope_of_anyio_knows_its_own_cancellation_of_a_transaction",
    ),
    Mutant(
        "times-rounded-down",
        "A timer strikes when its time has come for the body too, not a moment before",
        "unit/test_clock.py::test_whole_microseconds_are_never_earlier",
    ),
    Mutant(
        "other-arguments-replayed",
        "A call with other arguments than the recorded ones is told, or stops the replay",
        "engine/test_body_loop.py::test_other_arguments_on_replay_stop_it_where_that_is_set",
    ),
    Mutant(
        "sets-hashed-anew",
        "Every process of a project hashes alike, so sets go in the same order",
        "unit/test_hash_seed.py::test_a_process_without_one_starts_anew_with_it",
    ),
    Mutant(
        "begins-beside-what-was-given-up",
        "A step begins only after the end of what its body gave up before",
        "engine/test_cancellation.py::test_a_step_begins_after_the_end_of_what_was_given_up",
    ),
    Mutant(
        "places-not-reserved",
        "No later completion passes one that another connection commits",
        "engine/test_order.py::test_no_completion_passes_one_that_is_about_to_be_committed",
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
