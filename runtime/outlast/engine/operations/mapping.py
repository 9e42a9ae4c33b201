"""Maps. Items start in blocks, and each commit holds the map's position. The last item's end ends the map."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from itertools import count, islice
from typing import Any, TypeVar

from pydantic_core import from_json

from outlast.core.clock import monotonic
from outlast.core.codec import Codec
from outlast.core.errors import MapFailed, UsageError
from outlast.core.maps import (
    BLOCK,
    ERRORS_MAX,
    ITEMS_MAX,
    ItemEnd,
    MapState,
    NewMap,
    Query,
    fingerprint_of_items,
    map_name,
)
from outlast.core.names import child_id_of
from outlast.core.ports import Fence
from outlast.core.records import NewWorkflow, Wait
from outlast.core.retry import RetryPolicy
from outlast.core.status import Status
from outlast.core.stops import LeaseLost
from outlast.core.tracebacks import described
from outlast.engine.concurrency import in_thread
from outlast.engine.execution.calls import PendingCall, Success
from outlast.engine.execution.execution import Execution
from outlast.engine.execution.services import Children
from outlast.engine.operations.attempts import Attempts, may_begin_again
from outlast.engine.operations.plain import PLAIN
from outlast.engine.operations.starting import until_it_can
from outlast.sdk.durations import DURATION_MAX_S
from outlast.sdk.operations import Generated, Map

TELLS_APART_S = 1.0
T = TypeVar("T")


def begin(execution: Execution, call: PendingCall) -> None:
    """See operations.table."""
    Attempts(execution, call, _map, RetryPolicy()).begin()


async def _map(execution: Execution, call: PendingCall) -> Success:
    operation = call.operation
    assert isinstance(operation, Map)
    maps, host = execution.services.maps, execution.services.host
    fence = Fence(execution.workflow_id, execution.epoch, call.step_id, 0)
    listed = not isinstance(operation.items, Query | Generated)
    inputs = await host.inputs_of(operation.workflow, operation.items) if listed else []
    items = operation.items if isinstance(operation.items, Query) else len(inputs) if listed else None
    new = await _new_map(execution, call, fence, inputs)
    map_id = new.map_id
    children = Children(map_id, execution.workflow_id, execution.deadline_s)
    nothing = {"of": map_id, "total": 0, "ok": 0, "failed": 0}
    if items == 0:
        return Success(*PLAIN.through(nothing))
    state = _check_owned(await until_it_can(lambda: maps.open(fence, new, items)))
    # guard: maps-fail-for-ever
    if execution.generation > 1:
        total = state.total or 0
        state = _check_owned(await until_it_can(lambda: maps.reopen(fence, new, total)))
        while state.reopening:
            state = _check_owned(await until_it_can(lambda: maps.reopen(fence, new, total)))
        execution.services.left_queue()
    if state.total is None and state.status is Status.PENDING:
        await gather(execution, call, fence, new)
        state = _check_owned(await until_it_can(lambda: maps.look(map_id)))
    if state.total == 0 and state.started == 0:
        return Success(*PLAIN.through(nothing))
    told = monotonic()
    while _goes_on(state):
        await may_begin_again(execution, call)
        news, keys = await _block(execution, operation, children, state.started, inputs)
        first = state.started
        state = _check_owned(await until_it_can(lambda: maps.start_block(fence, map_id, first, news, keys)))  # noqa: B023
        execution.services.left_queue()  # items that wait in the map's queue may begin
        if monotonic() - told >= TELLS_APART_S:
            told = monotonic()
            await _tell(execution, map_id)
    # In a map that was retried, all items may have ended before its last block was checked.
    if execution.generation > 1 and state.status is Status.PENDING:
        state = _check_owned(await until_it_can(lambda: maps.finish(map_id)))
    while state.status is Status.PENDING:
        await _end(execution, call, map_id)
        state = _check_owned(await until_it_can(lambda: maps.look(map_id)))
    await _tell(execution, map_id)
    return await _outcome(execution, operation, map_id, state)


async def _new_map(execution: Execution, call: PendingCall, fence: Fence, inputs: Sequence[str]) -> NewMap:
    """The map of this call. A retried workflow finds its earlier map if that has the same items."""
    operation, services = call.operation, execution.services
    assert isinstance(operation, Map)
    ids = [
        child_id_of(execution.workflow_id, map_name(call.step_id, each))
        for each in range(1, execution.generation + 1)
    ]
    children = Children(ids[0], execution.workflow_id, execution.deadline_s)
    new = services.host.new_map(operation, children, _fingerprint(operation, inputs))
    if execution.generation == 1:
        return new
    found = await until_it_can(lambda: services.maps.find(fence, new, ids))
    return new._replace(map_id=_check_owned(found))


def _fingerprint(operation: Map, inputs: Sequence[str]) -> str:
    """The fingerprint of the items: of a list's items and keys, or of the source that the items come from."""
    items, keyed = operation.items, operation.keys is not None
    if isinstance(items, Query):
        return fingerprint_of_items("query", items.text, items.parameters, keyed)
    if isinstance(items, Generated):
        return fingerprint_of_items("step", items.definition.name, items.args, items.kwargs, keyed)
    return fingerprint_of_items("list", inputs, operation.keys)


async def _end(execution: Execution, call: PendingCall, map_id: str) -> None:
    """Wait until the map has ended. The workflow may leave the memory: the map's end wakes it."""
    if not call.waits:
        call.waits = (Wait(map_id),)
        execution.waiting.add(call, execution.services.clock.now_s() + DURATION_MAX_S)
        execution.schedule()
    with execution.calls.awaiting(call.step_id):
        await execution.services.host.ended(map_id)


def _goes_on(state: MapState) -> bool:
    return state.status is Status.PENDING and not state.stopped and state.started < (state.total or 0)


def _check_owned(found: T | None) -> T:
    if found is None:
        raise LeaseLost("a map's start was refused: its workflow was cancelled or runs elsewhere")
    return found


async def _block(
    execution: Execution, operation: Map, children: Children, first: int, inputs: list[str]
) -> tuple[list[NewWorkflow], Sequence[str] | None]:
    """The rows of the next block, and their keys if the map must store them."""
    host = execution.services.host
    if not isinstance(operation.items, Query | Generated):
        block = inputs[first : first + BLOCK]
        places = range(first, first + len(block))
        keys = [str(place) if operation.keys is None else operation.keys[place] for place in places]  # type: ignore[index]
        return host.new_items(children, operation.workflow, block, keys), None
    source = await until_it_can(lambda: execution.services.maps.source(children.prefix, first, BLOCK))
    # Items of a query aren't checked before they run: an item that isn't valid fails alone.
    block = [operation.workflow.inputs.item(text) for text in source]
    if operation.keys is None:
        keys = [str(place) for place in range(first, first + len(block))]
        return host.new_items(children, operation.workflow, block, keys), None
    assert callable(operation.keys)
    keys = [operation.keys(from_json(text)) for text in source]
    return host.new_items(children, operation.workflow, block, keys), keys


async def _tell(execution: Execution, map_id: str) -> None:
    """Publish the map's progress. It takes a place in the body's order to which no completion comes."""
    place = execution.recording.completions.take_place()
    execution.recording.completions.drop([place])
    await until_it_can(lambda: execution.services.maps.tell(map_id, place))


async def _outcome(execution: Execution, operation: Map, map_id: str, state: MapState) -> Success:
    maps = execution.services.maps
    counts = await until_it_can(lambda: maps.counts(map_id))
    if state.status is Status.SUCCESS:
        # guard: sources-never-freed
        while isinstance(operation.items, Query | Generated) and await until_it_can(
            lambda: maps.free(map_id)
        ):
            pass
        return Success(
            *PLAIN.through({"of": map_id, "total": counts.total, "ok": counts.ok, "failed": counts.failed})
        )
    failed = await until_it_can(lambda: maps.failed(map_id, "", ERRORS_MAX))
    errors = [[_key(map_id, each), _describe_failure(execution, operation, each)] for each in failed]
    left = counts.total - counts.ok - counts.failed
    first = f"; the first one: {errors[0][0]}: {errors[0][1]}" if errors else ""
    raise MapFailed(
        f"{operation.name}: {counts.failed} of {counts.total} items failed, {counts.ok} succeeded"
        + (f", {left} never began" if left else "")
        + first,
        counts.total,
        counts.ok,
        counts.failed,
        errors,
    )


def _key(map_id: str, end: ItemEnd) -> str:
    return end.workflow_id[len(map_id) + 1 :]


def _describe_failure(execution: Execution, operation: Map, end: ItemEnd) -> str:
    error = execution.services.host.error_of(end, operation.workflow)
    return described(error)[:500]


_ITEM = Codec(of="an item")


async def gather(execution: Execution, call: PendingCall, fence: Fence, new: NewMap) -> None:
    """Store all items that the step yields, and their number. A step that fails is run again from its start.

    No item starts before all are stored, so the step may yield other items after a crash.
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
    """The number of items that the step yields. Raises the step's error, or UsageError for too many."""
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
    """The items that the step yields, in pages. A `def` generator runs in a thread."""
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
