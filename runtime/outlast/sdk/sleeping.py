"""`sleep` and `sleep_until`: waits that hold no memory, no connection and no instance."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime

from outlast.core.errors import UsageError
from outlast.sdk.calls import Done, ask
from outlast.sdk.durations import DURATION_MAX_S, Duration, seconds_of
from outlast.sdk.operations import Sleep
from outlast.sdk.running import line_here


def sleep(duration: Duration) -> Awaitable[None]:
    """Sleep for `duration` (seconds or a timedelta), through crashes and deploys.

    `await sleep(…)` in an `async def` workflow, `sleep(…)` in a `def` one. Raises UsageError outside a
    workflow and for what is no duration; a negative one is none, a longer one than 100 years is that.
    """
    return _sleep(seconds_of(duration, "sleep"), None, "sleep")


def sleep_until(when: datetime) -> Awaitable[None]:
    """Sleep until `when`, an aware datetime; one that has passed returns at once. As `sleep` otherwise."""
    if not isinstance(when, datetime) or when.tzinfo is None:
        raise UsageError(f"sleep_until takes an aware datetime such as datetime.now(UTC), not {when!r}")
    return _sleep(None, min(when.timestamp(), 2 * DURATION_MAX_S), "sleep_until")


def _sleep(duration_s: float | None, until_s: float | None, name: str) -> Awaitable[None]:
    line = line_here(name)
    if line is None:
        raise UsageError(
            f"{name} belongs in a workflow's body: a step that waits uses asyncio.sleep or time.sleep"
        )
    slept = ask(Sleep(duration_s, until_s), line, name)
    return Done(None) if line.threaded else slept
