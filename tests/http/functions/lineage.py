"""A workflow that starts another one, which starts a third; and one that goes its own way."""

from outlast import receive, start, workflow


@workflow
async def leaf(waits: bool = False) -> str:
    return str(await receive("go")) if waits else "at once"


@workflow
async def middle(waits: bool = False) -> str:
    return await (await start(leaf, waits)).result()


@workflow
async def lineage(waits: bool = False) -> str:
    await start(leaf, waits, detached=True)
    return await (await start(middle, waits)).result()
