"""Published events: each is the record of the call that published it, and is told from a step's."""

from __future__ import annotations

EVENT_BYTES_MAX = 255
"""In UTF-8: so Realtime counts."""
_PUBLISH = "publish "


def event_record_name(event: str) -> str:
    """What the record of a published event is called. Its `attempts` are 0, which no step's are."""
    return _PUBLISH + event


def event_of(name: str, attempts: int) -> str | None:
    """The event that a record is; None for any other record, also of one that was given up."""
    return name.removeprefix(_PUBLISH) if attempts == 0 and name.startswith(_PUBLISH) else None
