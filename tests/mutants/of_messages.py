"""Mutants of messages: numbered once, in order, received once, and never slept past."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

RECEIVING = "engine/receiving.py"
MESSAGES_SQL = "store/messages.sql"

MUTANTS = (
    Mutant(
        "numbered-without-the-lock",
        "Only who holds a workflow's row numbers its messages",
        MESSAGES_SQL,
        "  for no key update skip locked\n",
        "",
        store=("test_messages.py::test_numbers_follow_the_order_sent_whoever_delivers",),
    ),
    Mutant(
        "numbered-twice",
        "A message that another has numbered since is let alone",
        MESSAGES_SQL,
        "and m.number is null\n  for update of m skip locked\n",
        "\n",
        store=("test_messages.py::test_numbers_follow_the_order_sent_whoever_delivers",),
    ),
    Mutant(
        "wakes-nobody",
        "A message wakes the workflow that waits for it",
        MESSAGES_SQL,
        "then least(w.claimable_at, now())",
        "then w.claimable_at",
        engine=("test_messages.py::test_a_suspended_receiver_is_woken",),
    ),
    Mutant(
        "wakes-everybody",
        "… and no other",
        MESSAGES_SQL,
        " where t.topic = any(a.topics)\n",
        "\n",
        engine=("test_messages.py::test_another_topics_message_wakes_nobody",),
    ),
    Mutant(
        "receive-not-recorded",
        "Which message was received is recorded",
        RECEIVING,
        "        self._write(wait._replace(output=output, completion_order=order, ended=monotonic()))\n",
        "",
        engine=("test_messages.py::test_messages_come_in_the_order_sent_each_once",),
    ),
    Mutant(
        "received-again",
        "A workflow that comes back goes on after the last message that it received",
        RECEIVING,
        "self._received.get(topic, 0))",
        "0)",
        engine=("test_messages.py::test_a_suspended_receiver_is_woken",),
    ),
    Mutant(
        "leaves-with-a-message",
        "A workflow doesn't leave the memory with a message that a receive is about to take",
        RECEIVING,
        "        return all(self._boxes[topic].empty for topic in +self._receives)\n",
        "        return True\n",
        engine=("test_messages.py::test_nobody_leaves_with_a_message_in_the_box",),
    ),
    Mutant(
        "slept-past-a-message",
        "A suspension says which messages it knew",
        RECEIVING,
        "            known = min(self._boxes[topic].seen for topic in topics)\n",
        "            known = 2**31\n",
        engine=("test_messages.py::test_a_suspended_receiver_is_woken",),
    ),
    Mutant(
        "topics-mixed",
        "Each topic has an order of its own",
        MESSAGES_SQL,
        " and m.topic = r.topic and m.number > r.after\n",
        " and m.number > r.after\n",
        engine=("test_messages.py::test_each_topic_has_an_order_of_its_own",),
    ),
    Mutant(
        "look-that-began-before",
        "Who asks for a look is answered by one that began after",
        "engine/mail.py",
        "            asked, self._asked = self._asked, []\n",
        "            asked = self._asked\n",
        then=(
            (
                "                await self._read()\n",
                "                await self._read()\n                asked, self._asked = self._asked, []\n",
            ),
        ),
        engine=("test_messages.py::test_a_look_begins_after_who_asks_for_it",),
    ),
)
