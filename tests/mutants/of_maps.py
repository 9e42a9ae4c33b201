"""Maps: who begins them and their items, who ends them, and what is told of them."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "lists-without-bound",
        "A body holds no list that is longer than it can make anew",
        "engine/test_start_all.py::test_misuse_is_told",
    ),
    Mutant(
        "one-key-for-two",
        "No two items of a map have one key",
        "engine/test_maps.py::test_misuse_is_told",
    ),
    Mutant(
        "items-with-ids-of-forks",
        "No item has an id that a fork could have",
        "engine/test_maps.py::test_no_key_makes_an_id_that_a_fork_could_have",
    ),
    Mutant(
        "queries-without-bound",
        "A map over a query has a million items at most",
        "engine/test_maps_on_postgres.py::test_queries_that_can_not_be_are_told",
    ),
    Mutant(
        "queries-conflict-for-ever",
        "A map whose query conflicts again and again fails, and says so",
        "engine/test_maps_on_postgres.py::test_a_query_that_conflicts_again_and_again_is_told",
    ),
    Mutant(
        "generators-without-bound",
        "A map over what a step yields has a million items at most",
        "engine/test_maps.py::test_a_generator_without_end_is_refused",
    ),
    Mutant(
        "items-kept-without-epoch",
        "What a step yields is kept under its workflow's epoch",
        "store/test_maps.py::test_items_are_kept_under_their_parents_fence_and_may_be_kept_anew",
    ),
    Mutant(
        "large-maps-unplanned",
        "The planner gets to know of a large map before autovacuum tells it",
        "store/test_maps.py::test_the_planner_gets_to_know_of_a_large_map",
    ),
    Mutant(
        "progress-taken-for-a-call",
        "What is told of a map is no call of its parent's body",
        "engine/test_maps.py::test_the_parent_leaves_the_memory_and_the_last_item_wakes_it",
    ),
    Mutant(
        "progress-beside-the-owner",
        "Only who owns a parent takes a place in its order",
        "store/test_maps.py::test_progress_is_told_by_others_only_while_nobody_owns_the_parent",
    ),
    Mutant(
        "memory-progress-beside-the-owner",
        "The same in memory",
        "store/test_maps.py::test_progress_is_told_by_others_only_while_nobody_owns_the_parent",
    ),
    Mutant(
        "last-items-miss-each-other",
        "Of two last items that end at once the later one sees the other",
        "engine/test_maps_on_postgres.py::test_of_two_last_items_that_end_at_once_the_later_one_ends_the_map",
    ),
    Mutant(
        "maps-end-later",
        "A map ends in the commit of its last item",
        "store/test_maps.py::test_the_last_item_ends_the_map_and_its_queue",
    ),
    Mutant(
        "memory-maps-end-later",
        "The same in memory",
        "store/test_maps.py::test_the_last_item_ends_the_map_and_its_queue",
    ),
    Mutant(
        "failures-tolerated-without-end",
        "No more begin once more have failed than are tolerated",
        "store/test_maps.py::test_a_map_that_has_failed_starts_nothing_more",
    ),
    Mutant(
        "stopped-map-goes-on",
        "A map that has failed starts no further block",
        "store/test_maps.py::test_a_map_that_has_failed_starts_nothing_more",
    ),
    Mutant(
        "map-without-fence",
        "A map begins under its parent's fence",
        "store/test_maps.py::test_a_map_begins_under_its_parents_fence",
    ),
    Mutant(
        "block-without-epoch",
        "Items start under their parent's epoch",
        "store/test_maps.py::test_a_block_starts_under_its_parents_fence",
    ),
    Mutant(
        "block-without-owner",
        "Items are started by their parent's owner",
        "store/test_maps.py::test_a_block_starts_under_its_parents_fence",
    ),
    Mutant(
        "memory-block-without-fence",
        "The same in memory",
        "store/test_maps.py::test_a_block_starts_under_its_parents_fence",
    ),
    Mutant(
        "stopped-maps-keep-their-queues",
        "A map that nobody waits for any more leaves no queue behind",
        "store/test_maps.py::test_the_queue_of_a_map_that_is_cancelled_before_its_first_item_goes",
    ),
    Mutant(
        "memory-stopped-maps-keep-their-queues",
        "The same in memory",
        "store/test_maps.py::test_the_queue_of_a_map_that_is_cancelled_before_its_first_item_goes",
    ),
    Mutant(
        "cancelled-maps-items-removed",
        "What a cancelled map has started is cancelled, not removed",
        "store/test_maps.py::test_items_of_a_cancelled_workflow_are_cancelled_and_not_removed",
    ),
    Mutant(
        "block-in-any-place",
        "A block starts once, where the map stands",
        "store/test_maps.py::test_a_block_starts_once_and_in_its_place",
    ),
)
