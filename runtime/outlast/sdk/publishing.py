"""`publish`: events that tell of a workflow's progress, each recorded once."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from outlast.core.errors import UsageError
from outlast.core.events import check_event_name
from outlast.core.storable import check_json
from outlast.sdk.calls import Done, ask
from outlast.sdk.operations import Publish
from outlast.sdk.running import line_here
from outlast.sdk.values import Values

_VALUES = Values("the event's value")


def publish(event: str, value: Any = None) -> Awaitable[None]:
    """Publish an event for those who watch this workflow: over HTTP, in SQL, through Realtime.

    `await publish(…)` in an `async def` workflow, `publish(…)` in a `def` one. It is a recorded call: on
    replay nothing is published again, and events are seen in their order. Others see it once it is durable,
    which isn't waited for. Plain JSON values, dataclasses and pydantic models can be published. Raises
    UsageError outside a workflow's body and for a name that isn't 1 to 255 bytes of UTF-8; NotSerializable.
    """
    check_event_name(event, "publish")
    body = _VALUES.encode(value)
    check_json(body, "the event's value")
    line = line_here("publish")
    if line is None:
        raise UsageError("publish belongs in a workflow's body: a step returns what is to be told")
    published = ask(Publish(event, body), line, "publish")
    return Done(None) if line.threaded else published
