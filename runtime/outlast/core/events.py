"""Published events: each is the record of the call that published it; its kind tells it from a step's.

Who takes events of another workflow has a record for each, with its number and its value.
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
    """What the record of a published event is called."""
    return _PUBLISH + event


def event_of(name: str, kind: str | None) -> str | None:
    """The name of the event that was published; None for a record of any other kind."""
    return name.removeprefix(_PUBLISH) if kind == PUBLISH else None


class Taken(NamedTuple):
    """What came of taking an event: the event, or none as the workflow has `ended`, or none in time."""

    event: PublishedEvent | None
    ended: bool = False


_ENDED = '{"ended":true}'
_TIMED_OUT = "null"
_TAKEN = re.compile(r'\{"number":(\d+),"value":(.*)\}', re.DOTALL)


def taking_name(event: str, workflow_id: str) -> str:
    """What the record of taking an event is called."""
    return f"event {event} of {workflow_id}"


def taken_record(taken: Taken) -> str:
    """The output of taking an event. Its value is inserted unchanged."""
    if taken.event is None:
        return _ENDED if taken.ended else _TIMED_OUT
    return f'{{"number":{taken.event.number},"value":{taken.event.value}}}'


def taken_in(output: str | None) -> Taken:
    """What a recorded output says."""
    found = _TAKEN.fullmatch(output or _TIMED_OUT)
    return Taken(None, output == _ENDED) if found is None else Taken(PublishedEvent(int(found[1]), found[2]))


def check_event_name(event: object, where: str) -> str:
    """`event`, if it is a name. Raises UsageError."""
    # A text that is no UTF-8 has a refusal of its own, below.
    size = len(event.encode("utf-8", "surrogatepass")) if isinstance(event, str) else 0
    if not isinstance(event, str) or not 1 <= size <= EVENT_BYTES_MAX or "\0" in event:
        raise UsageError(
            f"{where} takes an event's name of 1 to {EVENT_BYTES_MAX} bytes of UTF-8, not {event!r:.100}"
        )
    check_text(event, "the event's name")
    return str.__str__(event)  # of an enum's member the value


EMITTED_BYTES_MAX = 64 * 1024
"""Of JSON, for one value."""


class Emission(NamedTuple):
    """One value, and what said it.

    Of one step the newest (`epoch`, `attempt`) counts: what an earlier one said may be said again.
    """

    step_id: str
    name: str
    """Of the step."""
    epoch: int
    """Rises when the workflow is taken over from an instance that was lost."""
    attempt: int
    number: int
    """From 1 in each attempt, without gaps."""
    value: str
    """JSON text."""
    after: int
    """The completion order of the last record that the workflow had then."""
