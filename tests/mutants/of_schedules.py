"""When schedules tick, and who says so."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "what-is-slow-tried-as-often",
        "A schedule whose ticks take too long is tried ever more seldom, as others wait meanwhile",
        "engine/test_schedules.py::test_a_schedule_whose_tick_is_slow_makes_no_other_miss_one",
    ),
    Mutant(
        "ticks-without-end",
        "A tick that takes too long is given up, and others go on",
        "engine/test_schedules_on_postgres.py::test_a_schedule_whose_tick_is_slow_holds_up_no_other_for_long",
    ),
    Mutant(
        "ticks-wait-for-a-refused-one",
        "A missed tick that is refused for good is skipped, and those after it run",
        "engine/test_schedules.py::test_a_missed_tick_that_is_refused_for_good_is_skipped_for_those_after_it",
    ),
    Mutant(
        "no-pause-of-its-own",
        "A schedule whose ticks fail is tried ever more seldom",
        "engine/test_schedules.py::test_a_schedule_whose_tick_fails_slows_no_other",
    ),
    Mutant(
        "failing-schedules-fill-what-is-due",
        "Schedules whose ticks fail keep no other from being found",
        "engine/test_schedules_on_postgres.py::test_however_many_fail_others_are_found",
    ),
    Mutant(
        "one-declaration-stops-all-schedules",
        "What is due is done though what code declares can't be put into effect",
        "engine/test_schedules_on_postgres.py::test_whoever_holds_a_schedule_that_code_changes_holds_up_no_other",
    ),
    Mutant(
        "one-unusable-schedule-stops-all",
        "A schedule that can't be marked as unusable holds up no other",
        "engine/test_schedules_on_postgres.py::test_a_schedule_that_can_not_be_marked_as_unusable_holds_up_no_other",
    ),
    Mutant(
        "one-backfill-stops-all",
        "A backfill that fails stops no other",
        "engine/test_schedules_on_postgres.py::test_whoever_holds_the_door_of_a_backfill_holds_up_no_other_and_no_tick",
    ),
    Mutant(
        "one-tick-stops-its-backfill",
        "A tick of the past that a row refuses is skipped, and those after it are run",
        "engine/test_schedules_on_postgres.py::test_a_tick_of_the_past_that_is_refused_stops_no_other",
    ),
    Mutant(
        "memory-one-tick-stops-its-backfill",
        "Backfills skip what is refused in the simulation, too",
        "engine/test_schedules.py::test_a_tick_of_the_past_that_is_refused_stops_no_other",
    ),
    Mutant(
        "backfills-without-turns",
        "Backfills take turns",
        "engine/test_schedules.py::test_backfills_take_turns_and_slow_no_tick",
    ),
    Mutant(
        "locked-is-away",
        "Whoever holds the row of one schedule's workflow holds up no other schedule",
        "engine/test_schedules_on_postgres.py::test_whoever_holds_the_row_of_a_tick_holds_up_no_other_schedule",
    ),
    Mutant(
        "a-tick-comes-twice-at-a-change",
        "Two times in a gap, or an hour that comes again, are no two ticks",
        "unit/test_timetables.py::test_times_are_these",
    ),
    Mutant(
        "catchup-however-late",
        "The last missed tick is run a day late at most",
        "unit/test_schedules.py::test_the_last_missed_one_is_run_a_day_late_at_most",
    ),
    Mutant(
        "ticks-after-until",
        "No tick is later than `until`",
        "unit/test_schedules.py::test_no_tick_is_later_than_until",
    ),
    Mutant(
        "backfills-skip-in-silence",
        "What the queue of a backfill does not take is noted",
        "store/test_schedules.py::test_what_the_queue_of_a_backfill_does_not_take_is_noted",
    ),
    Mutant(
        "undecided-stops-all",
        "A schedule of which nothing can be decided holds up no other",
        "engine/test_schedules_on_postgres.py::test_a_schedule_of_which_nothing_can_be_decided_holds_up_no_other",
    ),
    Mutant(
        "one-schedule-stops-all",
        "A schedule whose tick fails holds up no other, which is not told of",
        "engine/test_schedules.py::test_a_schedule_whose_tick_fails_slows_no_other",
    ),
    Mutant(
        "ticks-while-leaving",
        "An instance that leaves starts nothing more",
        "unit/test_schedules.py::test_an_instance_that_leaves_ticks_no_more",
    ),
    Mutant(
        "tick-decided-by-an-older-row",
        "What was decided by an older row is not done",
        "store/test_schedules.py::test_an_order_by_an_older_row_does_nothing",
    ),
    Mutant(
        "tick-keeps-its-revision",
        "Each tick makes the row another one",
        "store/test_schedules.py::test_an_order_is_done_once",
    ),
    Mutant(
        "failures-in-a-row-unseen",
        "A schedule is paused after its failures in a row",
        "store/test_schedules.py::test_it_is_paused_by_failures_in_a_row",
    ),
    Mutant(
        "overlap-unseen",
        "A tick looks whether an earlier one is live",
        "store/test_schedules.py::test_a_tick_is_skipped_under_the_lock",
    ),
    Mutant(
        "ticks-without-a-key",
        "A schedule whose queue would find no key is refused at load",
        "functions/test_schedules.py::test_what_is_refused_at_load",
    ),
    Mutant(
        "refused-ticks-cancel",
        "What runs is cancelled by the next tick only if that one's queue takes it",
        "store/test_schedules.py::test_who_runs_is_cancelled_only_if_the_next_tick_is_taken",
    ),
    Mutant(
        "attached-ticks-count-as-run",
        "A tick that another workflow answers is none that was run",
        "store/test_schedules.py::test_a_tick_that_is_absorbed_is_run_and_one_that_is_attached_is_not",
    ),
    Mutant(
        "changed-schedules-lose-ticks",
        "A change of its options takes no tick from a schedule",
        "store/test_schedules.py::test_a_change_of_its_options_takes_no_tick_that_is_due",
    ),
    Mutant(
        "an-older-edition-declares",
        "Only the newest code of instances that live declares schedules",
        "store/test_schedules.py::test_only_the_newest_edition_declares",
    ),
    Mutant(
        "broken-files-lose-their-schedules",
        "Schedules of files that can't be loaded stay as they are",
        "store/test_schedules.py::test_schedules_of_broken_files_stay",
    ),
)
