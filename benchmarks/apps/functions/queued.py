"""Workflows of one step that wait in queues, with limits and without."""

from outlast import Debounce, Queue, step, workflow

free = Queue("free")
limited = Queue("limited", concurrency=100)
wider = Queue("wider", concurrency=400)
keyed = Queue("keyed", key="key", concurrency=100)
settled = Queue("settled", key="key", debounce=Debounce(quiet=2))


@step
async def one(number: int) -> str:
    return str(number)


@workflow(queue=free)
async def queued(n: int = 1) -> str:
    return await one(n)


@workflow(queue=limited)
async def bounded(n: int = 1) -> str:
    return await one(n)


@workflow(queue=wider)
async def wide(n: int = 1) -> str:
    return await one(n)


@workflow(queue=keyed)
async def by_key(key: str, n: int = 1) -> str:
    return await one(n)


@workflow(queue=settled)
async def last(key: str, n: int = 1) -> str:
    return await one(n)
