"""Large answers wait for room one after the other, and hold nothing while they wait."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from outlast.web.http.large_answers import LARGE_BYTES, ByteBudget, LargeAnswers
from outlast.web.http.problems import ProblemError

LARGE = LARGE_BYTES + 1
ROOM_FOR_TWO = 2 * LARGE


class Readers:
    """Callers that are sent an answer and read it when they are told to."""

    def __init__(self, answers: LargeAnswers) -> None:
        self.answers = answers
        self.made: list[str] = []
        self.sent: list[str] = []
        self.read: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def begin(self, name: str, size: int = LARGE, caller: str | None = None) -> None:
        """Ask for an answer of that size, and let all that can happen happen."""
        self.read[name] = asyncio.Event()

        async def make() -> int:
            self.made.append(name)
            return size

        async def run() -> None:
            async with self.answers.hold(lambda: caller, make, lambda made: made):
                self.sent.append(name)
                await self.read[name].wait()

        self.tasks[name] = asyncio.create_task(run())
        await settle()

    async def finish(self, *names: str) -> None:
        for name in names:
            self.read[name].set()
            await settle()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def readers(of_all: int = ROOM_FOR_TWO, of_caller: int = ROOM_FOR_TWO, wait_s_max: float = 30) -> Readers:
    return Readers(LargeAnswers(ByteBudget(of_all, of_caller), wait_s_max))


async def test_what_finds_no_room_is_made_anew_when_its_turn_comes() -> None:
    many = readers()
    for name in "abcd":
        await many.begin(name)
    assert (many.sent, many.made) == (["a", "b"], ["a", "b", "c", "d"])
    await many.finish("b")
    assert (many.sent, many.made) == (["a", "b", "c"], ["a", "b", "c", "d", "c"])
    await many.finish("a", "c", "d")
    assert many.sent == ["a", "b", "c", "d"]
    await asyncio.gather(*many.tasks.values())


async def test_small_ones_never_wait() -> None:
    many = readers()
    for name in "abc":
        await many.begin(name)
    await many.begin("small", LARGE_BYTES)
    assert many.sent == ["a", "b", "small"]
    await many.finish("small", "a", "b", "c")
    await asyncio.gather(*many.tasks.values())


async def test_what_is_larger_than_all_room_is_sent_alone() -> None:
    many = readers()
    await many.begin("huge", 10 * LARGE)
    await many.begin("next")
    assert many.sent == ["huge"]
    await many.finish("huge")
    assert many.sent == ["huge", "next"]
    await many.finish("next")
    await asyncio.gather(*many.tasks.values())


async def test_a_caller_with_no_room_left_holds_up_no_other() -> None:
    many = readers(of_all=3 * LARGE, of_caller=LARGE)
    for name in ("a", "b"):
        await many.begin(name, caller="one")
    await many.begin("c", caller="other")
    assert many.sent == ["a", "c"]
    await many.finish("a", "b", "c")
    assert many.sent == ["a", "c", "b"]
    await asyncio.gather(*many.tasks.values())


@pytest.mark.parametrize(("of_caller", "status"), [(ROOM_FOR_TWO, 429), (3 * LARGE, 503)])
async def test_who_waits_too_long_is_told_and_takes_nothing(of_caller: int, status: int) -> None:
    many, caller = readers(5 * LARGE - of_caller, of_caller, wait_s_max=0.05), "one"
    for name in "abc":
        await many.begin(name, caller=caller)
    with pytest.raises(ProblemError) as raised:
        await many.tasks["c"]
    assert raised.value.problem.status == status
    assert raised.value.problem.retryable
    await many.finish("a", "b")
    for name in "de":
        await many.begin(name, caller=caller)
    assert many.sent == ["a", "b", "d", "e"]
    await many.finish("d", "e")


@pytest.mark.parametrize("moment", ["waiting", "granted", "sending"])
async def test_a_client_that_goes_away_leaves_its_room_to_others(moment: str) -> None:
    many = readers()
    for name in "abc":
        await many.begin(name)
    if moment == "granted":
        many.read["a"].set()
        await many.tasks["a"]  # `c` has its room, and not made it yet
    elif moment == "sending":
        await many.finish("a")
    many.tasks["c"].cancel()
    await settle()
    await many.begin("d")
    await many.begin("e")
    await many.finish("a", "b")
    assert many.sent[-2:] == ["d", "e"]
    await many.finish("d", "e")


async def test_what_fails_to_be_made_anew_leaves_its_room_to_others() -> None:
    many = readers(of_all=LARGE)
    await many.begin("a")
    outcomes: list[Any] = [LARGE, ValueError("gone meanwhile")]

    async def make() -> int:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        assert isinstance(outcome, int)
        return outcome

    async def second() -> None:
        async with many.answers.hold(lambda: None, make, lambda made: made):
            pass

    task = asyncio.create_task(second())
    await settle()
    await many.finish("a")
    with pytest.raises(ValueError, match="gone meanwhile"):
        await task
    await many.begin("b")
    assert many.sent == ["a", "b"]
    await many.finish("b")
