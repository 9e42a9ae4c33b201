"""Maps, whose items end when a test lets them."""

from typing import Any

from outlast import map_, receive, start_all, workflow


@workflow
async def mapping(numbers: list[int], concurrency: int = 2, tolerate: int = 0) -> dict[str, Any]:
    result = await map_(ship, numbers, concurrency=concurrency, tolerate=tolerate)
    return {"all": len(result), "ok": dict(result.ok), "failed": [str(error) for _, error in result.failed]}


@workflow
async def ship(number: int) -> int:
    if number < 0:
        raise ValueError(f"no {number}")
    if number >= 100:
        await receive("go")
    return number * 10


@workflow
async def many(numbers: list[int]) -> list[int]:
    return [await each.result() for each in await start_all(ship, numbers)]
