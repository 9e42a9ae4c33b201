"""Functions that keep the event loop to themselves."""

import time

from outlast import Request, handler, step, workflow


@step
async def doze(seconds: float) -> str:
    time.sleep(seconds)  # noqa: ASYNC251
    return "slept"


@workflow
async def sleeps(seconds: float) -> str:
    return await doze(seconds)


@workflow
async def spins(seconds: float) -> int:
    count, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        count += 1
    return min(count, 1)


@workflow
async def counts(seconds: float) -> int:
    """Calls into C that hold the interpreter, each twice as long, until one took that long."""
    length, took = 10**6, 0.0
    while took < seconds:
        began = time.monotonic()
        sum(range(length))
        length, took = 2 * length, time.monotonic() - began
    return 1


@handler
async def handles(request: Request) -> str:
    time.sleep(float(request.query["seconds"]))  # noqa: ASYNC251
    return "slept"
