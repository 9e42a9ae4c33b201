"""Doing something: as an operation of the workflow's body, or with the host outside of bodies."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from outlast.core.errors import UsageError
from outlast.sdk.calls import ask, later, on_host
from outlast.sdk.operations import Operation
from outlast.sdk.running import Host, current_host, line_here, on_a_loop


def do(
    name: str,
    operation: Operation,
    on: Callable[[Host], Coroutine[Any, Any, Any]],
    read: Callable[[Any], Any] | None = None,
) -> Any:
    """Ask the workflow's body for an operation; outside of bodies, do with the host what it stands for."""
    line = line_here(name)
    if line is not None:
        return ask(operation, line, name, read)
    host = current_host()
    if host is None:
        raise UsageError(f"{name} of a workflow can be called only inside the host")
    if not on_a_loop():
        value = host.block(on(host))
        return value if read is None else read(value)
    return later(partial(_read, partial(on_host, host, partial(on, host)), read), name)


async def _read(make: Callable[[], Coroutine[Any, Any, Any]], read: Callable[[Any], Any] | None) -> Any:
    value = await make()
    return value if read is None else read(value)
