"""A workflow of `n` steps, each of which gives `size` characters."""

import asyncio
import os

from outlast import step, workflow

HOLD = os.environ.get("BENCH_HOLD")
"""Set, the step of that number never ends: so that workflows are pending when their host is killed."""


@step
async def one(number: int, size: int) -> str:
    if str(number) == HOLD:
        await asyncio.Event().wait()
    return "x" * size if size else str(number)


@workflow
async def steps(n: int = 1, size: int = 0) -> dict[str, int]:
    length = 0
    for number in range(n):
        length += len(await one(number, size))
    return {"n": n, "length": length}


@workflow(auth=["user", "secret"])
async def asked(n: int = 1, size: int = 0) -> dict[str, int]:
    """The same behind a door."""
    return await steps(n, size)
