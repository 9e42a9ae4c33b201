"""Functions that leave something behind, or don't let go."""

import asyncio
import contextvars
import sys
import threading
import time

from outlast import step, workflow


@step
async def one() -> int:
    return 1


def _for_ever() -> None:
    while True:
        time.sleep(3600)


async def _tick_for_ever() -> None:
    while True:
        await asyncio.sleep(0.01)


@workflow
async def threads(count: int) -> int:
    """Leaves threads that never end, and that nobody may wait for."""
    for _ in range(count):
        threading.Thread(target=_for_ever, daemon=False).start()
    return await one()


@workflow
async def tasks(count: int) -> int:
    """Leaves tasks that never end."""
    kept = [asyncio.create_task(_tick_for_ever()) for _ in range(count)]
    return await one() + len(kept) - count


@workflow
async def clings() -> int:
    """Catches everything and goes on."""
    while True:
        try:
            await asyncio.sleep(3600)
        except BaseException:  # noqa: S112
            continue


@workflow
async def clings_to_steps() -> int:
    """The same, calling steps."""
    while True:
        try:
            await one()
            await asyncio.sleep(0.01)
        except BaseException:  # noqa: S112
            continue


@step
async def _stay() -> None:
    while True:
        try:
            await asyncio.sleep(3600)
        except BaseException:  # noqa: S112
            continue


@workflow
async def clings_in_a_step() -> None:
    await _stay()


@workflow
async def stops_the_loop() -> int:
    await _stop()
    return await one()


@step
async def _stop() -> None:
    asyncio.get_running_loop().stop()


async def _exit() -> None:
    sys.exit(6)


@workflow
async def exits_in_a_task() -> int:
    """A task of the host's loop: a library's, say."""
    return await one() + await _exit_in_a_task()


@step
async def _exit_in_a_task() -> int:
    kept = contextvars.Context().run(asyncio.create_task, _exit())
    await asyncio.sleep(0)
    return [kept].index(kept)


@workflow
async def exits_in_a_callback() -> int:
    await _exit_in_a_callback()
    return await one()


@step
async def _exit_in_a_callback() -> None:
    asyncio.get_running_loop().call_soon(sys.exit, 6)
    await asyncio.sleep(0)


@workflow
async def exits_in_a_callback_of_a_body() -> int:
    asyncio.get_running_loop().call_soon(sys.exit, 6)
    await asyncio.sleep(0)
    return await one()


@workflow
async def closes_the_loop() -> int:
    asyncio.get_running_loop().close()
    return await one()


@workflow
async def cancels_all() -> int:
    """Cancels every task of the process but its own."""
    for task in asyncio.all_tasks():
        if task is not asyncio.current_task():
            task.cancel()
    return await one()
