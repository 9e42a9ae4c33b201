"""Published events. An event is the record of the call that published it; the record's kind tells it from a
step.

A workflow that takes events of another one has a record for each, with the event's number and value.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from outlast.core.errors import UsageError
from outlast.core.kinds import PUBLISH
from outlast.core.records import PublishedEvent
from outlast.core.storable import check_text

EVENT_BYTES_MAX = 255
"""Counted in UTF-8, as Realtime does."""
_PUBLISH = "publish "


def event_record_name(event: str) -> str:
    """The name of a published event's record."""
    return _PUBLISH + event


def event_of(name: str, kind: str | None) -> str | None:
    """The name of a published event; None for a record of another kind."""
    return name.removeprefix(_PUBLISH) if kind == PUBLISH else None


class Taken(NamedTuple):
    """The result of waiting for an event: the event; or none, because the workflow `ended`, or in time."""

    event: PublishedEvent | None
    ended: bool = False


_ENDED = '{"ended":true}'
_TIMED_OUT = "null"
_TAKEN = re.compile(r'\{"number":(\d+),"value":(.*)\}', re.DOTALL)


def taking_name(event: str, workflow_id: str) -> str:
    """The name of the record that takes an event."""
    return f"event {event} of {workflow_id}"


def taken_record(taken: Taken) -> str:
    """The output of the record that takes an event. The event's value is inserted unchanged."""
    if taken.event is None:
        return _ENDED if taken.ended else _TIMED_OUT
    return f'{{"number":{taken.event.number},"value":{taken.event.value}}}'


def taken_in(output: str | None) -> Taken:
    """The content of a recorded output."""
    found = _TAKEN.fullmatch(output or _TIMED_OUT)
    return Taken(None, output == _ENDED) if found is None else Taken(PublishedEvent(int(found[1]), found[2]))


def check_event_name(event: object, where: str) -> str:
    """`event`, if it is a valid name. Raises UsageError."""
    # A text that can't be encoded in UTF-8 is refused below, with its own message.
    size = len(event.encode("utf-8", "surrogatepass")) if isinstance(event, str) else 0
    if not isinstance(event, str) or not 1 <= size <= EVENT_BYTES_MAX or "\0" in event:
        raise UsageError(
            f"{where} takes an event's name of 1 to {EVENT_BYTES_MAX} bytes of UTF-8, not {event!r:.100}"
        )
    check_text(event, "the event's name")
    return str.__str__(event)  # for an enum's member its value


EMITTED_BYTES_MAX = 64 * 1024
"""The limit of one value's JSON, in bytes."""


class Emission(NamedTuple):
    """A value that a running step emitted.

    Only the newest attempt (`epoch`, `attempt`) of a step counts: it may emit again what an earlier one did.
    """

    step_id: str
    name: str
    """The step's name."""
    epoch: int
    """Higher after the workflow was taken over from a lost instance."""
    attempt: int
    number: int
    """Counts from 1 in each attempt, without gaps."""
    value: str
    """JSON text."""
    after: int
    """The completion order of the workflow's last record at that time."""
