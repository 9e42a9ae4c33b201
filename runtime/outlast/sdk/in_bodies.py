"""What a workflow's body calls: sleeps, published events, callback links, patches, time and chance."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from outlast.core.callbacks import USES_MAX
from outlast.core.clock import machine_now
from outlast.core.errors import UsageError
from outlast.core.events import check_event_name
from outlast.core.patches import NAME
from outlast.core.storable import check_json
from outlast.sdk.calls import ask, ask_done
from outlast.sdk.durations import DURATION_MAX_S, Duration, positive_seconds_of, seconds_of
from outlast.sdk.messages import VALUES, topic_of
from outlast.sdk.operations import Callback, Publish, Sleep
from outlast.sdk.running import line_here, line_in_body
from outlast.sdk.values import Values

CALLBACK_EXPIRES_S = 7 * 24 * 3600.0
CALLBACK_EXPIRES_S_MAX = 366 * 24 * 3600.0

_EVENTS = Values("the event's value")


def sleep(duration: Duration) -> Awaitable[None]:
    """Sleep for `duration` (seconds or a timedelta), through crashes and deploys.

    `await sleep(…)` in an `async def` workflow, `sleep(…)` in a `def` one. A negative duration counts as 0,
    one of more than 100 years as 100 years. Raises UsageError outside a workflow, and for an invalid
    duration.
    """
    return _sleep(seconds_of(duration, "sleep"), None, "sleep")


def sleep_until(when: datetime) -> Awaitable[None]:
    """Sleep until `when`, an aware datetime; returns at once if it has passed. Otherwise like `sleep`."""
    if not isinstance(when, datetime) or when.tzinfo is None:
        raise UsageError(f"sleep_until takes an aware datetime such as datetime.now(UTC), not {when!r}")
    return _sleep(None, min(when.timestamp(), 2 * DURATION_MAX_S), "sleep_until")


def _sleep(duration_s: float | None, until_s: float | None, name: str) -> Awaitable[None]:
    otherwise = "belongs in a workflow's body: a step that waits uses asyncio.sleep or time.sleep"
    return ask_done(Sleep(duration_s, until_s), line_in_body(name, otherwise), name)


def publish(event: str, value: Any = None) -> Awaitable[None]:
    """Publish an event of this workflow: over HTTP, in SQL, through Realtime.

    `await publish(…)` in an `async def` workflow, `publish(…)` in a `def` one. The call is recorded: a replay
    publishes nothing again. Events are seen in their order, once they are durable; the call doesn't wait for
    that. Plain JSON values, dataclasses and pydantic models can be published. Raises UsageError outside a
    workflow's body, and for a name that isn't 1 to 255 bytes of UTF-8; NotSerializable.
    """
    event = check_event_name(event, "publish")
    body = _EVENTS.encode(value)
    check_json(body, "the event's value")
    line = line_in_body("publish", "belongs in a workflow's body: a step returns what is to be told")
    return ask_done(Publish(event, body), line, "publish")


def callback(
    topic: str | None = None, *, expires: Duration = CALLBACK_EXPIRES_S, uses: int | None = 1, of: Any = Any
) -> Any:
    """Make a URL that sends a message of `topic` to this workflow: for a mail, a chat, another service.

    `await callback("approval")` in an `async def` workflow, `callback("approval")` in a `def` one. A GET
    shows a page with a button, and changes nothing. A POST (JSON, a form, or an empty body) sends its
    content, which `receive(topic)` gets. The link is valid for `expires` (seconds or a timedelta; a week by
    default, a year at most) and for `uses` answers (None: any number). `of` is a type with a name in the
    workflow's file: an answer that doesn't fit is refused, and doesn't count. The URL is recorded: a replay
    gets the same one. Raises UsageError outside a workflow, and if OUTLAST_PUBLIC_URL or the project's secret
    key isn't set.
    """
    given = topic_of(topic, "callback")
    expires_s = positive_seconds_of(expires, "callback(expires)")
    if expires_s is None or expires_s > CALLBACK_EXPIRES_S_MAX:
        raise UsageError(f"callback(expires) is 366 days at most, not {expires!r:.100}")
    if uses is not None and (
        isinstance(uses, bool) or not isinstance(uses, int) or not 1 <= uses <= USES_MAX
    ):
        raise UsageError(
            f"callback(uses) is a whole number from 1 to {USES_MAX:,}, or None, not {uses!r:.100}"
        )
    VALUES.codec(of)  # raises for a type that JSON can't hold
    line = line_in_body("callback", "belongs in a workflow's body: its steps get the URL as an argument")
    return ask(Callback(given, expires_s, uses, of), line, "callback")


def patched(name: str) -> bool:
    """Whether a workflow takes the new way of the change `name` of its code.

    False only if its records show that it passed this place before the change; True for all that come here
    from now on. The answer is recorded: this workflow gets the same one whenever it asks again.

    Only in a workflow's body. `name` has letters, digits and `_.-`, at most 100. Raises UsageError.
    """
    otherwise = "is asked in the body of a workflow: steps and handlers run the newest code anyway"
    line = line_in_body("patched", otherwise)
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        raise UsageError(f"patched takes a name of letters, digits and _.-, at most 100, not {name!r}")
    return line.body.patched(name)


def now() -> datetime:
    """The current time, as an aware datetime in UTC.

    In a workflow's body: the time when it was handed the last result. That time is recorded, so a replay gets
    the same. Elsewhere the clock's time.
    """
    line = line_here("now")
    return machine_now() if line is None else datetime.fromtimestamp(line.body.now_s, UTC)


def uuid4() -> UUID:
    """A random UUID that follows from the workflow's id and the place of the call. It isn't secret.

    Raises UsageError outside a workflow's body; use `uuid.uuid4` there.
    """
    return UUID(bytes=_draw("uuid4")[:16], version=4)


def random() -> float:
    """A random number, 0 ≤ x < 1, that follows from the workflow's id and the place of the call. It isn't
    secret.

    Raises UsageError outside a workflow's body; use `random.random` there.
    """
    return (int.from_bytes(_draw("random")[:7], "big") >> 3) / (1 << 53)  # bits of a float's mantissa


def _draw(name: str) -> bytes:
    line = line_here(name)
    if line is None:
        raise UsageError(
            f"outlast.{name} is for a workflow's body, where it is the same on each replay: elsewhere, in "
            f"steps too, use Python's own"
        )
    return sha256(line.body.draw().encode()).digest()
