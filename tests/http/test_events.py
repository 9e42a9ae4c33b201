"""A workflow's progress as server-sent events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.hosts import until
from tests.http.conftest import OPEN, Start
from tests.http.harness import Served, check_problem, check_shared, fresh_key

EVENTS = "text/event-stream"


@dataclass
class Event:
    kind: str
    number: str | None
    data: Any


@contextmanager
def following(host: Served, function: str, key: str, body: object = None, **headers: str):
    """The events of a call, as they come."""
    headers |= {"accept": EVENTS, "idempotency-key": key}
    body = {"key": key} if body is None else body
    with host.client.stream("POST", f"/functions/v1/{function}", json=body, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"] == EVENTS
        assert answer.headers["workflow-id"] == f"{function}:{key}"
        check_shared(answer)
        yield events_of(answer)


def events_of(answer: httpx.Response) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            assert name in ("event", "id", "data")
            fields[name] = value
        elif fields:
            yield Event(fields["event"], fields.get("id"), json.loads(fields["data"]))
            fields = {}


def all_events(host: Served, *args: Any, **options: Any) -> list[Event]:
    with following(host, *args, **options) as events:
        return list(events)


def summary(events: list[Event]) -> list[tuple[str, str | None, str | int]]:
    return [(each.kind, each.number, each.data.get("name", each.data["status"])) for each in events]


def test_steps_come_as_they_are_done_and_then_the_result(host: Served) -> None:
    key = fresh_key()
    with following(host, "held/staged", key) as events:
        status = next(events)
        assert (status.kind, status.number) == ("status", "0")
        assert status.data == {"workflow_id": f"held/staged:{key}", "status": "PENDING"}
        first = next(events)
        assert (first.kind, first.number) == ("step", "1")
        assert first.data["step_id"] == "1"
        assert (first.data["name"], first.data["status"]) == ("first", "SUCCESS")
        assert first.data["completed_at"].endswith("Z")
        host.open(key)  # only now: the first step was told before the second was done
        assert summary(list(events)) == [
            ("step", "2", "hold"),
            ("step", "3", "last"),
            ("result", "4", 200),
        ]
    ended = all_events(host, "held/staged", key)[-1]
    assert ended.data == {"status": 200, "replayed": True, "body": {"key": key}}
    assert host.seen(key) == 1


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ("0", ["1", "2", "3", "4"]),
        ("1", ["2", "3", "4"]),
        ("3", ["4"]),
        ("4", ["4"]),
        ("999", ["4"]),
        ("", ["1", "2", "3", "4"]),
        ("x", ["1", "2", "3", "4"]),
        ("-1", ["1", "2", "3", "4"]),
        ("²", ["1", "2", "3", "4"]),
        ("1" * 5000, ["1", "2", "3", "4"]),
    ],
    ids=lambda value: str(value)[:10],
)
def test_a_stream_goes_on_after_the_last_event_seen(host: Served, seen: str, expected: list[str]) -> None:
    key = fresh_key()
    host.open(key)
    assert host.call("held/staged", {"key": key}, key=key).status_code == 200
    headers = [
        (b"accept", EVENTS.encode()),
        (b"last-event-id", seen.encode("latin-1")),
        (b"idempotency-key", key.encode()),
    ]
    answer = host.client.post("/functions/v1/held/staged", json={"key": key}, headers=headers)
    told = seen if seen in ("1", "3", "4", "999") else "0"
    assert [each.number for each in events_of(answer)] == [told, *expected]


@pytest.mark.parametrize("seen", ["0", "1", "999"])
def test_nothing_goes_on_with_a_stream_that_has_no_key(host: Served, seen: str) -> None:
    """A browser's EventSource comes again by itself when a stream has ended: that is no new call."""
    for method in ("GET", "POST"):
        headers = {"last-event-id": seen}
        answer = host.refused("hello", method=method, accept=EVENTS, headers=headers)
        check_problem(answer, 400, "idempotency_key_missing")


def test_a_stream_that_broke_is_taken_up_again(host: Served) -> None:
    key = fresh_key()
    with following(host, "held/staged", key) as events:
        assert [next(events).kind, next(events).number] == ["status", "1"]
    with following(host, "held/staged", key, **{"last-event-id": "1"}) as events:
        assert next(events).kind == "status"
        host.open(key)
        assert [each.number for each in events] == ["2", "3", "4"]
    assert host.seen(key) == 1


def test_a_failed_step_and_the_end_it_brings(host: Served) -> None:
    key = fresh_key()
    host.open(key)
    events = all_events(host, "held/staged", key, {"key": key, "fail": True})
    assert (events[-2].data["name"], events[-2].data["status"]) == ("last", "ERROR")
    result = events[-1].data
    assert result["status"] == 500
    assert result["body"]["code"] == "workflow_error"
    assert result["body"]["workflow_id"] == f"held/staged:{key}"
    assert "hunter2" not in str(events)


def test_a_cancelled_workflow_ends_its_stream(host: Served) -> None:
    key = fresh_key()
    with following(host, "held", key) as events:
        assert next(events).kind == "status"
        host.until_seen(key)
        host.admin.post(f"/workflows/v1/held:{key}/cancel")
        (end,) = list(events)
    assert (end.kind, end.data["status"], end.data["body"]["code"]) == ("result", 409, "workflow_cancelled")


def test_streams_and_plain_calls_attach_to_each_other(host: Served) -> None:
    key = fresh_key()
    calling = host.calling("held", {"key": key}, key=key)
    host.until_seen(key)
    with following(host, "held", key) as events:
        assert next(events).kind == "status"
        host.open(key)
        assert [each.kind for each in events] == ["step", "result"]
    assert calling.result().json() == {"said": f"let go of {key}"}
    assert host.seen(key) == 1


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text", "grüße"),
        ("json", {"b": 1, "a": [1.0, "ü"]}),
        ("no-content", None),
        ("teapot", "short and stout"),
    ],
)
def test_the_result_tells_the_recorded_answer(host: Served, kind: str, body: object) -> None:
    events = all_events(host, "answers/respond", fresh_key(), {"kind": kind})
    assert events[-1].data["body"] == body


def test_digits_that_are_text_stay_text(host: Served) -> None:
    assert all_events(host, "answers/value", fresh_key(), {"value": "12"})[-1].data["body"] == "12"


@pytest.mark.parametrize(
    "accept", ["text/event-stream", "TEXT/Event-Stream; q=1", "application/json, text/event-stream"]
)
def test_how_events_are_asked_for(host: Served, accept: str) -> None:
    assert host.call("hello", {}, accept=accept).headers["content-type"] == EVENTS


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "text/*",
        "text/event-streams",
        "x-text/event-stream",
        "text/event-stream;q=0",
        "application/json, text/event-stream; Q=0.000",
    ],
)
def test_who_does_not_ask_gets_the_result_alone(host: Served, accept: str) -> None:
    assert host.call("hello", {}, accept=accept).headers["content-type"] == "application/json"


def test_before_the_start_errors_are_plain_answers(host: Served) -> None:
    check_problem(host.refused("hello", {"name": 5}, accept=EVENTS), 422, "invalid_input", more={"errors"})
    check_problem(host.refused("hello", content=b"{", accept=EVENTS), 400, "invalid_json")
    check_problem(host.refused("nowhere", {}, accept=EVENTS), 404, "NOT_FOUND")
    check_problem(host.refused("inputs/keyed", {}, accept=EVENTS), 400, "idempotency_key_missing")
    check_problem(host.refused("inputs/writes", method="GET", accept=EVENTS), 405, "METHOD_NOT_ALLOWED")


@pytest.mark.slow
def test_a_stream_counts_as_a_call_until_its_client_leaves(start_host: Start) -> None:
    host = start_host(OPEN, calls_per_caller_max=1, caller_running_max=10)
    key = fresh_key()
    with following(host, "held", key) as events:
        assert next(events).kind == "status"
        host.until_seen(key)
        check_problem(host.refused("hello", {}), 429, "rate_limited", retryable=True)
        check_problem(host.refused("hello", {}, accept=EVENTS), 429, "rate_limited", retryable=True)
        assert host.call("hello", {}, client=host.admin).status_code == 200
    until(lambda: host.call("hello", {}).status_code == 200, "the place of the stream that ended", 60)
    host.open(key)
    host.until_status(f"held:{key}", "SUCCESS")
