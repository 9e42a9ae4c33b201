"""Functions that run event loops of their own, call steps in threads, and forget to await."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from outlast import Request, handler, sleep, start, step, workflow


@step
async def ships(number: int) -> int:
    return number


@workflow
async def runs_a_loop(number: int) -> int:
    return await asyncio.to_thread(lambda: asyncio.run(ships(number)))


@workflow
async def runs_a_loop_over_a_call(number: int) -> int:
    made = ships(number)

    async def awaits() -> int:
        return await made

    return await asyncio.to_thread(lambda: asyncio.run(awaits()))


@workflow
def runs_a_pool(number: int) -> int:
    with ThreadPoolExecutor(2) as pool:
        return pool.submit(lambda: asyncio.run(awaits_sleep())).result() or number


async def awaits_sleep() -> None:
    await sleep(1)


@workflow
async def doubles(number: int) -> int:
    return await ships(number * 2)


@handler
async def starts_from_a_loop(request: Request) -> int:
    async def main() -> int:
        return await (await start(doubles, 2)).result()

    return await asyncio.to_thread(lambda: asyncio.run(main()))


@handler
def starts_from_a_thread(request: Request) -> int:
    return start(doubles, 3).result()


@workflow
async def forgets(number: int) -> int:
    ships(number)  # type: ignore[unused-coroutine]
    return number
