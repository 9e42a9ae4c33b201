"""A call that was refused, or failed, is freed at once: its body would live until a collection."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator

import pytest

from outlast import HTTPException, Request, handler, standard_webhook, workflow
from outlast.testing import Answer, Outlast
from outlast.web.http.calls import Call

SECRET = "v1,whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cyBvbmx5"  # of these tests alone
ROUNDS = 5


@workflow
async def takes(number: int) -> int:
    return number


@workflow(webhook=standard_webhook("HOOK_SECRET"))
async def delivered(number: int) -> int:
    return number


@handler
def absent(request: Request) -> None:
    raise HTTPException(404, "no such thing")


@handler
def fails(request: Request) -> None:
    raise ZeroDivisionError


@handler
async def absent_too(request: Request) -> None:
    raise HTTPException(404, "no such thing")


@handler
async def fails_too(request: Request) -> None:
    raise ZeroDivisionError


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    logging.disable()  # pytest keeps what is logged, with its tracebacks
    yield
    logging.disable(logging.NOTSET)
    gc.enable()


def held() -> int:
    return sum(isinstance(each, Call) for each in gc.get_objects())


CALLS: dict[str, tuple[int, Callable[[Outlast], Answer]]] = {
    "misfit": (422, lambda outlast: outlast.call(takes, json={"number": "none"})),
    "misfit with a key": (
        422,
        lambda outlast: outlast.call(takes, json={"number": "none"}, headers={"Idempotency-Key": "a"}),
    ),
    "no JSON": (400, lambda outlast: outlast.call(takes, content=b'{"number": ')),
    "delivery": (422, lambda outlast: outlast.call(delivered, json={"number": "none"})),
    **{
        each.definition.name: (status, lambda outlast, each=each: outlast.call(each, content=b"x"))  # type: ignore[misc]
        for each, status in ((absent, 404), (fails, 500), (absent_too, 404), (fails_too, 500))
    },
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.usefixtures("without_collector")
def test_nothing_is_left_of_a_call_that_was_refused(
    outlast: Outlast, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    status, make = CALLS[call]
    assert make(outlast).status == status
    before = held()
    for _ in range(ROUNDS):
        _ = make(outlast)
    assert held() - before < ROUNDS
