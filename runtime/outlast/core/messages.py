"""The record of a receive: the message that it received."""

from __future__ import annotations

import re
from collections.abc import Iterable

from outlast.core.records import Message, StepRecord

TOPIC_CHARS_MAX = 255
TIMED_OUT = "null"
"""The output of a receive that timed out."""

_RECEIVE = "receive"
_ENVELOPE = re.compile(r'\{"message_id":(\d+),"number":(\d+),"message":(.*)\}', re.DOTALL)


def receive_name(topic: str) -> str:
    """The name of a receive's record."""
    return f"{_RECEIVE} {topic}" if topic else _RECEIVE


def envelope_of(message: Message) -> str:
    """The output of a receive that received `message`. The body is inserted unchanged."""
    return f'{{"message_id":{message.message_id},"number":{message.number},"message":{message.body}}}'


def message_in(output: str | None) -> Message | None:
    """The message in a recorded output; None if the receive timed out."""
    found = _ENVELOPE.fullmatch(output or TIMED_OUT)
    return None if found is None else Message(int(found[1]), int(found[2]), found[3])


def last_received(receives: Iterable[StepRecord]) -> dict[str, int]:
    """By topic, the number of the last message in these records of receives.

    Messages of a topic are received in order, and recorded in that order. So all messages before the last one
    were received, and none after it. A message that a retry receives again gets a new number.
    """
    last: dict[str, int] = {}
    for record in receives:
        if record.completion_order is not None and record.error is None:
            message = message_in(record.output)
            if message is not None:
                topic = record.name.removeprefix(_RECEIVE).removeprefix(" ")
                last[topic] = max(last.get(topic, 0), message.number)
    return last
