"""Hosts at their limits: too much in flight, and shutting down. What is turned away leaves no row."""

from __future__ import annotations

import signal

from tests.hosts import until
from tests.http.conftest import OPEN, Start
from tests.http.harness import Served, check_problem, fresh_key

NAMES = ("workflow-id", "link", "location")


def test_a_host_that_is_full_says_so(start_host: Start) -> None:
    host = start_host(OPEN, workflows_max=1, calls_per_caller_max=10, caller_running_max=10)
    key = fresh_key()
    holding = host.calling("held", {"key": key}, key=key)
    host.until_seen(key)
    turned_away = fresh_key()
    for accept in ("application/json", "text/event-stream"):
        answer = host.refused("hello", {}, key=turned_away, accept=accept)
        check_problem(answer, 503, "overloaded", retryable=True)
        assert not any(name in answer.headers for name in NAMES)
    check_problem(host.refused("starter?n=1"), 503, "overloaded", retryable=True)
    check_problem(host.refused("raw/begin"), 503, "overloaded", retryable=True)
    # What is there already takes no place, nor does what is no workflow.
    attached = host.calling("held", {"key": key}, key=key)
    check_problem(host.refused("held", {"key": "x"}, key=key), 422, "idempotency_key_reused")
    assert host.call("plain?kind=text").status_code == 200
    host.open(key)
    assert holding.result().content == attached.result().content
    until(lambda: host.call("hello", {}, key=turned_away).status_code == 200, "a free place")
    answer = host.call("hello", {}, key=turned_away)
    assert answer.headers["idempotency-replayed"] == "true"


def test_one_caller_cannot_take_all_places(start_host: Start) -> None:
    host = start_host(OPEN, calls_per_caller_max=2)
    keys = [fresh_key(), fresh_key()]
    calls = [host.calling("held", {"key": key}, key=key) for key in keys]
    for key in keys:
        host.until_seen(key)
    for function in ("hello", "inputs/order"):
        answer = host.refused(function, content=b"{oh", key=fresh_key())
        check_problem(answer, 429, "rate_limited", retryable=True)
        assert answer.headers["retry-after"] == "1"
        assert not any(name in answer.headers for name in NAMES)
    assert host.call("hello", {}, client=host.admin).status_code == 200
    for key in keys:
        host.open(key)
    assert [each.result().status_code for each in calls] == [200, 200]
    assert host.call("hello", {}).status_code == 200


def test_a_host_that_shuts_down_hands_over(start_host: Start) -> None:
    leaving = start_host(OPEN, drain_s=20)
    key, late = fresh_key(), fresh_key()
    calling = leaving.calling("held/staged", {"key": key}, key=key)
    leaving.until_seen(key)
    follower = leaving.client.stream(
        "POST",
        "/functions/v1/held/staged",
        json={"key": key},
        headers={"accept": "text/event-stream", "idempotency-key": key},
    )
    with follower as events:
        lines = events.iter_lines()
        assert next(lines) == "event: status"
        leaving.process.signal(signal.SIGTERM)
        until(lambda: leaving.client.get("/readyz").status_code == 503, "the end to begin")
        assert leaving.client.get("/readyz").json()["status"] == "stopping"
        refused(leaving, late)
        leaving.open(key)  # the running step may end, the next one must not begin
        answer = calling.result()
        document = check_problem(answer, 503, "shutting_down", retryable=True, more={"workflow_id"})
        assert document["workflow_id"] == f"held/staged:{key}"
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["location"] == f"/workflows/v1/held%2Fstaged:{key}"
        assert "shutting_down" in "\n".join(lines)
    assert leaving.process.ended() == 0
    taking_over = start_host(OPEN, beside=leaving)
    again = taking_over.call("held/staged", {"key": key}, key=key)
    assert again.json() == {"key": key}
    assert leaving.seen(key) == 1
    assert taking_over.call("hello", {}, key=late).headers["idempotency-replayed"] == "false"


def refused(host: Served, key: str) -> None:
    answer = host.refused("hello", {}, key=key)
    check_problem(answer, 503, "shutting_down", retryable=True)
    assert not any(name in answer.headers for name in NAMES), "there is no such workflow"
    assert answer.headers["retry-after"] == "1"
