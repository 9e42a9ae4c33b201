"""Answers that are larger than what connections hold anyway."""

from outlast import Request, handler, publish, step, workflow


@step
async def letters(count: int) -> str:
    return "x" * count


@workflow
async def made(count: int) -> str:
    return await letters(count)


@workflow
async def told(count: int) -> str:
    await publish("part", "y" * count)
    return await letters(count)


@handler
async def handled(request: Request) -> str:
    return "x" * int(request.query["count"])
