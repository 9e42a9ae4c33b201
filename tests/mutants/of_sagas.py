"""Sagas: what was done is undone."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

CASES = "engine/test_sagas.py::"
POSTGRES = "engine/test_sagas_on_postgres.py::"

MUTANTS = (
    Mutant(
        "unknown-not-undone",
        "A step that failed may have taken effect: it is undone",
        CASES + "test_an_exception_undoes_the_last_first_and_is_raised_on",
    ),
    Mutant(
        "undone-in-order-of-completion",
        "What completed last is undone first",
        CASES + "test_the_order_is_that_of_completion",
    ),
    Mutant(
        "undo-ends-the-others",
        "What an undo raises that is no Exception keeps no other from being undone",
        CASES + "test_what_is_no_exception_ends_no_undoing_either[Abort]",
    ),
    Mutant(
        "undo-tried-once",
        "An undo that failed is tried again later",
        CASES + "test_an_undo_that_fails_is_tried_again_and_leaves_the_memory_meanwhile",
    ),
    Mutant(
        "undo-fails-in-silence",
        "An undo that failed is told of",
        CASES + "test_an_undo_that_fails_is_tried_again_and_leaves_the_memory_meanwhile",
    ),
    Mutant(
        "undo-recorded-after-its-step",
        "What undoes a step is recorded before that begins",
        CASES + "test_an_exception_undoes_the_last_first_and_is_raised_on",
        CASES + "test_a_cancel_of_a_workflow_that_sleeps_undoes_and_ends_as_cancelled",
    ),
    Mutant(
        "undone-though-left-normally",
        "A saga that is left normally undoes nothing",
        CASES + "test_what_is_left_normally_is_kept",
    ),
    Mutant(
        "done-after-its-saga",
        "A step that begins when its saga was left is refused",
        CASES + "test_a_step_is_not_done_after_its_saga",
    ),
    Mutant(
        "undo-not-shielded",
        "Nothing cancels an undo",
        CASES + "test_nothing_cancels_an_undo",
    ),
    Mutant(
        "undone-beside-its-thread",
        "An undo waits for the thread of what it undoes",
        POSTGRES + "test_an_undo_waits_for_the_thread_of_what_it_undoes",
    ),
    Mutant(
        "goes-on-after-its-stop",
        "After its stop a body only undoes",
        CASES + "test_nothing_else_is_called_beside_an_undo",
    ),
    Mutant(
        "stop-not-recorded",
        "A stop is recorded, at its place among the completions",
        CASES + "test_a_cancel_of_a_workflow_that_sleeps_undoes_and_ends_as_cancelled",
    ),
    Mutant(
        "left-in-sagas-unheard",
        "What a body did not leave stands, and that is told",
        CASES + "test_a_body_that_never_leaves_its_saga_ends_and_tells_what_stands",
    ),
    Mutant(
        "stands-in-silence",
        "What could not be undone is told though the body only undoes, or has ended",
        CASES + "test_what_stands_is_told_however_the_body_ends[swallows]",
        CASES + "test_what_stands_is_told_however_the_body_ends[leaves_it_running]",
    ),
    Mutant(
        "stops-of-others-unheard",
        "Who runs a workflow hears of a cancel by another instance",
        CASES + "test_a_cancel_by_another_instance_is_heard_by_who_runs_it",
    ),
    Mutant(
        "sagas-unmarked",
        "A cancel knows that there is something to undo",
        POSTGRES + "test_a_cancel_of_a_workflow_that_sleeps_undoes_and_ends_as_cancelled",
    ),
    Mutant(
        "stops-sleep",
        "What is cancelled while it leaves the memory is woken",
        "store/test_sagas.py::test_what_is_cancelled_while_it_leaves_the_memory_is_due_at_once",
    ),
    Mutant(
        "undoing-taken-for-cancelled",
        "A cancel that has something to undo is accepted, not done",
        "http/test_sagas_page.py::test_a_cancel_over_http_is_accepted_and_ends_in_cancelled",
    ),
    Mutant(
        "children-outlast-the-undoing",
        "A cancel passes down though the cancelled one has something to undo first",
        POSTGRES + "test_a_cancel_passes_down_while_the_parent_still_undoes",
    ),
    Mutant(
        "memory-children-outlast-the-undoing",
        "The in-memory store passes it down as well",
        CASES + "test_a_cancel_passes_down_while_the_parent_still_undoes",
    ),
    Mutant(
        "children-of-the-undone-go-on",
        "What a cancelled workflow started while it undid is cancelled with it",
        POSTGRES + "test_what_an_undo_has_started_ends_with_the_one_that_was_cancelled",
    ),
)
