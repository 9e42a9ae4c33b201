"""Sleeps for longer than any test."""

from outlast import sleep, workflow


@workflow
async def dozing() -> None:
    await sleep(3600)
