"""Exceptions whose class refuses what others allow: they are recorded, caught and undone as any other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from outlast import ShuttingDown, WorkflowFailed, saga, start, step, transaction, workflow
from outlast.engine.bodies.watching import watched
from tests.engine.harness import engine_on

RUNS_MAX = 3


@dataclass(frozen=True)
class Frozen(Exception):
    """Nothing can be set on it, no cause and no traceback either."""

    code: int


@dataclass(frozen=True)
class Keeping(Exception):
    """The same with what no record has."""

    what: object


@dataclass
class Compared(Exception):
    """It has no hash."""

    code: int


@dataclass(frozen=True, slots=True)
class Slotted(Exception):
    code: int


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Renamed(Exception):
    args = None  # type: ignore[assignment]


class Closed(Exception):
    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no attributes")


class Noted(Exception):
    @property
    def __notes__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no notes")


ERRORS = [
    Frozen(3),
    Keeping(object()),
    Compared(3),
    Slotted(3),
    Unprintable("x"),
    Renamed("x"),
    Closed("x"),
    Noted("x"),
    SyntaxError("x", ("file", 1, 2, 3)),  # type: ignore[arg-type]
]
raised: list[Exception] = []
trail: list[str] = []


@step(max_attempts=2, backoff=0)
async def fails() -> None:
    raise raised[0]


@step
def fails_in_thread() -> None:
    raise raised[0]


@transaction
async def fails_in_transaction(_: Any) -> None:
    raise raised[0]


@workflow
async def body() -> None:
    trail.append("ran")
    assert len(trail) < RUNS_MAX
    raise raised[0]


@workflow
def thread() -> None:
    raise raised[0]


@workflow
async def catches() -> list[str]:
    caught = []
    for call in (fails(), fails_in_thread.aio(), fails_in_transaction(), (await start(body)).result()):
        try:
            await call
        except Exception as error:
            caught.append(type(error).__name__)
    return caught


@step
async def book(name: str) -> str:
    trail.append(f"book {name}")
    return name


@step
async def cancel(name: Any) -> None:
    trail.append(f"cancel {name}")


@workflow
async def trip() -> None:
    async with saga() as s:
        await s.do(book, "hotel", undo=cancel)
        await fails()


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_whatever_its_class_refuses(database: str, error: Exception) -> None:
    raised[:] = [error]
    trail.clear()
    async with engine_on(database, catches, body, thread, trip) as bench:
        caught = await bench.run(catches)
        assert len(caught) == 4
        for each in (body, thread, trip):
            with pytest.raises((WorkflowFailed, type(error))):
                await bench.run(each)
        assert trail == ["ran", "ran", "book hotel", "cancel hotel"]


@pytest.mark.postgres
async def test_a_class_that_refuses_all_is_caught_as_what_a_transaction_raised(database: str) -> None:
    raised[:] = [Frozen(4)]

    @transaction
    def in_thread(_: Any) -> None:
        raise raised[0]

    @workflow
    async def pays() -> list[int]:
        codes = []
        for call in (fails_in_transaction(), in_thread.aio()):
            try:
                await call
            except Frozen as error:
                codes.append(error.code)
        return codes

    async with engine_on(database, pays) as bench:
        assert await bench.run(pays) == [4, 4]


async def test_what_only_a_shutdown_raises_is_a_failure_too(database: str) -> None:
    tries: list[str] = []

    @step
    async def shuts_down() -> None:
        tries.append("ran")
        assert len(tries) < RUNS_MAX
        raise ShuttingDown("mine")

    @workflow
    async def asks() -> str:
        try:
            await shuts_down()
        except ShuttingDown as error:
            return str(error)
        return "none"

    async with engine_on(database, asks) as bench:
        assert await bench.run(asks) == "mine"
        assert tries == ["ran"]


def test_what_looks_at_a_body_lets_its_error_pass() -> None:
    with pytest.raises(Frozen), watched(lambda *_: None):
        raise Frozen(5)
