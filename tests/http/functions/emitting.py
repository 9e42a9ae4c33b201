"""Workflows whose steps tell what they do while they do it."""

import asyncio
import time

from _shared.gates import FOLDER, gate, witness  # type: ignore[import-not-found]

from outlast import emit, publish, step, workflow


@step
async def tokens(key: str) -> str:
    emit("a")
    witness(key)
    await gate(key)
    emit({"odd\nname": "é"})
    await asyncio.create_task(in_a_task())
    return "all of it"


async def in_a_task() -> None:
    emit(None)


@workflow
async def emitting(key: str = "x") -> str:
    await publish("before", 1)
    said = await tokens(key)
    await publish("after", 2)
    return said


@step(max_attempts=2, backoff=0)
def twice(key: str) -> int:
    """The first attempt fails after what it has said."""
    first = not (FOLDER / f"{key}.seen").exists()
    witness(key)
    emit(1)
    emit(2)
    wait(key)
    if first:
        raise OSError("the line broke")
    emit(3)
    return 3


def wait(key: str) -> None:
    while not (FOLDER / f"{key}.open").exists():
        time.sleep(0.01)


@workflow
def retrying(key: str = "x") -> int:
    return twice(key)


@step
async def much(key: str, values: int, text: str) -> int:
    witness(key)
    await gate(key)
    for number in range(values):
        emit([number, text])
        if number % 10 == 0:
            await asyncio.sleep(0)
    witness(f"{key}.said")
    return values


@workflow
async def flooding(key: str = "x", values: int = 1, size: int = 10) -> int:
    return await much(key, values, "x" * size)


@step
async def said(number: int) -> int:
    emit(number)
    return number


@workflow
async def in_order(key: str = "x", steps: int = 1) -> int:
    for number in range(steps):
        await said(number)
    await publish("last", steps)
    return steps
