"""A workflow that starts another one, which starts a third; and one that goes its own way."""

from outlast import receive, start, workflow


@workflow
async def leaf() -> str:
    return str(await receive("go"))


@workflow
async def middle() -> str:
    return await (await start(leaf)).result()


@workflow
async def lineage() -> str:
    await start(leaf, detached=True)
    return await (await start(middle)).result()
