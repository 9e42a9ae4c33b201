"""Workflows with one fault each: `crash_everywhere` must find it, with its line (`# HERE`)."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from contextlib import suppress
from typing import Any

from outlast import context, sleep, step, transaction, workflow

charged: list[str] = []
counter = 0


@step
async def work(value: Any) -> Any:
    return value


@step
async def refund(value: Any) -> Any:
    return value


@transaction
async def reserve(tx: Any, sku: str) -> bool:
    raise AssertionError("stubbed")


@workflow
async def clock_between_steps() -> Any:
    await work(1)
    at = time.time()  # noqa: TID251  # HERE
    return await work(round(at))


@workflow
async def chance_between_steps() -> Any:
    await work(1)
    if random.random() < 2:  # HERE
        await work(2)
    return await work(3)


@workflow
async def order_of_a_set() -> Any:
    for name in {"a", "b", "c", "d", "e"}:
        await work(name)  # HERE
    return None


@step
async def charge(cents: int) -> str:  # HERE for `step_without_a_key`, at the decorator's line
    charged.append(str(cents))
    return f"payment {len(charged)}"


@workflow
async def step_without_a_key() -> Any:
    return await charge(100)


@workflow
async def caught_base_exception() -> Any:
    try:
        return await work(1)
    except BaseException:
        return await refund(1)  # HERE


@workflow
async def global_counter() -> Any:
    global counter
    counter += 1
    await work(counter)  # HERE
    return await work(2)


@workflow
async def body_opens_a_file() -> Any:
    await work(1)
    with suppress(OSError):
        open("/nowhere").read()  # noqa: ASYNC230, PTH123, SIM115  # HERE
    return await work(2)


@workflow
async def body_calls_the_network() -> Any:
    await work(1)
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", 1), 0.1)  # HERE
    return await work(2)


@workflow
async def body_pauses_its_thread() -> Any:
    time.sleep(0.001)  # noqa: ASYNC251  # HERE
    return await work(2)


@workflow
async def step_in_finally() -> Any:
    try:
        return await work(1)
    finally:
        await refund(1)  # HERE


@workflow
async def step_after_a_caught_cancellation() -> Any:
    try:
        await sleep(3600)
    except asyncio.CancelledError:
        await refund(1)  # HERE
        raise
    return await work(1)


@step  # HERE for `step_changes_its_argument`
async def collect(found: list[int], value: int) -> None:
    found.append(value)


@workflow
async def step_changes_its_argument() -> Any:
    found: list[int] = []
    for value in range(3):
        await collect(found, value)
    return len(found)


@workflow
async def counts_its_recoveries() -> Any:
    await work(1)
    if context().recovery_attempt:
        await work(2)
    else:
        await refund(2)
    return await work(3)
