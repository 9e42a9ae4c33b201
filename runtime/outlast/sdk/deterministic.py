"""`now`, `uuid4` and `random` of a workflow's body: the same on each replay, without a record."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

from outlast.core.clock import machine_now
from outlast.core.errors import UsageError
from outlast.sdk.running import Line, line_here

_BITS = 53
"""Of a float's mantissa."""


def now() -> datetime:
    """What time it is, as an aware datetime in UTC.

    In a workflow's body: when it was handed the last result, which is recorded with that. Elsewhere the time.
    """
    line = line_here("now")
    return machine_now() if line is None else datetime.fromtimestamp(line.body.now_s, UTC)


def uuid4() -> UUID:
    """A random UUID, which follows from the workflow's id and the place of the call. No secret.

    Raises UsageError outside a workflow's body: there `uuid.uuid4` is right.
    """
    return UUID(bytes=_draw("uuid4")[:16], version=4)


def random() -> float:
    """A random number, 0 ≤ x < 1, which follows from the workflow's id and the place of the call. No secret.

    Raises UsageError outside a workflow's body: there `random.random` is right.
    """
    return (int.from_bytes(_draw("random")[:7], "big") >> 3) / (1 << _BITS)


def _draw(name: str) -> bytes:
    line: Line | None = line_here(name)
    if line is None:
        raise UsageError(
            f"outlast.{name} is for a workflow's body, where it is the same on each replay: elsewhere, in "
            f"steps too, use Python's own"
        )
    return sha256(line.body.draw().encode()).digest()
