"""Sleeps for longer than a few calls take."""

from outlast import sleep, workflow


@workflow
async def dozing() -> None:
    await sleep(8)
