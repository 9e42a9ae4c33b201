"""Times as people read them: how long ago, how long it took."""

from __future__ import annotations

from datetime import datetime
from typing import Any

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_LONG_AGO_S = 30 * 86_400


def moment(text: Any) -> datetime | None:
    """The moment that an ISO 8601 text with a zone names; None for anything else."""
    try:
        read = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return read if read.tzinfo is not None else None


def ago(at: datetime | None, now: datetime) -> str:
    """`3 min ago`, `in 2 h`, or the day where that is long ago."""
    if at is None:
        return ""
    seconds = (now - at).total_seconds()
    if abs(seconds) < 1:
        return "now"
    if abs(seconds) >= _LONG_AGO_S:
        return at.astimezone().strftime("%Y-%m-%d")
    if seconds > 0:
        size, unit = next(each for each in _UNITS if seconds >= each[0])
        return f"{int(seconds // size)} {unit} ago"
    return f"in {_time_until(-seconds)}"


def _time_until(seconds: float) -> str:
    """How long until then: a sleep of seven days that began a moment ago ends in `7 d`, not in `6 d`."""
    index = next(number for number, each in enumerate(_UNITS) if seconds >= each[0])
    smaller_s = _UNITS[min(index + 1, len(_UNITS) - 1)][0]
    seconds = round(seconds / smaller_s) * smaller_s
    size, unit = next(each for each in _UNITS if seconds >= each[0])
    return f"{int(seconds // size)} {unit}"


def span(seconds: float) -> str:
    """A duration: `340 ms`, `1.2 s`, `3 min 20 s`, `2 d 4 h`."""
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    index = next(number for number, each in enumerate(_UNITS) if seconds >= each[0])
    (size, unit), (next_size, next_unit) = _UNITS[index], _UNITS[index + 1]
    rest = int(seconds % size // next_size)
    return f"{int(seconds // size)} {unit}" + (f" {rest} {next_unit}" if rest else "")
