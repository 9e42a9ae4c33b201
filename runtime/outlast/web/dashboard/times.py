"""Times and spans as pages show them, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from outlast.core.clock import machine_now

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def moment(at: str | datetime | None) -> datetime | None:
    """A time out of a document, in UTC."""
    if not at:
        return None
    found = at if isinstance(at, datetime) else datetime.fromisoformat(at)
    return found.astimezone(UTC)


def clock(at: str | datetime | None) -> str:
    """`29 Nov 09:12:22`; of another year `29 Nov 2025 09:12`. It is UTC."""
    found = moment(at)
    if found is None:
        return ""
    other = found.year != machine_now().year
    return f"{found.day} {found:%b %Y %H:%M}" if other else f"{found.day} {found:%b %H:%M:%S}"


def exact(at: str | datetime | None) -> str:
    """`2026-11-29 09:12:22.123 UTC`."""
    found = moment(at)
    return "" if found is None else f"{found:%Y-%m-%d %H:%M:%S}.{found.microsecond // 1000:03d} UTC"


def seconds_between(begin: str | datetime | None, end: str | datetime | None) -> float | None:
    """From one time to the other, or until now; None without a begin."""
    began = moment(begin)
    return None if began is None else max(0.0, ((moment(end) or machine_now()) - began).total_seconds())


def span(seconds: float | None) -> str:
    """`12 ms`, `1.24 s`, `3 min 05 s`, `2 h 10 min`, `4 d 3 h`."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    for place, (unit_s, unit) in enumerate(_UNITS):
        if seconds >= unit_s:
            lower_s, lower = (*_UNITS, (1, "s"))[place + 1]
            return f"{int(seconds // unit_s)} {unit} {int(seconds % unit_s // lower_s):02d} {lower}"
    raise AssertionError(seconds)
