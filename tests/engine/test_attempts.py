"""What a step's attempts tell: the function which of how many it is, the last error all of them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from outlast import StepFailed, UsageError, context, start, step, transaction, workflow
from tests.engine.harness import engine_on
from tests.engine.test_workflows import _held, crash_when_held, held  # noqa: F401

NOTE = re.compile(
    r"All attempts failed:\n  1\. \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 OSError: no 1\n"
    r"  2\. \S+ OSError: no 2\n  3\. \S+ ValueError: last"
)
KEPT = LookupError("kept by its file")


class Slotted(Exception):
    __slots__ = ("__hidden", "code", "never")

    def __init__(self, code: int) -> None:
        super().__init__("slotted")
        self.code = code
        self.__hidden = code + 1

    def both(self) -> tuple[int, int]:
        return self.code, self.__hidden


async def test_the_last_error_tells_of_all_attempts_live_and_on_replay(database: str) -> None:
    @step(max_attempts=3, backoff=0)
    async def fails() -> None:
        if context().attempt < 3:
            raise OSError(f"no {context().attempt}")
        raise ValueError("last\nline")

    @step
    async def once() -> None:
        raise ValueError("alone")

    @workflow
    async def flow() -> list[Any]:
        told = []
        for call in (fails, once):
            try:
                await call()
            except ValueError as error:
                told.append(getattr(error, "__notes__", []))
        return [*told, await held()]

    workflow_id = await crash_when_held(database, flow)
    async with engine_on(database, flow) as bench:
        notes, alone, _ = await bench.result(workflow_id)
        assert len(notes) == 1
        assert NOTE.fullmatch(notes[0])
        assert alone == []
        recorded = (await bench.steps(workflow_id))[0]["error"]
        assert recorded["attributes"]["__notes__"] == notes


async def test_an_error_that_cannot_be_rebuilt_or_is_raised_anew_has_the_note_once(database: str) -> None:
    class Local(Exception):
        pass

    @step(max_attempts=2, backoff=0)
    async def local() -> None:
        raise Local("here")

    @step(max_attempts=2, backoff=0)
    async def kept() -> None:
        raise KEPT

    @workflow
    async def flow() -> list[int]:
        counts = []
        for call in (local, kept, kept):
            try:
                await call()
            except (StepFailed, LookupError) as error:
                counts.append(len(error.__notes__))
        return counts

    async with engine_on(database, flow) as bench:
        assert await bench.run(flow) == [1, 1, 1]


async def test_a_function_knows_its_step_and_how_many_attempts_it_has(database: str) -> None:
    @step(max_attempts=4, backoff=0)
    async def tells() -> list[Any]:
        here = context()
        if here.attempt < 2:
            raise OSError
        return [here.step_id, here.attempt, here.max_attempts]

    @step
    def blocking() -> list[Any]:
        return [context().step_id, context().attempt, context().max_attempts]

    @transaction(max_attempts=2)
    async def transacting(tx: Any) -> list[Any]:
        return [context().step_id, context().attempt, context().max_attempts]

    @workflow
    async def flow() -> list[Any]:
        body = [context().step_id, context().attempt, context().max_attempts]
        return [body, await tells(), await blocking.aio(), await transacting()]

    async with engine_on(database, flow) as bench:
        expected = [[None, 1, 1], ["1", 2, 4], ["2", 1, 1], ["3", 1, 2]]
        assert await bench.run(flow) == expected


async def test_what_an_exception_keeps_in_slots_comes_back(database: str) -> None:
    @step
    async def fails() -> None:
        raise Slotted(7)

    @workflow
    async def flow() -> list[Any]:
        try:
            await fails()
        except Slotted as error:
            return [error.both(), hasattr(error, "never")]
        return []

    async with engine_on(database, flow) as bench:
        assert await bench.run(flow) == [[7, 8], False]


async def test_a_workflow_that_cannot_be_found_by_name_is_refused_in_words_that_fit(database: str) -> None:
    @workflow
    async def inner() -> None:
        pass

    @workflow
    async def flow() -> str:
        with pytest.raises(UsageError) as refused:
            await start(inner)
        return str(refused.value)

    async with engine_on(database, flow) as bench:
        assert "'inner' is defined within a function" in await bench.run(flow)
        inner.definition.fn.__qualname__ = "Shop.inner"
        assert "'inner' is defined in the class Shop" in await bench.run(flow)
