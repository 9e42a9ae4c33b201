"""Rows that refuse what is done to them, or that somebody holds: they stop nobody else."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_TESTS = "store/test_one_by_one.py::"
_ALIKE = "store/test_conformance.py::"

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
)
