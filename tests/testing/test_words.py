"""What the kit says of slips: names, reasons and remedies, each once."""

from __future__ import annotations

import random
from typing import Any

import pytest

from outlast import InvalidInput, UsageError, step, transaction, workflow
from outlast.core.places import shown_place
from outlast.testing import Outlast, Unproved


@step
async def pay(amount: int) -> int:
    return amount


@transaction
async def reserve(tx: Any, quantity: int) -> int:
    return quantity


@step
async def collect(found: list[int], value: int) -> None:
    found.append(value)


@workflow
async def orders(quantity: int = 1) -> int:
    return await reserve(quantity)


@workflow
async def pays_twice() -> list[int]:
    return [await pay(1), await pay(2)]


@workflow
async def forgets_to_await() -> None:
    pay(1)  # type: ignore[unused-coroutine]


@workflow
async def draws() -> None:
    _ = random.random()
    _ = await pay(1)


@workflow
async def collects() -> int:
    found: list[int] = []
    for value in range(3):
        await collect(found, value)
    return len(found)


def test_an_input_is_refused_with_the_reason(outlast: Outlast) -> None:
    with pytest.raises(InvalidInput, match=r"fit: quantity \(quantity: Input should be a valid integer"):
        _ = outlast.run(orders, quantity="zwei")


@pytest.mark.parametrize(
    ("args", "units", "said"),
    [
        ((), {"days": -1}, "time doesn't go back"),
        ((-1,), {}, "time doesn't go back"),
        ((-0.5,), {}, "time doesn't go back"),
        ((), {"day": 1}, "takes days, hours, .*, not day"),
    ],
)
def test_advance_tells_what_it_takes(outlast: Outlast, args: Any, units: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        _ = outlast.advance(*args, **units)


def test_a_stub_that_runs_dry_is_named(outlast: Outlast) -> None:
    answers = iter([1])
    outlast.stub(pay, by=lambda amount: next(answers))
    with pytest.raises(UsageError, match=r"the stub of pay ran dry: .* for call 2, with amount=2"):
        _ = outlast.run(pays_twice)


def test_a_wrong_function_is_named(outlast: Outlast) -> None:
    with pytest.raises(UsageError, match=r"decorated with @workflow, not the transaction reserve$"):
        _ = outlast.run(reserve)
    with pytest.raises(UsageError, match=r"@step or @transaction, not the workflow orders$"):
        _ = outlast.stub(orders)


def test_a_missing_stub_is_told_once(outlast: Outlast) -> None:
    with pytest.raises(UsageError, match="transaction reserve is a conversation") as failure:
        _ = outlast.run(orders)
    assert failure.value.__cause__ is None
    assert failure.value.__suppress_context__


@pytest.mark.parametrize(
    ("faulty", "said"),
    [
        (
            forgets_to_await,
            "the workflow's body calls pay(…) without `await`: it does nothing; write `await pay(…)`",
        ),
        (draws, "the workflow's body reads random.random, which"),
        (collects, "step collect changes an argument of its own\n"),
    ],
)
def test_a_finding_is_told_once_by_the_name_that_is_written(outlast: Outlast, faulty: Any, said: str) -> None:
    with pytest.raises(Unproved) as failure:
        _ = outlast.crash_everywhere(faulty)
    assert str(failure.value).count(said) == 1
    assert f"\n  {shown_place(__file__, 1).rpartition(':')[0]}:" in str(failure.value)
