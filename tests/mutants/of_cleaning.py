"""What outlives its workers, and what is removed of ended workflows."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "one-kept-keeps-all",
        "What a table of the project's own keeps holds up no other",
        "store/test_retention.py::test_what_a_table_of_the_project_keeps_holds_up_no_other",
    ),
    Mutant(
        "what-stays-counts-as-removed",
        "What a trigger keeps without a word isn't taken for removed",
        "store/test_retention.py::test_what_a_trigger_keeps_without_a_word_holds_up_no_other",
    ),
    Mutant(
        "one-kept-keeps-its-tree",
        "Of a large tree what is kept holds up neither the rest nor another one",
        "store/test_retention.py::test_of_a_large_tree_what_is_kept_holds_up_neither_the_rest_nor_another_one",
    ),
    Mutant(
        "refused-start-tried-for-ever",
        "A start that is refused ends the service: no worker would fare better",
        "crash/test_supervised.py::test_a_refused_start_ends_it_in_one_line",
    ),
    Mutant(
        "live-ones-removed",
        "What lives is not removed, whatever else its row says",
        "store/test_retention.py::test_a_row_that_lives_stays_whatever_else_it_says",
    ),
    Mutant(
        "removed-too-soon",
        "What has ended is kept for as long as its function says",
        "store/test_retention.py::test_functions_that_say_so_keep_theirs_shorter_longer_or_for_ever",
    ),
    Mutant(
        "removed-under-its-forks",
        "Nothing is removed that a live fork may still read",
        "store/test_retention.py::test_what_a_fork_may_still_read_stays",
    ),
    Mutant(
        "removed-before-a-retry",
        "What a failed fork or parent reads if it is retried is not removed",
        "store/test_retention.py::test_what_a_fork_reads_if_it_is_retried_stays",
        "engine/test_operated_on_postgres.py::test_what_a_failed_fork_reads_is_there_when_it_is_retried",
    ),
    Mutant(
        "memory-removed-before-a-retry",
        "In memory what a failed fork or parent reads if it is retried is not removed",
        "store/test_retention_in_memory.py::test_nothing_goes_that_is_needed",
    ),
    Mutant(
        "removed-under-its-forks-in-memory",
        "In memory nothing is removed that a live fork may still read",
        "store/test_retention_in_memory.py::test_nothing_goes_that_is_needed",
    ),
    Mutant(
        "removed-though-waited-for",
        "Nothing is removed that a workflow waits for",
        "store/test_retention.py::test_nothing_goes_that_somebody_waits_for",
    ),
    Mutant(
        "removed-before-it-was-told",
        "Nothing is removed whose end is still to be told",
        "store/test_retention.py::test_nothing_goes_that_somebody_waits_for",
    ),
    Mutant(
        "removed-under-the-attached",
        "What a live workflow's call was attached to stays",
        "engine/test_queues_on_postgres.py::test_what_a_call_was_attached_to_is_kept_for_who_called",
    ),
    Mutant(
        "deleted-under-the-attached",
        "What was attached to it by its queue is not deleted under who may read it",
        "engine/test_queues_on_postgres.py::test_what_a_call_was_attached_to_is_kept_for_who_called",
    ),
    Mutant(
        "memory-deleted-under-the-attached",
        "In memory what was attached to it is not deleted under who may read it",
        "engine/test_queues.py::test_what_a_call_was_attached_to_is_kept_for_who_called",
    ),
    Mutant(
        "batches-removed-before-their-members",
        "A batch stays until its members have their results",
        "store/test_retention.py::test_nothing_goes_that_somebody_waits_for",
    ),
    Mutant(
        "branches-of-living-trees-removed",
        "Nothing of a large tree goes while one of it lives",
        "store/test_retention.py::test_children_go_with_their_parents_in_batches_of_any_size",
    ),
    Mutant(
        "parents-removed-before-their-children",
        "A tree goes as a whole",
        "store/test_retention.py::test_a_tree_stays_while_one_of_it_lives",
    ),
    Mutant(
        "removes-while-leaving",
        "An instance that leaves removes nothing",
        "engine/test_cleaning.py::test_one_that_leaves_removes_nothing",
    ),
    Mutant(
        "removed-too-soon-in-memory",
        "The same in memory",
        "store/test_retention_in_memory.py::test_nothing_goes_that_is_needed",
    ),
    Mutant(
        "removed-though-waited-for-in-memory",
        "The same in memory",
        "store/test_retention_in_memory.py::test_nothing_goes_that_is_needed",
    ),
    Mutant(
        "what-is-removed-goes-on",
        "Nothing is done to a workflow that is on its way out",
        "store/test_retention.py::test_a_large_tree_is_on_its_way_out_before_it_is_gone",
    ),
)
