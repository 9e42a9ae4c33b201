"""Waiting for a result: within the budget and beyond, as long as callers prefer, together, and in vain."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.hosts import until
from tests.http.conftest import OPEN, Start
from tests.http.harness import Served, check_problem, fresh_key, same_answer


@pytest.fixture(scope="module")
def hasty(start_host: Start) -> Served:
    """A host that waits for a moment only."""
    return start_host(OPEN, sync_wait_s=0.2)


def check_pending(answer: httpx.Response, workflow_id: str, applied: str | None) -> None:
    assert answer.status_code == 202
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"workflow_id": workflow_id, "status": "PENDING"}
    assert answer.headers["workflow-id"] == workflow_id
    assert answer.headers["location"] == f"/workflows/v1/{workflow_id}"
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers.get("preference-applied") == applied
    assert "idempotency-replayed" not in answer.headers


def finish(host: Served, key: str) -> httpx.Response:
    """Let a held workflow go, and follow it as a client would."""
    host.open(key)
    return host.call("held", {"key": key}, key=key)


def test_over_budget_the_caller_is_told_where_to_look(hasty: Served) -> None:
    key = fresh_key()
    answer = hasty.call("held", {"key": key}, key=key)
    check_pending(answer, f"held:{key}", None)
    status = hasty.admin.get(answer.headers["location"])
    assert status.json()["status"] == "PENDING"
    hasty.open(key)
    ended = hasty.admin.get(answer.headers["location"], params={"wait": "20"}).json()
    assert ended["status"] == "SUCCESS"
    assert ended["output"] == {"said": f"let go of {key}"}
    again = hasty.call("held", {"key": key}, key=key)
    assert again.json() == {"said": f"let go of {key}"}
    assert again.headers["idempotency-replayed"] == "true"
    assert hasty.seen(key) == 1


def test_a_caller_without_a_key_can_look_too(hasty: Served) -> None:
    key = fresh_key()
    answer = hasty.call("held", {"key": key})
    check_pending(answer, answer.headers["workflow-id"], None)
    hasty.open(key)
    hasty.until_status(answer.headers["workflow-id"], "SUCCESS")


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        ("respond-async", "respond-async"),
        ("Respond-Async", "respond-async"),
        ("respond-async; foo=bar", "respond-async"),
        ("return=minimal, respond-async", "respond-async"),
        ("respond-async, wait=0", "respond-async, wait=0"),
        ("wait=0", "wait=0"),
        ('wait="0"', "wait=0"),
        ("wait = 0, wait=50", "wait=0"),
        ("respond-async, wait=x", "respond-async"),
    ],
)
def test_a_caller_may_prefer_not_to_wait(host: Served, prefer: str, applied: str) -> None:
    key = fresh_key()
    answer = host.call("held", {"key": key}, key=key, prefer=prefer)
    check_pending(answer, f"held:{key}", applied)
    # The row was durable before the answer was given.
    assert host.status(answer.headers["workflow-id"]) == "PENDING"
    assert finish(host, key).status_code == 200


def test_preferences_in_several_fields_count_together(host: Served) -> None:
    key = fresh_key()
    headers = [("prefer", "respond-async"), ("prefer", "wait=0"), ("idempotency-key", key)]
    answer = host.client.post("/functions/v1/held", json={"key": key}, headers=headers)
    check_pending(answer, f"held:{key}", "respond-async, wait=0")
    finish(host, key)


@pytest.mark.parametrize("prefer", ["wait=1", "respond-async, wait=1"])
def test_a_caller_may_wait_for_a_while(host: Served, prefer: str) -> None:
    key = fresh_key()
    check_pending(host.call("held", {"key": key}, key=key, prefer=prefer), f"held:{key}", prefer)
    host.open(key)
    done = host.call("held", {"key": key}, key=key, prefer=prefer)
    assert done.status_code == 200
    assert done.headers["preference-applied"] == prefer


def test_a_result_that_comes_in_time_is_the_answer(host: Served) -> None:
    key = fresh_key()
    calling = host.calling("held", {"key": key}, key=key, prefer="respond-async, wait=20")
    host.until_seen(key)
    host.open(key)
    answer = calling.result()
    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "respond-async, wait=20"


def test_nobody_waits_beyond_the_budget(hasty: Served) -> None:
    key = fresh_key()
    answer = hasty.call("held", {"key": key}, key=key, prefer="wait=600")
    check_pending(answer, f"held:{key}", "wait=0")
    hasty.open(key)
    hasty.until_status(f"held:{key}", "SUCCESS")


@pytest.mark.parametrize(
    "prefer",
    ["", "wait", "wait=", "wait=-1", "wait=1.5", "wait=1e9", "wait=9999999999", "respond_async", ",,;=\"",
     'x="a, respond-async, wait=0"', '"respond-async"', "x=\"respond-async", "respond-async=", "²=1"],
)  # fmt: skip
def test_what_is_no_preference_is_ignored(host: Served, prefer: str) -> None:
    headers = [(b"prefer", prefer.encode("latin-1"))]
    answer = host.client.post("/functions/v1/hello", json={}, headers=headers)
    if prefer == "respond-async=":
        assert answer.status_code == 202
    else:
        assert answer.status_code == 200
        assert "preference-applied" not in answer.headers


def test_what_ended_is_answered_whatever_is_preferred(host: Served) -> None:
    key = fresh_key()
    first = host.call("hello", {}, key=key)
    again = host.call("hello", {}, key=key, prefer="respond-async")
    assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
    same_answer(first, again)


def test_duplicates_attach_and_get_the_same_bytes(host: Served) -> None:
    key = fresh_key()
    first = host.calling("held", {"key": key}, key=key)
    host.until_seen(key)
    others = [host.calling("held", {"key": key}, key=key) for _ in range(10)]
    late = host.call("held", {"key": key}, key=key, prefer="wait=0")
    check_pending(late, f"held:{key}", "wait=0")
    host.open(key)
    answers = [each.result() for each in (first, *others)]
    assert [each.headers["idempotency-replayed"] for each in answers] == ["false"] + ["true"] * 10
    for each in answers[1:]:
        same_answer(answers[0], each)
    assert host.seen(key) == 1


def test_calls_of_one_moment_start_one_workflow(host: Served) -> None:
    key = fresh_key()
    calls = [host.calling("answers/value", {"value": 1, "key": key}, key=key) for _ in range(20)]
    answers = [each.result() for each in calls]
    assert {each.content for each in answers} == {b"1"}
    assert sorted(each.headers["idempotency-replayed"] for each in answers) == ["false"] + ["true"] * 19
    assert host.seen(key) == 1


def test_duplicates_attach_across_hosts(host: Served, start_host: Start) -> None:
    other = start_host(OPEN, beside=host)
    key = fresh_key()
    first = host.calling("held", {"key": key}, key=key)
    host.until_seen(key)
    second = other.calling("held", {"key": key}, key=key)
    check_problem(other.refused("held", {"key": "x"}, key=key), 422, "idempotency_key_reused")
    host.open(key)
    same_answer(first.result(), second.result())
    assert first.result().status_code == 200
    assert second.result().headers["idempotency-replayed"] == "true"
    assert host.seen(key) == 1
    raced = fresh_key()
    body = {"value": "ü", "key": raced}
    answers = [
        each.result() for each in [at.calling("answers/value", body, key=raced) for at in (host, other) * 5]
    ]
    assert {each.content for each in answers} == {'"ü"'.encode()}
    assert host.seen(raced) == 1


@pytest.mark.parametrize("prefer", ["wait=0", "wait=15"])
def test_a_client_that_leaves_stops_nothing(host: Served, prefer: str) -> None:
    key = fresh_key()
    content = json.dumps({"key": key}).encode()
    with host.connection() as wire:
        head = "POST /functions/v1/held HTTP/1.1\r\nhost: localhost\r\n"
        head += f"idempotency-key: {key}\r\nprefer: {prefer}\r\n"
        wire.send(head.encode() + b"content-length: %d\r\n\r\n" % len(content) + content)
        host.until_seen(key)
    host.open(key)
    host.until_status(f"held:{key}", "SUCCESS")
    retry = host.client.post("/functions/v1/held", content=content, headers={"idempotency-key": key})
    assert retry.json() == {"said": f"let go of {key}"}
    assert host.seen(key) == 1


@pytest.mark.slow
def test_a_client_that_leaves_counts_no_more(start_host: Start) -> None:
    """It may as well be one that sends no more and reads on: the wait that it asked for bounds its place."""
    host = start_host(OPEN, calls_per_caller_max=1, caller_running_max=10)
    key = fresh_key()
    content = json.dumps({"key": key}).encode()
    with host.connection() as wire:
        wire.send(b"POST /functions/v1/held HTTP/1.1\r\nhost: [::1]\r\nprefer: wait=5\r\n")
        wire.send(b"content-length: %d\r\n\r\n" % len(content) + content)
        host.until_seen(key)
        check_problem(host.call("hello", {}), 429, "rate_limited", retryable=True)
    until(lambda: host.call("hello", {}).status_code == 200, "the place of the client that left")
    host.open(key)


def test_a_cancelled_workflow_is_a_conflict(host: Served) -> None:
    key = fresh_key()
    waiting = host.calling("held", {"key": key}, key=key)
    host.until_seen(key)
    cancelled = host.admin.post(f"/workflows/v1/held:{key}/cancel")
    assert cancelled.json() == {"workflow_id": f"held:{key}", "status": "CANCELLED"}
    for answer in (waiting.result(), host.call("held", {"key": key}, key=key)):
        document = check_problem(answer, 409, "workflow_cancelled", more={"workflow_id"})
        assert document["workflow_id"] == answer.headers["workflow-id"] == f"held:{key}"
    assert host.seen(key) == 1


def test_an_exhausted_workflow_is_a_fault(host: Served) -> None:
    key = fresh_key()
    workflow_id = host.begin("held", key)
    # As the store says it of a workflow whose instances were lost too often.
    host.query(
        "update outlast.workflow_status set status = 'EXHAUSTED', owner = null, epoch = epoch + 1, "
        'completed_at = now(), error = \'{"code": "recovery_exhausted", "message": "lost 11 times"}\' '
        "where workflow_id = %s",
        workflow_id,
    )
    answer = host.call("held", {"key": key}, key=key)
    check_problem(answer, 500, "recovery_exhausted", more={"workflow_id"})
    assert answer.headers["idempotency-replayed"] == "true"
    host.open(key)


def test_a_workflow_that_takes_too_long_ends(host: Served) -> None:
    key = fresh_key()
    first = host.call("held/hurried", {"key": key}, key=key)
    check_problem(first, 500, "workflow_timeout", more={"workflow_id"})
    same_answer(first, host.call("held/hurried", {"key": key}, key=key))
    host.open(key)
