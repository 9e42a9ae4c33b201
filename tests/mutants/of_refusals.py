"""Rows that refuse what is done to them, or that somebody holds: they stop nobody else."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_TESTS = "store/test_one_by_one.py::"
_ALIKE = "store/test_refused_alike.py::"
_MAPS = "store/test_maps.py::"

MUTANTS = (
    Mutant(
        "one-row-stops-all",
        "A row that a trigger keeps as it is stops nobody else's claim, recovery, message or end",
        _TESTS + "test_who_refuses_a_claim_is_passed_by",
    ),
    Mutant(
        "conflicts-taken-for-refusals",
        "An error of the database's own is that of no row",
        _TESTS + "test_a_conflict_is_no_refusal",
    ),
    Mutant(
        "refused-ones-use-up-the-room",
        "Who refuses a claim uses up no room of others",
        _TESTS + "test_who_refuses_uses_up_no_room[0]",
    ),
    Mutant(
        "refused-suspects-use-up-the-room",
        "Who was lost often and refuses a claim uses up no room of others",
        _TESTS + "test_who_refuses_uses_up_no_room[5]",
    ),
    Mutant(
        "refused-ones-fill-recoveries",
        "Who refuses a recovery is passed by",
        _TESTS + "test_who_refuses_a_recovery_is_passed_by",
    ),
    Mutant(
        "refused-ones-fill-deliveries",
        "Messages to who refuses them are passed by",
        _TESTS + "test_who_refuses_messages_is_passed_by",
    ),
    Mutant(
        "refused-messages-asked-at-once",
        "Messages to who refuses them are not delivered again and again",
        _TESTS + "test_who_refuses_messages_is_passed_by",
    ),
    Mutant(
        "refusing-map-fails-its-items",
        "Items of a map end though its row refuses to be told of that",
        _TESTS + "test_items_end_though_their_map_refuses_to_be_told",
    ),
    Mutant(
        "refusals-never-forgotten",
        "A row that has done well is told of when it refuses again, and left out for a second at first",
        _TESTS + "test_who_refuses_again_is_left_out_for_longer",
    ),
    Mutant(
        "refusing-target-fails-its-waiters",
        "Who waits for one whose row refuses doesn't fail of that",
        _TESTS + "test_who_leaves_the_memory_for_one_that_refuses_looks_again_at_once",
    ),
    Mutant(
        "refused-ones-fill-tellings",
        "Ends that can't be marked as told are passed by",
        _TESTS + "test_so_many_that_refuse_to_be_told_are_passed_by",
    ),
    Mutant(
        "refused-ends-told-at-once",
        "What is refused is not told again and again",
        _TESTS + "test_a_child_that_refuses_to_be_cancelled_is_passed_by",
    ),
    Mutant(
        "held-map-holds-up-all",
        "Nobody waits for who holds a map's row to be told of other ends",
        _TESTS + "test_the_items_of_a_map_that_somebody_holds_are_told_later[tell]",
    ),
    Mutant(
        "refused-ones-use-up-the-room-in-memory",
        "Simulated claims pass by what has refused them",
        _ALIKE + "test_who_refuses_a_claim_is_passed_by_and_asked_again_later[memory]",
    ),
    Mutant(
        "refused-ones-fill-recoveries-in-memory",
        "Simulated recoveries pass by what has refused them",
        _ALIKE + "test_who_refuses_a_recovery_is_passed_by[memory]",
    ),
    Mutant(
        "refused-ones-fill-deliveries-in-memory",
        "Simulated deliveries pass by what has refused them",
        _ALIKE + "test_messages_to_who_refuses_them_are_passed_by[memory]",
    ),
    Mutant(
        "refused-messages-asked-at-once-in-memory",
        "Simulated deliveries are not repeated for what has refused them",
        _ALIKE + "test_messages_that_are_refused_are_not_delivered_again_at_once[memory]",
    ),
    Mutant(
        "refused-waiters-forgotten-in-memory",
        "Who can't be woken is woken later, in the simulation too",
        _ALIKE + "test_who_refuses_to_be_woken_by_an_event_is_woken_later[memory]",
    ),
    Mutant(
        "one-row-stops-its-queue",
        "A row that refuses to begin stops nobody else of its queue",
        _ALIKE + "test_who_refuses_to_begin_takes_no_place_of_its_queue[postgres-{'concurrency': 1}]",
    ),
    Mutant(
        "one-that-refuses-a-rank-stops-its-queue",
        "A row that refuses to be ready stops nobody else of its queue",
        _TESTS + "test_who_refuses_to_be_ready_stops_no_queue",
    ),
    Mutant(
        "one-that-refuses-to-expire-stops-its-queue",
        "A row that refuses to expire stops nobody else of its queue",
        _ALIKE + "test_who_refuses_to_expire_does_not_begin_either[postgres]",
    ),
    Mutant(
        "one-follower-stops-its-batch",
        "A row that refuses to be in a batch stops nobody else of it",
        _ALIKE + "test_batches_are_made_of_those_that_let_them[postgres]",
    ),
    Mutant(
        "refused-ones-asked-at-each-decision",
        "What has refused to begin is asked nothing for a while",
        _TESTS + "test_nothing_is_asked_of_what_a_queue_passes_by[{'concurrency': 5}]",
    ),
    Mutant(
        "refused-ones-in-each-batch",
        "What has refused to be in a batch is asked nothing for a while",
        _TESTS + "test_nothing_is_asked_of_what_a_queue_passes_by[{'batch': {'n': 5, 'wait': 0}}]",
    ),
    Mutant(
        "refused-ones-fill-batches",
        "What refuses to be in a batch makes none full",
        _ALIKE + "test_who_refuses_fills_no_batch[postgres]",
    ),
    Mutant(
        "exclusive-order-lost-by-refusals",
        "What refuses to be ready keeps its place before others of an exclusive key",
        _TESTS + "test_who_refuses_to_be_ready_keeps_its_place_before_others_of_an_exclusive_key",
    ),
    Mutant(
        "conflicts-taken-for-refusals-by-queues",
        "An error of the database's own is that of no row of a queue",
        _TESTS + "test_a_conflict_is_no_refusal_of_a_queues_either",
    ),
    Mutant(
        "one-row-stops-its-queue-in-memory",
        "Simulated queues pass by what refuses to begin",
        _ALIKE + "test_who_refuses_to_go_on_in_its_queue_is_passed_by[memory]",
    ),
    Mutant(
        "one-follower-stops-its-batch-in-memory",
        "Simulated batches pass by what refuses to be in them",
        _ALIKE + "test_batches_are_made_of_those_that_let_them[memory]",
    ),
    Mutant(
        "exclusive-order-lost-by-refusals-in-memory",
        "What refuses to begin keeps its place before others of an exclusive key in the simulation, too",
        _ALIKE + "test_others_of_an_exclusive_key_keep_their_order[memory]",
    ),
    Mutant(
        "refusing-map-fails-its-workflow",
        "Who maps waits for a map whose row refuses to be moved",
        _MAPS + "test_who_maps_waits_for_a_map_whose_row_refuses[postgres]",
    ),
    Mutant(
        "refusing-item-keeps-others",
        "An item that refuses to go keeps no other from going",
        _MAPS + "test_a_map_that_is_stopped_keeps_only_the_item_that_refuses[postgres]",
    ),
    Mutant(
        "refusing-map-fails-its-retry",
        "A retry waits for what refuses of its map",
        _MAPS + "test_a_retry_waits_for_what_refuses_of_its_map[postgres-w/map.1]",
    ),
    Mutant(
        "refusing-child-fails-its-parent",
        "A retry waits for a child that refuses",
        _MAPS + "test_a_retry_waits_for_a_child_that_refuses[postgres]",
    ),
    Mutant(
        "memory-refusing-maps-go-on",
        "Who maps waits for a map whose row refuses in the simulation, too",
        _MAPS + "test_who_maps_waits_for_a_map_whose_row_refuses[memory]",
    ),
    Mutant(
        "memory-refusing-maps-stopped",
        "Maps that refuse it are not stopped in the simulation",
        _MAPS + "test_a_map_that_refuses_to_be_stopped_keeps_its_items[memory]",
    ),
    Mutant(
        "memory-refusing-items-stopped",
        "Items that refuse it do not go in the simulation",
        _MAPS + "test_a_map_that_is_stopped_keeps_only_the_item_that_refuses[memory]",
    ),
    Mutant(
        "memory-refusing-items-reopened",
        "A retry waits for what refuses of its map in the simulation, too",
        _MAPS + "test_a_retry_waits_for_what_refuses_of_its_map[memory-w/map.1]",
    ),
    Mutant(
        "memory-refusing-children-retried",
        "A retry waits for a child that refuses in the simulation, too",
        _MAPS + "test_a_retry_waits_for_a_child_that_refuses[memory]",
    ),
    Mutant(
        "refusing-bulk-stops-all",
        "A bulk whose row refuses its end keeps no other",
        _ALIKE + "test_a_bulk_whose_row_refuses_its_end_keeps_no_other[postgres]",
    ),
    Mutant(
        "one-row-keeps-a-queue-full",
        "A row that refuses it keeps no other from being drained",
        _ALIKE + "test_a_drain_says_how_many_it_cancelled_and_leaves_what_refuses[postgres]",
    ),
    Mutant(
        "refusals-of-verbs-unexplained",
        "A verb says that a row refuses it",
        _ALIKE + "test_a_verb_says_that_a_row_refuses_it_and_leaves_all_as_it_was[postgres-pause]",
    ),
    Mutant(
        "refusals-of-cancels-unexplained",
        "A cancel says that a row refuses it",
        _ALIKE + "test_a_cancel_says_that_a_row_refuses_it[postgres]",
    ),
    Mutant(
        "memory-refusing-rows-paused",
        "What refuses it is not paused in the simulation",
        _ALIKE + "test_a_verb_says_that_a_row_refuses_it_and_leaves_all_as_it_was[memory-pause]",
    ),
    Mutant(
        "memory-refusing-rows-retried",
        "What refuses it is not retried in the simulation",
        _ALIKE + "test_a_retry_says_that_what_was_cancelled_with_it_refuses[memory]",
    ),
    Mutant(
        "memory-refusing-rows-drained",
        "What refuses it is not drained in the simulation",
        _ALIKE + "test_a_drain_says_how_many_it_cancelled_and_leaves_what_refuses[memory]",
    ),
    Mutant(
        "memory-refusing-items-stop-bulks",
        "Simulated bulks tell of what refuses, and do the others",
        _ALIKE + "test_a_bulk_tells_of_what_refuses_and_does_the_others[memory-pause]",
    ),
    Mutant(
        "memory-refusing-bulks-end",
        "A bulk whose row refuses it does not end in the simulation",
        _ALIKE + "test_a_bulk_whose_row_refuses_its_end_keeps_no_other[memory]",
    ),
)
