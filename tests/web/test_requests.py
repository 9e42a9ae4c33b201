"""Which requests the log is told of, and how many at most."""

from __future__ import annotations

import pytest

from outlast.core.observations import Observation, RequestAnswered, RequestsUntold
from outlast.web.http.answers import Reply
from outlast.web.http.requests import PATH_CHARS_MAX, RequestLog, Told


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


async def _send(_: object) -> None: ...


async def answered(log: RequestLog, status: int, path: str = "/x") -> None:
    reply = Reply(_send, [])
    await reply({"type": "http.response.start", "status": status, "headers": [(b"sb-error-code", b"no")]})
    log.answered({"method": "GET", "path": path, "client": ("192.0.2.1", 5)}, reply, log.began())


@pytest.mark.parametrize(
    ("told", "statuses"), [("off", []), ("errors", [400, 503]), ("all", [200, 304, 400, 503])]
)
async def test_which_are_told(told: Told, statuses: list[int]) -> None:
    facts: list[Observation] = []
    log = RequestLog(facts.append, told, 100)
    for status in (200, 304, 400, 503):
        await answered(log, status)
    await answered(log, 200, "/healthz")
    assert [each.status for each in facts if isinstance(each, RequestAnswered)] == statuses


async def test_no_more_than_so_many_a_second_and_how_many_were_left_out() -> None:
    facts: list[Observation] = []
    clock = Clock()
    log = RequestLog(facts.append, "errors", 3, clock)
    for _ in range(10):
        await answered(log, 401)
    log.refused("192.0.2.1", 400, "invalid_http")
    assert len(facts) == 3
    clock.now_s += 1
    await answered(log, 401)
    assert facts[3] == RequestsUntold(8)
    assert isinstance(facts[4], RequestAnswered)
    assert len(facts) == 5


async def test_a_long_path_is_cut() -> None:
    facts: list[Observation] = []
    await answered(RequestLog(facts.append, "errors", 3), 404, "/" + "x" * 100_000)
    (fact,) = facts
    assert isinstance(fact, RequestAnswered)
    assert len(fact.path) == PATH_CHARS_MAX + 1


async def test_a_client_that_went_away_is_told_where_all_are() -> None:
    facts: list[Observation] = []
    for told in ("errors", "all"):
        log = RequestLog(facts.append, told, 3)
        log.answered({"method": "GET", "path": "/x", "client": None}, Reply(_send, []), log.began())
    (fact,) = facts
    assert isinstance(fact, RequestAnswered)
    assert (fact.status, fact.client) == (None, "")
