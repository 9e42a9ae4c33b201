"""Sagas over the branches of a program: each is left by an exception or a timeout, and undoes all it did."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from outlast import saga
from tests.simulation.steps import Refused, work
from tests.simulation.traces import Life
from tests.simulation.with_asyncio import Branches, Together

DO, UNDO = ".do", ".undo"
"""How labels end: of a step of a saga, and of the one that undoes it."""


async def undone(life: Life, label: str, branches: Branches, number: float) -> None:
    """A step, then the branches and another step beside each other."""

    def undo_of(part: str) -> Any:
        async def take_back(result: Any) -> None:
            life.result(await work(life, f"{label}.{part}{UNDO}", len(life.notes)))

        return take_back

    try:
        async with asyncio.timeout(number), saga() as s:
            await s.do(work, life, f"{label}.a{DO}", len(life.notes), undo=undo_of("a"))
            await asyncio.gather(
                s.do(work, life, f"{label}.b{DO}", len(life.notes), undo=undo_of("b")), *branches
            )
            raise Refused(label)
    except (Refused, TimeoutError) as error:
        life.decide(f"{label} {type(error).__name__}")
    finally:
        for each in branches:
            if inspect.getcoroutinestate(each) == inspect.CORO_CREATED:
                each.close()  # it never began


WITH_SAGAS: dict[str, Together] = {"undone": undone}
