"""Calls that enter a queue one by one: those at one door enter together, and each has its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from outlast.core.ports import BadData, HeldUp, QueueStore, Unreachable
from outlast.core.records import Entered, NewWorkflow
from outlast.engine.doors import TOGETHER_BYTES_MAX, TOGETHER_MAX, Doors

WAIT_S = 20.0


class Recorded:
    """A database that lets in what it is told to, when it is told to."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.gate = asyncio.Event()
        self.refused: set[str] = set()
        self.error: Exception | None = None

    async def enqueue(self, news: Sequence[NewWorkflow], nonce: int) -> list[Entered]:
        self.asked.append([each.workflow_id for each in news])
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        if refused := [each.workflow_id for each in news if each.workflow_id in self.refused]:
            raise BadData(f"{refused[0]} is refused")
        return [Entered("started", each.workflow_id) for each in news]


def call(workflow_id: str, queue: str = "q", load_bytes: int = 0) -> NewWorkflow:
    return NewWorkflow(workflow_id, "f", "{}", queue=queue, load_bytes=load_bytes)


def at_doors(wait_s: float = WAIT_S) -> tuple[Recorded, Doors]:
    recorded = Recorded()
    return recorded, Doors(cast(QueueStore, recorded), wait_s)


async def waiting_at(doors: Doors, *news: NewWorkflow) -> list[asyncio.Task[Entered]]:
    """They wait, the first one in the database."""
    tasks = [asyncio.create_task(doors.enter(each)) for each in news]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def answers(tasks: Sequence[asyncio.Task[Entered]]) -> list[Any]:
    async with asyncio.timeout(WAIT_S):
        found = await asyncio.gather(*tasks, return_exceptions=True)
    return [each.target if isinstance(each, Entered) else type(each) for each in found]


async def test_those_who_wait_at_a_door_enter_together_and_in_order() -> None:
    recorded, doors = at_doors()
    tasks = await waiting_at(doors, *(call(f"w{n}") for n in range(TOGETHER_MAX + 5)))
    others = await waiting_at(doors, call("other", "elsewhere"))
    first, other = recorded.asked
    assert (first[0], other) == ("w0", ["other"])
    recorded.gate.set()
    assert await answers([*tasks, *others]) == [*(f"w{n}" for n in range(TOGETHER_MAX + 5)), "other"]
    asked = [each for each in recorded.asked if each != ["other"]]
    assert [each for together in asked for each in together] == [f"w{n}" for n in range(TOGETHER_MAX + 5)]
    assert max(map(len, asked)) <= TOGETHER_MAX
    assert len(asked) <= 3
    assert await doors.enter(call("later")) == Entered("started", "later")


async def test_large_ones_enter_by_themselves() -> None:
    recorded, doors = at_doors()
    tasks = await waiting_at(doors, *(call(f"w{n}", load_bytes=TOGETHER_BYTES_MAX) for n in range(3)))
    recorded.gate.set()
    assert await answers(tasks) == ["w0", "w1", "w2"]
    assert recorded.asked == [["w0"], ["w1"], ["w2"]]


async def test_two_calls_of_a_key_do_not_enter_together() -> None:
    recorded, doors = at_doors()
    tasks = await waiting_at(doors, call("first"), call("w"), call("w"), call("x"))
    recorded.gate.set()
    assert await answers(tasks) == ["first", "w", "w", "x"]
    assert all(len(set(each)) == len(each) for each in recorded.asked)


async def test_what_is_refused_is_refused_alone() -> None:
    recorded, doors = at_doors()
    recorded.refused = {"bad"}
    tasks = await waiting_at(doors, call("first"), call("a"), call("bad"), call("b"))
    recorded.gate.set()
    assert await answers(tasks) == ["first", "a", BadData, "b"]


async def test_who_waits_behind_a_held_door_is_told_with_those_before_it() -> None:
    recorded, doors = at_doors()
    tasks = await waiting_at(doors, *(call(f"w{n}", load_bytes=TOGETHER_BYTES_MAX) for n in range(5)))
    recorded.error = HeldUp("it is held")
    recorded.gate.set()
    assert await answers(tasks) == [HeldUp] * 5
    assert recorded.asked == [["w0"]]
    recorded.error = None
    assert await doors.enter(call("later")) == Entered("started", "later")


async def test_who_is_given_up_leaves_the_others_in_line() -> None:
    recorded, doors = at_doors()
    tasks = await waiting_at(doors, call("first"), call("a"), call("b"))
    tasks[0].cancel()
    tasks[1].cancel()
    recorded.gate.set()
    assert await answers(tasks) == [asyncio.CancelledError, asyncio.CancelledError, "b"]


async def test_a_commit_that_takes_too_long_is_given_up() -> None:
    _, doors = at_doors(wait_s=0.01)
    tasks = await waiting_at(doors, call("first"), call("a"))
    assert await answers(tasks) == [Unreachable] * 2


async def test_who_waits_when_an_instance_leaves_is_told_so() -> None:
    _, doors = at_doors()
    tasks = await waiting_at(doors, call("first"), call("a"))
    await doors.close()
    assert await answers(tasks) == [Unreachable] * 2
