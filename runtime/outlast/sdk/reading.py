"""Reading events of other workflows: a stream of them that goes on after crashes, and the newest one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any, Generic, TypeVar

from outlast.core.errors import UsageError, WorkflowEnded
from outlast.core.events import Taken, check_event_name
from outlast.sdk.calls import ask, do, later, on_host
from outlast.sdk.durations import Duration, seconds_of
from outlast.sdk.loops import on_a_loop
from outlast.sdk.operations import TakeEvent
from outlast.sdk.running import NextEvent, current_host, line_here
from outlast.sdk.values import Values, read_as

T = TypeVar("T")
RAISE: Any = object()
"""No default."""

_VALUES = Values("the event's value")
_WHERE = "of a workflow can be read only inside the host"


class Events(AsyncIterator[T], Iterator[T], Generic[T]):
    """The values of one workflow's events of one name, from the first one to the workflow's end.

    `async for value in handle.events("progress")`, in `def` functions `for value in …`.
    """

    def __init__(self, workflow_id: str, event: str, of: Any) -> None:
        self._workflow_id = workflow_id
        self._event = check_event_name(event, "events")
        self._codec = _VALUES.codec(of)
        self._after = 0
        self._next: NextEvent | None = None

    def __repr__(self) -> str:
        return f"Events({self._workflow_id!r}, {self._event!r})"

    def __aiter__(self) -> Events[T]:
        return self

    def __iter__(self) -> Events[T]:
        return self

    async def __anext__(self) -> T:
        line = line_here("events")
        taken: Taken
        if line is None:
            taken = await later(partial(on_host, self._host(), self._reader()), "events")
        elif line.threaded:
            raise UsageError("in a def workflow write `for … in handle.events(…)`, without async")
        else:
            taken = await ask(self._operation(), line, "events")
        if taken.event is None:
            raise StopAsyncIteration
        return self._value(taken)

    def __next__(self) -> T:
        line = line_here("events")
        taken: Taken
        if (line is None and on_a_loop()) or (line is not None and not line.threaded):
            raise UsageError("write `async for … in handle.events(…)`: in async def code the wait is awaited")
        taken = (
            self._host().block(self._reader()()) if line is None else ask(self._operation(), line, "events")
        )
        if taken.event is None:
            raise StopIteration
        return self._value(taken)

    def _operation(self) -> TakeEvent:
        return TakeEvent(self._workflow_id, self._event, self._after)

    def _host(self) -> Any:
        host = current_host()
        if host is None:
            raise UsageError(f"events {_WHERE}")
        return host

    def _reader(self) -> NextEvent:
        if self._next is None:
            self._next = self._host().events_of(self._workflow_id, self._event, self._after)
        return self._next

    def _value(self, taken: Taken) -> T:
        assert taken.event is not None
        self._after = taken.event.number
        value: T = read_as(self._codec, taken.event.value, f"an event {self._event!r}")
        return value


def newest_event(workflow_id: str, event: str, timeout: Duration | None, default: Any, of: Any) -> Any:
    """See WorkflowHandle.event."""
    name = check_event_name(event, "event")
    codec = _VALUES.codec(of)
    timeout_s = None if timeout is None else seconds_of(timeout, "event(timeout)")

    def read(taken: Taken) -> Any:
        if taken.event is not None:
            return read_as(codec, taken.event.value, f"an event {name!r}")
        if default is not RAISE:
            return default
        if taken.ended:
            raise WorkflowEnded(f"{workflow_id!r} has ended and published no event {name!r}")
        raise TimeoutError(f"{workflow_id!r} published no event {name!r} within {timeout_s:g} s")

    return do(
        "event",
        TakeEvent(workflow_id, name, 0, newest=True, timeout_s=timeout_s),
        lambda host: host.events_of(workflow_id, name, newest=True)(timeout_s),
        read,
        _WHERE,
    )
