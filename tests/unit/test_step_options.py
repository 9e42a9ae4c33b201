"""Options and places of `step` that can't work are refused where they are written."""

from __future__ import annotations

import math
from typing import Any

import pytest

from outlast import UsageError, step, transaction, workflow


async def worth(error: Exception) -> bool:
    return True


class Worth:
    async def __call__(self, error: Exception) -> bool:
        return True


@pytest.mark.parametrize("decorator", [step, transaction, workflow])
def test_a_method_is_refused(decorator: Any) -> None:
    with pytest.raises(UsageError, match=r"can't go on the method .*pay: write a function beside the class"):

        class Shop:
            @decorator
            def pay(self, tx: Any) -> None: ...


@pytest.mark.parametrize("decorator", [step, transaction, workflow])
def test_no_bound_is_none_and_not_infinity(decorator: Any) -> None:
    with pytest.raises(UsageError, match=r"\(timeout\) is a number of seconds; for no bound leave it out"):
        decorator(timeout=math.inf)
    decorator(timeout=None)


@pytest.mark.parametrize("decorator", [step, transaction])
@pytest.mark.parametrize("predicate", [worth, Worth()], ids=["function", "object"])
def test_a_predicate_that_nobody_awaits_is_refused(decorator: Any, predicate: Any) -> None:
    with pytest.raises(UsageError, match=r"\(retry_on\) takes a plain function"):
        decorator(retry_on=predicate)
