"""Doing something: as an operation of the workflow's body, or with the host outside of bodies."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from outlast.core.errors import UsageError
from outlast.sdk.calls import ask, later, on_host
from outlast.sdk.loops import on_a_loop
from outlast.sdk.operations import Operation
from outlast.sdk.running import Host, current_host, line_here

ANYWHERE = "is called in a handler, an ASGI app, a step or a workflow"


def do(
    name: str,
    operation: Operation,
    on: Callable[[Host], Coroutine[Any, Any, Any]],
    read: Callable[[Any], Any] | None = None,
    where: str = "of a workflow can be called only inside the host",
) -> Any:
    """Ask the workflow's body for an operation; outside of bodies, do with the host what it stands for.

    In a `def` function that gives the value, else what is to be awaited. `read` makes the value of what comes
    back; `where` ends the message of the UsageError for who has no host.
    """
    line = line_here(name)
    return do_with_host(name, on, read, where) if line is None else ask(operation, line, name, read)


def do_with_host(
    name: str,
    on: Callable[[Host], Coroutine[Any, Any, Any]],
    read: Callable[[Any], Any] | None,
    where: str,
) -> Any:
    """As `do`, outside of bodies."""
    host = current_host()
    if host is None:
        raise UsageError(f"{name} {where}")
    if not on_a_loop():
        value = host.block(on(host))
        return value if read is None else read(value)
    return later(partial(_read, partial(on_host, host, partial(on, host)), read), name)


def is_awaited(name: str) -> bool:
    """Whether what `do` gives here is to be awaited."""
    line = line_here(name)
    return on_a_loop() if line is None else not line.threaded


async def _read(make: Callable[[], Coroutine[Any, Any, Any]], read: Callable[[Any], Any] | None) -> Any:
    value = await make()
    return value if read is None else read(value)
