"""The host's task factory: a task made in a workflow's body gets its branch the moment it is made."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine, Generator
from typing import Any, Protocol

from outlast.core.paths import Branch
from outlast.sdk.running import Line, current_line, enter_line


class Body(Protocol):
    """The execution whose body makes tasks."""

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Know a task of the body."""
        ...


def task_factory(
    loop: asyncio.AbstractEventLoop,
    coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
    *,
    context: contextvars.Context | None = None,
    **options: Any,
) -> asyncio.Task[Any]:
    """`loop.set_task_factory` takes it. Outside workflows it makes plain tasks."""
    line = current_line() if context is None else context.run(current_line)
    if line is None:
        return asyncio.Task(coro, loop=loop, context=context, **options) 
    own = contextvars.copy_context() if context is None else context.copy()
    own.run(enter_line, Line(line.runner, _fork(line), threaded=False))
    task = asyncio.Task(_contained(coro), loop=loop, context=own, **options)
    # A task that is cancelled before it ran leaves its coroutine unawaited.
    task.add_done_callback(lambda _: coro.close())
    body: Body = line.runner  # type: ignore[assignment]
    body.adopt(task)
    return task


def _fork(line: Line) -> Branch:
    return line.branch.fork()


async def _contained(coro: Any) -> Any:
    """Run `coro`; `sys.exit` in one workflow must not end the host of all."""
    try:
        return await coro
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"a task of the workflow raised {type(error).__name__}") from error
