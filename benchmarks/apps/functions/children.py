"""A parent of many children; and one that leaves the memory until its only child ends."""

import asyncio

from outlast import receive, start, start_all, step, workflow


@step
async def one(number: int) -> str:
    return str(number)


@workflow
async def child(number: int) -> str:
    return await one(number)


@workflow
async def children(count: int) -> int:
    handles = await start_all(child, range(count))
    return len(await asyncio.gather(*(each.result() for each in handles)))


@workflow
async def one_by_one(count: int) -> int:
    handles = await asyncio.gather(*(start(child, number) for number in range(count)))
    return len(await asyncio.gather(*(each.result() for each in handles)))


@workflow
async def late() -> str:
    return str(await receive("go"))


@workflow
async def patient() -> str:
    return await (await start(late)).result()
