"""Functions that say much: what of it is found at their workflows."""

from __future__ import annotations

import logging

from outlast import context, receive, step, workflow


@step
async def greet(name: str) -> str:
    print("printed", name)  # noqa: T201 - it is kept
    logging.getLogger("mine").warning("logged %s", name)
    return name


@step
def in_thread(count: int) -> int:
    for n in range(count):
        print("line", n)  # noqa: T201 - it is kept
    return count


@workflow
async def chatty(name: str, count: int = 0, waits: bool = False) -> str:
    print("the body")  # noqa: T201 - it is kept
    context().logger.warning("told")
    await greet(name)
    if count:
        await in_thread.aio(count)
    if waits:
        await receive("go")
    return "done"
