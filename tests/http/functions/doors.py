"""Workflows whose queue lets calls in one at a time."""

from outlast import Debounce, Queue, workflow

gathering = Queue("gathering", key="key", debounce=Debounce(quiet=0.05))


@workflow(queue=gathering)
async def doors(key: str) -> str:
    return key
