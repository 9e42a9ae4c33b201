"""The audit log: what is told of refusals and of management, and that nobody can flood it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from outlast.core.callers import Caller
from outlast.core.observations import CallRefused, CallsRefused, Observation, WorkflowManaged
from outlast.observe.log import log
from outlast.web.callers.audit import OF_ADDRESS_MAX, OF_ALL_MAX, Audit, keep_who
from outlast.web.http.calls import Call

ADA = Caller("user", {"sub": "ada", "role": "authenticated"})


class Heard:
    """What an audit told, and the end of its window."""

    def __init__(self) -> None:
        self.facts: list[Observation] = []
        self.closings: list[Callable[[], None]] = []
        self.audit = Audit(self.facts.append, lambda _, close: self.closings.append(close))

    def close(self) -> None:
        (close,) = self.closings
        self.closings.clear()
        close()


def call_of(
    address: str = "10.0.0.1",
    caller: Caller | None = None,
    method: str = "GET",
    path: str = "/workflows/v1/x",
) -> Call:
    scope: dict[str, Any] = {
        "method": method,
        "path": path,
        "query_string": b"token=secret",
        "headers": [(b"authorization", b"Bearer secret")],
        "client": (address, 1),
    }

    async def receive() -> Any:
        raise AssertionError

    call = Call(scope, receive)
    if caller is not None:
        keep_who(call, caller)
    return call


def test_who_from_where_what_and_why() -> None:
    heard = Heard()
    heard.audit.record_refusal(call_of(), 401, "INVALID_CREDENTIALS")
    heard.audit.record_refusal(call_of(caller=ADA), 404, "workflow_not_found")
    heard.audit.record_refusal(call_of(caller=ADA), 422, "invalid_input")
    heard.audit.record_refusal(call_of(caller=Caller("secret", {}, "crons")), 404, "workflow_not_found")
    heard.audit.record_management(call_of(caller=Caller("secret", {}, "crons"), method="POST"), 200)
    assert heard.facts == [
        CallRefused("nobody known", "10.0.0.1", "GET", "/workflows/v1/x", "INVALID_CREDENTIALS"),
        CallRefused("user ada", "10.0.0.1", "GET", "/workflows/v1/x", "workflow_not_found"),
        WorkflowManaged("secret key crons", "10.0.0.1", "POST", "/workflows/v1/x", 200),
    ]


def test_a_link_by_which_anybody_may_answer_is_left_out() -> None:
    heard = Heard()
    heard.audit.record_refusal(call_of(path="/callbacks/v1/token"), 429, "rate_limited")
    assert heard.facts == [
        CallRefused("nobody known", "10.0.0.1", "GET", "/callbacks/v1/…", "rate_limited"),
    ]


def test_one_address_has_its_share_and_others_are_still_told() -> None:
    heard = Heard()
    for _ in range(1_000):
        heard.audit.record_refusal(call_of(), 401, "INVALID_CREDENTIALS")
    assert len(heard.facts) == OF_ADDRESS_MAX
    heard.audit.record_refusal(call_of("10.0.0.2"), 429, "rate_limited")
    assert len(heard.facts) == OF_ADDRESS_MAX + 1
    heard.close()
    summed, *_ = heard.facts[-1:]
    assert summed == CallsRefused((("INVALID_CREDENTIALS", 1_000 - OF_ADDRESS_MAX),), 60.0)
    told = len(heard.facts)
    heard.audit.record_refusal(call_of(), 401, "INVALID_CREDENTIALS")
    assert len(heard.facts) == told + 1
    told = len(heard.facts)
    heard.close()
    assert len(heard.facts) == told


def test_many_addresses_have_no_more_together() -> None:
    heard = Heard()
    for each in range(10 * OF_ALL_MAX):
        heard.audit.record_refusal(call_of(f"10.0.{each // 250}.{each % 250}"), 401, "INVALID_CREDENTIALS")
    assert len(heard.facts) == OF_ALL_MAX
    assert len(heard.audit._told) <= OF_ALL_MAX


def test_users_flood_it_no_more_by_managing_and_secret_keys_are_told_always() -> None:
    heard = Heard()
    for _ in range(2 * OF_ALL_MAX):
        heard.audit.record_management(call_of(caller=ADA, method="POST"), 200)
    assert len(heard.facts) == OF_ADDRESS_MAX
    for _ in range(2 * OF_ALL_MAX):
        heard.audit.record_management(call_of(caller=Caller("secret", {}, "default"), method="POST"), 200)
    assert len(heard.facts) == OF_ADDRESS_MAX + 2 * OF_ALL_MAX


def test_it_is_a_log_of_its_own_and_one_line_each(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "outlast.audit"):
        log(CallRefused("user a\nb", "10.0.0.1", "GET", "/x\r\n12:00 info all is well", "c"))
        log(CallsRefused((("c", 7),), 60.0))
        log(WorkflowManaged("secret key default", "10.0.0.1", "POST", "/workflows/v1/x/cancel", 200))
        log(WorkflowManaged("secret key default", "10.0.0.1", "GET", "/workflows/v1/x", 200))
    assert [record.name for record in caplog.records] == ["outlast.audit"] * 3
    assert all("\n" not in text and "\r" not in text for text in caplog.messages)
    assert "7 c" in caplog.messages[1]
