"""Outcomes of the test (`pytest.fail`, `skip`, a timeout, Ctrl-C) leave the kit as they are."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from outlast import sleep, step, workflow
from outlast.testing import Outlast


@step
async def pay() -> str:
    return "paid"


@step
def pay_in_a_thread() -> str:
    return pytest.fail("within a thread")


@workflow
async def pays() -> str:
    try:
        return await pay()
    except BaseException:
        return "caught"


@workflow
async def pays_in_a_thread() -> str:
    return await pay_in_a_thread.aio()


@workflow
async def pays_in_a_group() -> None:
    async with asyncio.TaskGroup() as group:
        _ = group.create_task(pay())
        _ = group.create_task(pay())


@workflow
async def fails_by_itself() -> None:
    await sleep(3600)
    pytest.fail("the body says no")


@workflow
async def is_interrupted(number: int) -> None:
    await sleep(3600)
    with suppress(BaseException):
        signal.raise_signal(number)
    await sleep(3600)


RUN: list[Callable[..., Any]] = [Outlast.run, Outlast.crash_everywhere, Outlast.deterministic]
failed: Any = pytest.fail.Exception
skipped: Any = pytest.skip.Exception
stopped: Any = pytest.exit.Exception


@pytest.mark.parametrize("run", RUN)
@pytest.mark.parametrize("workflow", [pays, pays_in_a_group])
@pytest.mark.parametrize(
    "outcome", [failed("it says"), skipped("it says"), stopped("it says"), KeyboardInterrupt("it says")]
)
def test_an_outcome_of_a_double_is_the_tests(
    outlast: Outlast, run: Callable[..., Any], workflow: Any, outcome: BaseException
) -> None:
    outlast.stub(pay, raises=[outcome] * 3)
    with pytest.raises(type(outcome), match="it says") as found:
        run(outlast, workflow)
    assert found.value is outcome


@pytest.mark.parametrize("run", RUN)
@pytest.mark.parametrize(
    ("workflow", "said"), [(pays_in_a_thread, "within a thread"), (fails_by_itself, "the body says no")]
)
def test_an_outcome_within_the_workflow_is_the_tests(
    outlast: Outlast, run: Callable[..., Any], workflow: Any, said: str
) -> None:
    with pytest.raises(failed, match=said):
        run(outlast, workflow)


async def test_in_an_async_test_too(outlast: Outlast) -> None:
    outlast.stub(pay, raises=[failed("it says")])
    with pytest.raises(failed, match="it says"):
        _ = await outlast.run(pays)


def test_the_kit_goes_on_after_it(outlast: Outlast) -> None:
    outlast.stub(pay, raises=[failed("it says")])
    with pytest.raises(failed):
        _ = outlast.run(pays)
    outlast.stub(pay, returns="paid")
    assert outlast.run(pays).result == "paid"


@pytest.fixture
def number() -> Iterator[int]:
    """A signal whose handler fails the test, as pytest-timeout's does."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals come to the main thread")

    def fail(number: int, frame: Any) -> None:
        pytest.fail("Timeout")

    former = signal.signal(signal.SIGINT, fail)
    yield signal.SIGINT
    assert signal.getsignal(signal.SIGINT) is fail, "the kit put it back"
    signal.signal(signal.SIGINT, former)


@pytest.mark.parametrize("run", RUN)
def test_what_a_signal_raises_ends_the_test_whoever_catches_it(
    outlast: Outlast, number: int, run: Callable[..., Any]
) -> None:
    with pytest.raises(failed, match="Timeout"):
        run(outlast, is_interrupted, number)
