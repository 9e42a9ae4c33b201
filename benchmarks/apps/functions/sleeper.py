"""A workflow that sleeps for a while between two steps."""

from datetime import timedelta

from outlast import sleep, step, workflow


@step
async def note(text: str) -> str:
    return text


@workflow
async def sleeper(seconds: float = 86_400.0) -> str:
    await note("before")
    await sleep(timedelta(seconds=seconds))
    return await note("after")
