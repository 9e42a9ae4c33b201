"""What must go on while the others misbehave."""

import asyncio
import os

from outlast import step, workflow


@step
async def double(n: int) -> int:
    await asyncio.sleep(0)
    return 2 * n


@workflow
async def calm(n: int = 1) -> int:
    return await double(n)


@workflow
async def whoami() -> int:
    """The process that answers."""
    return os.getpid()
