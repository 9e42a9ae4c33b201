"""Published events: each is the record of the call that published it; its kind tells it from a step's."""

from __future__ import annotations

from outlast.core.kinds import PUBLISH

EVENT_BYTES_MAX = 255
"""Counted in UTF-8, as Realtime does."""
_PUBLISH = "publish "


def event_record_name(event: str) -> str:
    """What the record of a published event is called."""
    return _PUBLISH + event


def event_of(name: str, kind: str | None) -> str | None:
    """The name of the event that was published; None for a record of any other kind."""
    return name.removeprefix(_PUBLISH) if kind == PUBLISH else None
