"""Callbacks without a socket: each answer of each state, replays, races with a timeout and a cancel."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from outlast import UsageError, callback, context, handler, receive, step, workflow
from outlast.testing import Outlast
from outlast.testing.runs import Run

sent: dict[str, str] = {}
HTML = {"accept": "text/html,application/xhtml+xml"}


class Verdict(BaseModel):
    approved: bool
    cents: int = 0
    note: str = ""


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


Decision = Literal["approve", "reject"]
TYPES: dict[str, Any] = {"any": Any, "verdict": Verdict, "decision": Decision, "colour": Colour, "yes": bool}


@step
async def mail(url: str) -> None:
    sent[context().workflow_id] = url


@workflow
async def asks(of: str = "any", uses: int | None = 1, wait_s: float = 3600, take: int = 1) -> Any:
    url = await callback("approval", expires=timedelta(days=2), uses=uses, of=TYPES[of])
    await mail(url)
    got = [await receive("approval", timeout=wait_s, default="nobody") for _ in range(take)]
    return got[0] if take == 1 else got


@workflow
def asks_plainly() -> Any:
    url = callback("approval")
    sent[context().workflow_id] = url
    return receive("approval", timeout=3600, default="nobody")


@pytest.fixture(autouse=True)
def nothing_sent() -> None:
    sent.clear()


def begun(outlast: Outlast, *args: Any, **kwargs: Any) -> tuple[Run, str]:
    run = outlast.start(asks, *args, **kwargs)
    _ = outlast.advance(seconds=1)
    return run, sent[run.workflow_id]


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status, answer.json()["code"]


def test_a_post_without_anything_is_an_answer_and_a_get_is_none(outlast: Outlast) -> None:
    run, url = begun(outlast)
    nobody = outlast.as_nobody()
    for _ in range(3):
        page = nobody.call(url, headers=HTML)
        assert page.status == 200
    _ = outlast.advance(minutes=5)
    assert run.status == "PENDING"
    told = nobody.call(url).json()
    assert (set(told), told["open"]) == ({"open", "expires_at"}, True)
    assert nobody.call(url, method="HEAD").status == 200
    answer = nobody.call(url, method="POST")
    assert (answer.status, answer.json()) == (202, {"sent": True})
    assert outlast.finish(run).result is None


def test_the_page_has_no_scripts_and_is_neither_kept_nor_framed(outlast: Outlast) -> None:
    _, url = begun(outlast)
    page = outlast.as_nobody().call(url, headers=HTML)
    headers = {name.lower(): value for name, value in page.headers.items()}
    assert headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "script" not in page.text
    assert headers["x-robots-tag"] == "noindex, nofollow"
    assert headers["cache-control"] == "no-store"
    assert '<form method="post">' in page.text, "behind any prefix: it posts to its own address"
    assert "approval" not in page.text


@pytest.mark.parametrize(
    ("of", "shown", "form", "result"),
    [
        ("any", "Confirm", {}, None),
        ("any", "Confirm", {"a": "1", "b": ["2", "3"]}, {"a": "1", "b": ["2", "3"]}),
        ("decision", 'value="approve"', {"value": "approve"}, "approve"),
        ("colour", 'value="blue"', {"value": "blue"}, "blue"),
        ("yes", 'value="true"', {"value": "true"}, True),
        (
            "verdict",
            'name="cents"',
            {"approved": "true", "cents": "5"},
            {"approved": True, "cents": 5, "note": ""},
        ),
    ],
)
def test_a_browsers_form(outlast: Outlast, of: str, shown: str, form: Any, result: Any) -> None:
    run, url = begun(outlast, of)
    assert shown in outlast.as_nobody().call(url, headers=HTML).text
    headers = {**HTML, "content-type": "application/x-www-form-urlencoded"}
    answer = outlast.as_nobody().call(url, method="POST", data=form, headers=headers)
    assert answer.status == 200, answer.text
    assert "Thank you" in answer.text
    assert outlast.finish(run).result == result


def test_what_does_not_fit_is_told_and_is_no_use(outlast: Outlast) -> None:
    run, url = begun(outlast, "verdict")
    nobody = outlast.as_nobody()
    for body in ({"approved": "maybe"}, None, [1]):
        answer = nobody.call(url, method="POST", json=body)
        assert code_of(answer) == (422, "invalid_input")
    assert [each["loc"] for each in nobody.call(url, method="POST", json={}).json()["errors"]] == [
        ["approved"]
    ]
    assert "hunter2" not in nobody.call(url, method="POST", json={"approved": "hunter2"}).text
    assert code_of(nobody.call(url, method="POST", content=b"{")) == (400, "invalid_json")
    assert nobody.call(url, method="POST", content="x", headers={"content-type": "text/csv"}).status == 415
    assert nobody.call(url, method="POST", files={"f": b"x"}).status == 400
    assert nobody.call(url, method="POST", json={"approved": True, "cents": 3}).status == 202
    assert outlast.finish(run).result == {"approved": True, "cents": 3}


def test_a_used_one_says_so_and_the_same_answer_again_is_the_same_message(outlast: Outlast) -> None:
    run, url = begun(outlast, take=1)
    nobody = outlast.as_nobody()
    assert nobody.call(url, method="POST", json="first").status == 202
    assert nobody.call(url, method="POST", json="first").status == 202, "its answer may have been lost"
    assert code_of(nobody.call(url, method="POST", json="second")) == (409, "callback_used")
    assert code_of(nobody.call(url, method="POST", content=b"{")) == (409, "callback_used")
    assert code_of(nobody.call(url)) == (409, "callback_used")
    page = nobody.call(url, headers=HTML)
    assert (page.status, "used already" in page.text) == (409, True)
    assert outlast.finish(run).result == "first"
    assert code_of(nobody.call(url)) == (409, "callback_used"), "its end is not told"


def test_as_many_as_wanted(outlast: Outlast) -> None:
    run, url = begun(outlast, uses=2, take=2)
    nobody = outlast.as_nobody()
    assert [nobody.call(url, method="POST", json=each).status for each in (1, 2, 3)] == [202, 202, 409]
    assert outlast.finish(run).result == [1, 2]
    run, url = begun(outlast, uses=None, take=3)
    assert [nobody.call(url, method="POST", json=5).status for _ in range(3)] == [202] * 3
    assert outlast.finish(run).result == [5, 5, 5]


def test_of_several_each_request_is_an_answer_and_one_that_comes_again_under_its_key_is_none(
    outlast: Outlast,
) -> None:
    run, url = begun(outlast, "decision", uses=3, take=3)
    nobody = outlast.as_nobody()
    keyed = {"idempotency-key": "ann"}
    for _ in range(2):
        assert nobody.call(url, method="POST", json="approve", headers=keyed).status == 202
    other = nobody.call(url, method="POST", json="reject", headers=keyed)
    assert code_of(other) == (422, "idempotency_key_reused")
    form = {**HTML, "content-type": "application/x-www-form-urlencoded"}
    for _ in range(2):
        assert nobody.call(url, method="POST", data={"value": "approve"}, headers=form).status == 200
    assert code_of(nobody.call(url, method="POST", json="approve")) == (409, "callback_used")
    assert nobody.call(url, method="POST", json="approve", headers=keyed).status == 202, "it was counted"
    assert outlast.finish(run).result == ["approve"] * 3
    run, url = begun(outlast, uses=None, take=2)
    for name in ("a", "a", "b"):
        headers = {"idempotency-key": name}
        assert nobody.call(url, method="POST", json=5, headers=headers).status == 202
    assert outlast.finish(run).result == [5, 5]


def test_an_expired_one(outlast: Outlast) -> None:
    run, url = begun(outlast, wait_s=7 * 86400)
    _ = outlast.advance(days=2)
    assert run.status == "PENDING"
    for method in ("GET", "POST"):
        assert code_of(outlast.as_nobody().call(url, method=method)) == (410, "callback_expired")
    assert outlast.finish(run).result == "nobody"


def test_one_whose_workflow_is_over(outlast: Outlast) -> None:
    run, url = begun(outlast, wait_s=60)
    assert outlast.finish(run).result == "nobody"
    for method in ("GET", "POST"):
        assert code_of(outlast.as_nobody().call(url, method=method)) == (410, "callback_over")
    run, url = begun(outlast)
    _ = outlast.cancel(run)
    assert code_of(outlast.as_nobody().call(url, method="POST")) == (410, "callback_over")


@pytest.mark.parametrize(
    "change", [lambda token: token[:-2] + "AA", lambda _: "x", lambda token: token[1:]], ids="abc"
)
def test_a_forged_one_tells_nothing(outlast: Outlast, change: Any) -> None:
    run, url = begun(outlast)
    folder, _, token = url.rpartition("/")
    for method in ("GET", "POST"):
        answer = outlast.as_nobody().call(f"{folder}/{change(token)}", method=method)
        assert code_of(answer) == (404, "callback_unknown")
        assert run.workflow_id not in answer.text
    assert run.workflow_id not in url


def test_a_replay_gives_the_same_and_a_def_workflow_asks_too(outlast: Outlast) -> None:
    outlast.answer("approval", "yes")
    assert outlast.crash_everywhere(asks).crashes > 5
    assert outlast.run(asks_plainly).result == "yes"


def test_an_answer_races_with_a_timeout_and_a_cancel(outlast: Outlast) -> None:
    """An answer that was taken in time is received, and nothing hangs."""
    for late_s in (0.0, 0.5, 1.0, 1.5):
        run, url = begun(outlast, wait_s=2)
        _ = outlast.advance(seconds=late_s)
        answer = outlast.as_nobody().call(url, method="POST", json="in time")
        _ = outlast.finish(run)
        assert run.result == ("in time" if answer.status == 202 else "nobody")
    outlast.answer("approval", "yes")
    _ = outlast.cancel_everywhere(asks)
    _ = outlast.explore(asks, schedules=100, seed=1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"expires": 0}, "expires"),
        ({"expires": timedelta(days=400)}, "366 days"),
        ({"uses": 0}, "whole number"),
        ({"uses": True}, "whole number"),
        ({"topic": ""}, "topic"),
        ({"of": list[int]}, "must have a name"),
    ],
)
def test_what_can_not_be_is_refused(outlast: Outlast, options: dict[str, Any], said: str) -> None:
    @workflow
    async def wrong() -> str:
        try:
            await callback(**options)
        except UsageError as error:
            return str(error)
        return "taken"

    assert said in outlast.run(wrong).result


def test_it_belongs_into_a_body(outlast: Outlast) -> None:
    @handler
    async def outside(request: Any) -> str:
        try:
            callback("x")
        except UsageError as error:
            return str(error)
        return "taken"

    assert "belongs in a workflow's body" in outlast.call(outside).text
