"""What a step yields for a map: kept page by page, before the first item starts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from itertools import count, islice
from typing import Any

from outlast.core.codec import Codec
from outlast.core.errors import UsageError
from outlast.core.maps import BLOCK, ITEMS_MAX, NewMap
from outlast.core.ports import Fence
from outlast.core.stops import LeaseLost
from outlast.engine.concurrency import in_thread
from outlast.engine.execution.calls import PendingCall
from outlast.engine.execution.execution import Execution
from outlast.engine.operations.attempts import may_begin_again
from outlast.engine.operations.starting import until_it_can
from outlast.sdk.operations import Generated, Map

_ITEM = Codec(of="an item")


async def gather(execution: Execution, call: PendingCall, fence: Fence, new: NewMap) -> None:
    """Keep all that the step yields, and how many that are. One that fails is tried again from its beginning.

    No item starts before all are kept: so it doesn't matter what the step yields after a crash.
    """
    assert isinstance(call.operation, Map)
    generated = call.operation.items
    assert isinstance(generated, Generated)
    retry, maps = generated.definition.retry, execution.services.maps
    for attempt in count(1):
        try:
            total = await _keep(execution, call, fence, new, generated)
            break
        except Exception as error:
            if isinstance(error, UsageError) or not retry.retries(error, attempt):
                raise
            await asyncio.sleep(retry.wait_s(attempt))
    if not await until_it_can(lambda: maps.kept(fence, new.map_id, total, new.tolerated(total))):
        raise LeaseLost("a map's items were refused: its workflow was cancelled or runs elsewhere")


async def _keep(
    execution: Execution, call: PendingCall, fence: Fence, new: NewMap, generated: Generated
) -> int:
    """How many the step yields. Raises what it raises, and UsageError for too many."""
    maps, total = execution.services.maps, 0
    async with aclosing(_pages(execution, generated)) as pages:
        async for page in pages:
            await may_begin_again(execution, call)
            items, first = [_ITEM.encode(each) for each in page], total
            total += len(items)
            # guard: generators-without-bound
            if total > ITEMS_MAX:
                raise UsageError(f"map_ takes at most {ITEMS_MAX:,} items, and the step yields more")
            if not await until_it_can(lambda: maps.keep(fence, new.map_id, first, items)):  # noqa: B023
                raise LeaseLost("a map's items were refused: its workflow was cancelled or runs elsewhere")
    return total


async def _pages(execution: Execution, generated: Generated) -> AsyncGenerator[list[Any]]:
    """What it yields, some at a time. A `def` generator runs in a thread."""
    yields: Any = generated.definition.fn(*generated.args, **generated.kwargs)
    if isinstance(yields, Iterator):
        while page := await in_thread(execution.services.step_threads, _next_of, yields):
            yield page
        return
    page = []
    async with aclosing(yields):
        async for each in yields:
            page.append(each)
            if len(page) == BLOCK:
                yield page
                page = []
    if page:
        yield page


def _next_of(yields: Iterator[Any]) -> list[Any]:
    return list(islice(yields, BLOCK))
