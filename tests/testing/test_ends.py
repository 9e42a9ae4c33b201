"""A test passes only with the end that it asks for; what proves a workflow says how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from outlast import NotSerializable, UsageError, step, workflow
from outlast.testing import Outlast, Unproved


class CardDeclined(Exception):
    pass


@step
async def pay(amount: int) -> Any:
    return amount


@step
def pay_now(amount: int) -> Any:
    return amount


@workflow
async def misspelt(amount: int = 1) -> Any:
    return amount + undefined  # type: ignore[name-defined] # noqa: F821


@workflow
async def opens_a_connection() -> Any:
    return await asyncio.open_connection("127.0.0.1", 1)


@workflow
async def goes_to_a_thread() -> Any:
    return await asyncio.to_thread(len, "abc")


@workflow
async def pays_in_threads() -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(pay_now, 1).result()


@workflow
def calls_an_async_step() -> Any:
    return pay(1) + 1  # type: ignore[operator]


@workflow
async def pays() -> Any:
    return await pay(1)


@workflow
async def fails_in_two_ways(way: str) -> Any:
    if way == "declined":
        raise CardDeclined("no")
    raise AssertionError("never")


def explore(outlast: Outlast, *args: Any, **options: Any) -> Any:
    return outlast.explore(*args, schedules=10, **options)


PROVE: list[Callable[..., Any]] = [
    Outlast.crash_everywhere,
    Outlast.deterministic,
    Outlast.cancel_everywhere,
    explore,
]


def refuse(amount: int) -> None:
    assert amount == 2, "not two"


@pytest.mark.parametrize("prove", PROVE)
@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (misspelt, NameError),
        (opens_a_connection, UsageError),
        (goes_to_a_thread, UsageError),
        (pays_in_threads, Exception),
        (calls_an_async_step, Exception),
    ],
)
def test_a_workflow_that_never_works_proves_nothing(
    outlast: Outlast, prove: Callable[..., Any], broken: Any, error: type[Exception]
) -> None:
    with pytest.raises(error) as failure:
        prove(outlast, broken)
    assert not isinstance(failure.value, Unproved)


@pytest.mark.parametrize("prove", PROVE)
@pytest.mark.parametrize("options", [{}, {"raises": Exception}])
def test_an_assertion_of_a_double_fails_the_test(
    outlast: Outlast, prove: Callable[..., Any], options: dict[str, Any]
) -> None:
    outlast.stub(pay, by=refuse)
    with pytest.raises(AssertionError, match="not two"):
        prove(outlast, pays, **options)


@pytest.mark.parametrize("prove", PROVE)
def test_a_result_that_is_no_json_fails_the_test(outlast: Outlast, prove: Callable[..., Any]) -> None:
    outlast.stub(pay, returns=object())
    with pytest.raises(NotSerializable):
        prove(outlast, pays, raises=Exception)


@pytest.mark.parametrize("prove", PROVE)
def test_a_workflow_may_be_meant_to_fail(outlast: Outlast, prove: Callable[..., Any]) -> None:
    found = prove(outlast, fails_in_two_ways, "declined", raises=(KeyError, CardDeclined))
    assert str(found).startswith("fails_in_two_ways ended with ERROR CardDeclined: no, and ")
    with pytest.raises(CardDeclined):
        prove(outlast, fails_in_two_ways, "declined", raises=KeyError)
    with pytest.raises(AssertionError, match="never"):
        prove(outlast, fails_in_two_ways, "never", raises=Exception)
    with pytest.raises(Unproved, match="ended with SUCCESS, and was to raise"):
        prove(outlast, pays, raises=CardDeclined)
    with pytest.raises(UsageError, match="takes a class of exceptions"):
        prove(outlast, pays, raises="CardDeclined")


@pytest.mark.parametrize("prove", PROVE)
def test_it_is_said_how_the_workflow_ended(outlast: Outlast, prove: Callable[..., Any]) -> None:
    assert str(prove(outlast, pays)).startswith("pays ended with SUCCESS, and ")


async def test_a_proof_that_is_not_awaited_says_so(outlast: Outlast) -> None:
    proof = outlast.deterministic(pays)
    assert repr(proof) == "<a proof that was not awaited>"
    assert str(await proof) == "pays ended with SUCCESS, and did the same in 20 replays"
