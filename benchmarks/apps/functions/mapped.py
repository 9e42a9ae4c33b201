"""Many items of one step each: mapped over, and started at once."""

import asyncio

from outlast import map_, rows, start_all, step, workflow


@step
async def one(number: int) -> str:
    return str(number)


@workflow
async def item(n: int) -> str:
    return await one(n)


@workflow
async def mapped(items: int, concurrency: int) -> int:
    every = rows("select n from generate_series(1, %s) as n", items)
    return len((await map_(item, every, concurrency=concurrency)).ok)


@workflow
async def many(items: int) -> int:
    handles = await start_all(item, range(items))
    return len(await asyncio.gather(*(each.result() for each in handles)))
