"""Published events: each is the record of the call that published it, and is told from a step's."""

from __future__ import annotations

import re

EVENT_CHARS_MAX = 255
_PUBLISH = "publish "
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def event_record_name(event: str) -> str:
    """What the record of a published event is called. Its `attempts` are 0, which no step's are."""
    return _PUBLISH + event


def event_of(name: str, attempts: int) -> str | None:
    """The event that a record is; None for any other record, also of one that was given up."""
    return name.removeprefix(_PUBLISH) if attempts == 0 and name.startswith(_PUBLISH) else None


def holds_nul(text: str) -> bool:
    """Whether a text in this JSON holds NUL: `json` of Postgres takes it, `jsonb` and its readers don't."""
    return "\\u0000" in text and _NUL.search(text) is not None
