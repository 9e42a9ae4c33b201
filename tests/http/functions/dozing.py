"""Sleeps, for as long as it is told."""

from outlast import sleep, workflow


@workflow
async def dozing(seconds: float = 0.01) -> None:
    await sleep(seconds)
