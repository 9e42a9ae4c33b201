"""Retry and rewind, and what is noted of acts."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

CASES = "engine/test_retry.py::"
POSTGRES = "engine/test_retry_on_postgres.py::"
SQL = "store/test_retries.py::"
ANEW = "engine/test_anew.py::"
ANEW_ON_POSTGRES = "engine/test_anew_on_postgres.py::"
FOUND = "store/test_maps.py::test_of_the_maps_of_one_place_one_is_found"
SENT_AGAIN = (
    "store/test_conformance.py::test_what_a_retried_workflow_sends_is_the_same_message_or_another_one"
)
ACTS = "store/test_noted_acts.py::"
CUT_SHORT = "engine/test_cut_short.py::"
CUT_SHORT_ON_POSTGRES = "engine/test_cut_short_on_postgres.py::"

MUTANTS = (
    Mutant(
        "items-retried-until-long-ago",
        "Retried items have to end by when their map does",
        "engine/test_maps_on_postgres.py::test_an_items_timeout_counts_anew_from_when_it_goes_on",
    ),
    Mutant(
        "memory-items-retried-until-long-ago",
        "In memory retried items have to end by when their map does",
        "engine/test_maps.py::test_an_items_timeout_counts_anew_from_when_it_goes_on",
    ),
    Mutant(
        "waiting-uses-up-an-items-timeout",
        "An item's own timeout counts from when it begins",
        "engine/test_maps.py::test_an_items_own_timeout_counts_from_when_it_begins",
    ),
    Mutant(
        "told-of-former-ends",
        "Who waits after a retry is told of no end before it",
        CASES + "test_who_waits_after_a_retry_is_told_of_no_former_end",
        POSTGRES + "test_who_waits_after_a_retry_is_not_told_of_an_end_that_was_written_before",
    ),
    Mutant(
        "messages-lost-below-others",
        "A message that comes again does so though a later one stays received",
        POSTGRES + "test_messages_of_one_of_several_receives_come_again_in_their_order",
    ),
    Mutant(
        "memory-messages-lost-below-others",
        "In memory a message that comes again does so though a later one stays received",
        CASES + "test_messages_of_one_of_several_receives_come_again_in_their_order",
    ),
    Mutant(
        "drains-wait-for-the-next-attempt",
        "A shutdown waits for no pause between attempts",
        "engine/test_edges.py::test_who_waits_for_its_next_attempt_is_handed_over_at_once",
    ),
    Mutant(
        "acts-without-bound",
        "Of acts on a queue or a schedule the newest thousand are kept",
        ACTS + "test_acts_go_with_their_workflow_and_are_bounded_otherwise",
    ),
    Mutant(
        "cancels-unnoted",
        "A cancel is noted: who, why, and what stood before",
        ACTS + "test_a_cancel_is_noted_with_what_stood_before",
    ),
    Mutant(
        "begun-items-removed",
        "An item that waits to go on keeps what it has recorded though its map fails",
        POSTGRES + "test_items_that_wait_to_go_on_keep_what_they_have_done",
    ),
    Mutant(
        "memory-begun-items-removed",
        "In memory an item that waits to go on keeps what it has recorded though its map fails",
        CASES + "test_items_that_wait_to_go_on_keep_what_they_have_done",
    ),
    Mutant(
        "items-of-failed-maps-retried",
        "No item is retried of a map that begins nothing more",
        POSTGRES + "test_an_item_of_a_map_that_has_failed_is_not_retried",
    ),
    Mutant(
        "memory-items-of-failed-maps-retried",
        "In memory no item is retried of a map that begins nothing more",
        CASES + "test_an_item_of_a_map_that_has_failed_is_not_retried",
    ),
    Mutant(
        "maps-end-beside-a-retry",
        "A map does not end beside the retry of an item",
        SQL + "test_a_map_does_not_end_beside_the_retry_of_an_item",
    ),
    Mutant(
        "maps-end-beside-many-retries",
        "A map does not end beside a bulk that retries its items",
        SQL + "test_a_map_does_not_end_beside_the_retry_of_an_item",
    ),
    Mutant(
        "retried-while-children-undo",
        "A cancelled workflow is retried once what was cancelled with it has undone",
        POSTGRES + "test_what_is_cancelled_goes_on_once_its_children_have_undone",
    ),
    Mutant(
        "memory-retried-while-children-undo",
        "So it is in memory",
        CASES + "test_what_is_cancelled_goes_on_once_its_children_have_undone",
    ),
    Mutant("success-is-retried", "A success never changes", SQL + "test_what_can_not_be_retried"),
    Mutant(
        "memory-success-is-retried",
        "In memory a success never changes",
        CASES + "test_only_what_has_failed_is_retried",
    ),
    Mutant(
        "later-failures-stay",
        "Failures that came later go with the first one",
        SQL + "test_a_row_that_is_retried",
        POSTGRES + "test_several_failures_run_again_together",
    ),
    Mutant("retry-keeps-epoch", "A retry raises the epoch", SQL + "test_a_row_that_is_retried"),
    Mutant("retry-keeps-generation", "A retry raises the generation", SQL + "test_a_row_that_is_retried"),
    Mutant(
        "retried-past-its-deadline",
        "A timeout counts anew from the retry",
        SQL + "test_a_row_that_is_retried",
        POSTGRES + "test_a_passed_deadline_counts_anew",
    ),
    Mutant(
        "delays-outlast-a-retry",
        "A timeout counts from the retry alone: what was waited for after the call isn't added",
        POSTGRES + "test_a_timeout_counts_from_the_retry_alone",
    ),
    Mutant(
        "memory-delays-outlast-a-retry",
        "The same in memory",
        CASES + "test_a_timeout_counts_from_the_retry_alone",
    ),
    Mutant(
        "children-of-what-sql-started-end-before-it",
        "A child has the time of its retried parent though that one's row tells of none",
        POSTGRES + "test_a_child_has_the_time_of_its_retried_parent_whose_row_tells_of_none",
    ),
    Mutant(
        "memory-children-of-what-sql-started-end-before-it",
        "In memory a child has the time of its retried parent though that one's row tells of none",
        "engine/test_retry.py::test_a_child_has_the_time_of_its_retried_parent_whose_row_tells_of_none",
    ),
    Mutant(
        "retried-children-end-before-their-parent",
        "A child that goes on with its parent has its time",
        POSTGRES + "test_a_child_is_bounded_by_its_retried_parent",
    ),
    Mutant(
        "forks-without-timeout",
        "A fork that keeps records has the timeout anew",
        POSTGRES + "test_a_fork_has_the_timeout_anew",
    ),
    Mutant("second-end-untold", "The end after a retry is told, too", SQL + "test_a_row_that_is_retried"),
    Mutant(
        "settled-counts-as-failed",
        "What somebody has settled by hand has not failed",
        SQL + "test_what_was_settled_by_hand_has_not_failed",
    ),
    Mutant(
        "settled-failure-is-dropped",
        "A failure that somebody has settled by hand stays",
        SQL + "test_a_failure_that_was_settled_by_hand_stays",
    ),
    Mutant(
        "undone-counts-as-done",
        "What a saga has undone is done again, whatever its body failed of",
        CUT_SHORT_ON_POSTGRES + "test_what_a_body_undid_that_raised_by_itself_is_done_again",
    ),
    Mutant(
        "standing-undone-in-between",
        "What stands is undone after all that came of its error, which is replayed",
        CUT_SHORT_ON_POSTGRES + "test_what_came_of_what_stood_is_not_done_again[nested-came1]",
    ),
    Mutant(
        "memory-standing-undone-in-between",
        "In the in-memory store too",
        CUT_SHORT + "test_what_came_of_what_stood_is_not_done_again[nested-came1]",
    ),
    Mutant(
        "settled-depends-on-the-end",
        "What was settled since the workflow failed is not done again by a retry",
        CUT_SHORT_ON_POSTGRES + "test_what_was_settled_since_the_end_is_not_done_again[pays_after_its_saga]",
    ),
    Mutant(
        "childs-standing-taken-over",
        "A parent whose child could not undo all is retried with it",
        CUT_SHORT + "test_a_parent_of_what_stands_is_retried_with_it[parent]",
    ),
    Mutant(
        "undone-stays-done",
        "What a saga has undone, or may have, is no longer done where the record that it undid goes",
        CUT_SHORT_ON_POSTGRES + "test_a_retry_after_a_kill_begins_before_what_was_undone",
    ),
    Mutant(
        "memory-undone-stays-done",
        "The in-memory store takes that for undone as well",
        CUT_SHORT + "test_a_retry_after_a_kill_begins_before_what_was_undone",
    ),
    Mutant(
        "undo-begins-unnoted",
        "A record names an undo before that begins",
        CUT_SHORT + "test_a_retry_after_a_kill_begins_before_what_was_undone",
        CUT_SHORT + "test_what_could_not_be_undone_may_have_been",
    ),
    Mutant(
        "stops-forgotten",
        "What was lost while it undid goes on undoing when it is retried",
        CUT_SHORT_ON_POSTGRES + "test_one_that_was_lost_while_it_undid_is_still_cancelled",
    ),
    Mutant(
        "exhausted-untold",
        "Who waits for what was lost while it undid is told of its end",
        CUT_SHORT_ON_POSTGRES + "test_who_waits_for_one_that_was_lost_while_it_undid_is_told[parent]",
    ),
    Mutant(
        "memory-exhausted-untold",
        "By the in-memory store as well",
        CUT_SHORT + "test_who_waits_for_one_that_was_lost_while_it_undid_is_told[mapped]",
    ),
    Mutant(
        "given-up-untold",
        "Who waits for what was held while it undid, and was given up, is told of its end",
        "store/test_held.py::test_who_waits_for_what_is_given_up_while_it_undoes_is_told",
    ),
    Mutant(
        "memory-stops-forgotten",
        "In the in-memory store too",
        CUT_SHORT + "test_one_that_was_lost_while_it_undid_is_still_cancelled",
    ),
    Mutant(
        "children-stay-cancelled",
        "Children that were cancelled with their parent go on with it",
        POSTGRES + "test_children_that_were_cancelled_with_it_go_on_with_it",
    ),
    Mutant(
        "child-retried-without-fence",
        "Only who runs the parent retries its child",
        SQL + "test_a_child_is_retried_under_its_parents_fence",
    ),
    Mutant(
        "children-keep-the-time-of-before",
        "What still waits below has the time of what is retried",
        SQL + "test_what_lives_below_has_the_time_of_what_is_retried",
        POSTGRES + "test_a_child_that_still_waits_has_the_time_of_its_retried_parent",
    ),
    Mutant(
        "retried-children-outlast-their-parents",
        "A child that was retried before its parent, or with it, ends with that",
        SQL + "test_a_child_that_was_retried_before_its_parent_ends_with_that",
    ),
    Mutant(
        "memory-children-keep-the-time-of-before",
        "In memory what still waits below has the time of what is retried",
        "engine/test_retry.py::test_a_child_that_still_waits_has_the_time_of_its_retried_parent",
    ),
    Mutant(
        "refusing-children-fail-their-parents-retry",
        "A child whose row refuses a new time keeps nobody from being retried",
        "store/test_refused_alike.py::"
        "test_a_child_that_refuses_its_parents_new_time_keeps_it_from_no_retry[postgres]",
    ),
    Mutant(
        "childs-new-failure-forgotten",
        "A child that fails after its parent was retried fails that",
        SQL + "test_a_child_is_retried_under_its_parents_fence",
        POSTGRES + "test_a_child_that_fails_again_fails_its_parent_again",
    ),
    Mutant(
        "map-reopened-without-fence",
        "Only who runs a map's workflow lets it go on",
        SQL + "test_a_map_is_opened_again_under_its_parents_fence",
    ),
    Mutant(
        "items-reopened-twice",
        "An item that failed again after its map was opened again is not retried once more",
        SQL + "test_a_maps_items_go_on_some_at_a_time",
    ),
    Mutant(
        "reopening-maps-end",
        "A map is not over before all of its failed items go on",
        SQL + "test_a_maps_items_go_on_some_at_a_time",
    ),
    Mutant(
        "withdrawn-items-stay-away",
        "Items that a map had withdrawn are started by its retry",
        SQL + "test_a_map_is_opened_again_under_its_parents_fence",
        POSTGRES + "test_of_a_map_that_stopped_all_else_runs",
    ),
    Mutant(
        "children-fail-for-ever",
        "A failed child is retried with its parent",
        CASES + "test_a_failed_child_is_retried_with_its_parent",
    ),
    Mutant(
        "other-child-of-before",
        "What a retried workflow starts at a place where it had started something else is what it says now",
        CASES + "test_what_is_started_at_a_place_anew_is_what_the_code_says_now",
    ),
    Mutant(
        "started-in-each-generation",
        "What an earlier generation has started anew is found by a later one that starts the same",
        ANEW + "test_all_that_is_started_anew_is_what_the_code_says_now",
    ),
    Mutant(
        "other-children-of-before",
        "Of what start_all starts anew each is what the code says now",
        ANEW + "test_all_that_is_started_anew_is_what_the_code_says_now",
    ),
    Mutant(
        "another-functions-children",
        "Children of another function are not taken for those that are started",
        ANEW + "test_all_that_is_started_anew_may_be_of_another_function",
    ),
    Mutant(
        "messages-of-before-hinder",
        "What an earlier generation has sent doesn't keep a later one from sending something else",
        ANEW + "test_each_failure_is_told_and_stays_the_failure",
    ),
    Mutant(
        "sent-again-without-fence",
        "Who sends a retried workflow's messages runs it",
        SENT_AGAIN,
    ),
    Mutant(
        "sent-in-each-generation",
        "The same message is sent once, in whichever generation that was",
        SENT_AGAIN,
        ANEW_ON_POSTGRES + "test_the_same_message_is_sent_once_in_all_generations",
    ),
    Mutant(
        "sent-twice-in-a-generation",
        "In one generation a place sends one message, whatever the body says when it is run again",
        SENT_AGAIN,
        ANEW_ON_POSTGRES + "test_in_one_generation_a_place_sends_one_message",
    ),
    Mutant(
        "memory-sent-again-without-fence",
        "The in-memory store: who sends a retried workflow's messages runs it",
        SENT_AGAIN,
    ),
    Mutant(
        "memory-sent-in-each-generation",
        "The in-memory store sends the same message once, in whichever generation that was",
        SENT_AGAIN,
    ),
    Mutant(
        "memory-sent-twice-in-a-generation",
        "The in-memory store: in one generation a place sends one message",
        SENT_AGAIN,
    ),
    Mutant(
        "forks-of-before-hinder",
        "What an earlier generation has forked doesn't keep a later one from another fork",
        ANEW + "test_another_fork_is_another_one",
    ),
    Mutant(
        "map-found-without-fence",
        "Who looks for a retried workflow's map runs it",
        FOUND,
    ),
    Mutant(
        "memory-map-found-without-fence",
        "The in-memory store: who looks for a retried workflow's map runs it",
        FOUND,
    ),
    Mutant(
        "maps-of-before-hinder",
        "A retried workflow that maps over other items begins another map",
        FOUND,
        ANEW_ON_POSTGRES + "test_a_map_of_other_items_is_another_one",
    ),
    Mutant(
        "memory-maps-of-before-hinder",
        "The in-memory store: other items are another map",
        FOUND,
        ANEW + "test_a_map_of_other_items_is_another_one",
    ),
    Mutant(
        "maps-of-before-go-on",
        "Of a map beside which another has begun no more items begin",
        FOUND,
        ANEW_ON_POSTGRES + "test_of_a_map_beside_which_another_begins_nothing_more_begins",
    ),
    Mutant(
        "memory-maps-of-before-go-on",
        "The in-memory store: of a map beside which another has begun no more begins",
        FOUND,
        ANEW + "test_of_a_map_beside_which_another_begins_nothing_more_begins",
    ),
    Mutant(
        "retried-maps-tolerate-as-before",
        "A map that goes on tolerates what the code says now",
        ANEW_ON_POSTGRES + "test_of_a_map_of_the_same_items_only_the_failed_run_again",
    ),
    Mutant(
        "stopped-maps-succeed",
        "A map that was stopped before all had run has not succeeded",
        ANEW_ON_POSTGRES + "test_a_map_whose_workflow_failed_beside_it_goes_on_with_it",
    ),
    Mutant(
        "memory-stopped-maps-succeed",
        "The in-memory store: a map that was stopped before all had run has not succeeded",
        ANEW + "test_a_map_whose_workflow_failed_beside_it_goes_on_with_it",
    ),
    Mutant(
        "another-functions-child",
        "A child of another function is not taken for the one that is started",
        CASES + "test_what_is_started_at_a_place_anew_is_what_the_code_says_now",
    ),
    Mutant(
        "maps-fail-for-ever",
        "A map goes on with its failed items when its workflow is retried",
        CASES + "test_of_a_map_the_failed_items_run_again_only_them",
    ),
    Mutant(
        "sources-never-freed",
        "What a map has read is removed once it has succeeded",
        CASES + "test_what_a_generator_gave_is_kept_until_all_is_well",
    ),
    Mutant(
        "standing-not-tried-again",
        "What could not be undone is tried again by a retry",
        CUT_SHORT + "test_a_body_goes_on_once_all_is_undone",
    ),
    Mutant(
        "handled-failures-dropped",
        "A failure that the body has handled stays, where another came while it did",
        CASES + "test_a_failure_while_another_is_handled",
    ),
    Mutant(
        "timeouts-over-before-the-retry",
        "The body's timeouts count anew from the retry",
        CASES + "test_a_timeout_around_what_failed_begins_anew",
    ),
    Mutant(
        "time-passes-before-a-retry-begins",
        "No time passes for what is retried before it is claimed",
        "store/test_conformance.py::test_what_is_retried_goes_on_from_its_next_claim",
    ),
    Mutant(
        "time-passes-before-a-queued-retry-begins",
        "The same of what waits for its turn in a queue",
        "store/test_conformance.py::test_what_is_retried_goes_on_from_its_next_claim",
    ),
    Mutant(
        "memory-time-passes-before-a-retry-begins",
        "The same in memory",
        "store/test_conformance.py::test_what_is_retried_goes_on_from_its_next_claim",
    ),
    Mutant(
        "retry-gives-the-results-number-again",
        "A stream that is resumed after a retry misses none of what was recorded since",
        "store/test_conformance.py::test_what_is_retried_goes_on_from_its_next_claim",
        "http/test_done_anew.py::test_a_stream_that_is_resumed_after_a_retry_misses_nothing",
    ),
    Mutant(
        "forks-go-on-since-their-source",
        "A fork's timeouts count from its own beginning",
        "store/test_conformance.py::test_what_is_retried_goes_on_from_its_next_claim",
    ),
    Mutant(
        "retried-items-wait-in-their-time",
        "The time of an item that is retried alone doesn't count while it waits in its map",
        "engine/test_maps_on_postgres.py::test_an_item_that_is_retried_alone_has_its_time_from_when_it_begins",
    ),
)
