"""Messages: numbered once, in order, received once, and never slept past."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "one-inbox-stops-all",
        "Messages to a workflow that somebody holds hold up nobody else's",
        "store/test_messages.py::test_messages_to_one_that_is_held_hold_up_nobody_elses",
    ),
    Mutant(
        "numbered-without-the-lock",
        "Only who holds a workflow's row numbers its messages",
        "store/test_messages.py::test_numbers_follow_the_order_sent_whoever_delivers",
    ),
    Mutant(
        "wakes-nobody",
        "A message wakes the workflow that waits for it",
        "engine/test_messages.py::test_a_suspended_receiver_is_woken",
    ),
    Mutant(
        "receive-not-recorded",
        "Which message was received is recorded",
        "engine/test_messages.py::test_messages_come_in_the_order_sent_each_once",
    ),
    Mutant(
        "received-again",
        "A workflow that comes back goes on after the last message that it received",
        "engine/test_messages.py::test_a_suspended_receiver_is_woken",
    ),
    Mutant(
        "leaves-with-a-completion",
        "A workflow that has taken a message doesn't leave the memory before its body is handed it",
        "engine/test_messages.py::test_a_message_that_was_taken_keeps_its_workflow_in_memory",
    ),
    Mutant(
        "leaves-with-a-message",
        "A workflow doesn't leave the memory with a message that a receive is about to take",
        "engine/test_messages.py::test_nobody_leaves_with_a_message_in_the_box",
    ),
    Mutant(
        "leaves-before-it-has-looked",
        "A workflow that waits for others doesn't leave the memory before it has looked",
        "engine/test_slow_looks.py::test_what_is_there_is_found_before_its_waiter_leaves",
    ),
)
