"""Published events over HTTP: their own stream, a call's stream, pages, and whose they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.hosts import until
from tests.http.conftest import OPEN, Start
from tests.http.harness import Served, check_problem, check_shared, fresh_key
from tests.http.test_auth import started
from tests.http.test_events import EVENTS, Event, all_events, following
from tests.http.test_ownership import User
from tests.realtime import heard, stand_in
from tests.tokens import elliptic, project


@contextmanager
def watching(
    host: Served, workflow_id: str, query: str = "", client: httpx.Client | None = None, **headers: Any
) -> Iterator[Iterator[Event]]:
    """The stream of a workflow's events, as they come."""
    headers |= {"accept": EVENTS}
    url = f"/workflows/v1/{quote(workflow_id, safe=':')}/events{query}"
    with (client or host.admin).stream("GET", url, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"] == EVENTS
        assert answer.headers["workflow-id"] == workflow_id
        check_shared(answer)
        yield _events_of(answer)


def _events_of(answer: httpx.Response) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in _lines_of(answer):
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield Event(fields["event"], fields.get("id"), json.loads(fields["data"]))
            fields = {}


def _lines_of(answer: httpx.Response) -> Iterator[str]:
    """Ended by line feeds alone: httpx knows more ends of lines than event streams have."""
    rest = b""
    for data in answer.iter_bytes():
        *lines, rest = (rest + data).split(b"\n")
        yield from (line.decode() for line in lines)


def all_published(host: Served, workflow_id: str, *args: Any, **options: Any) -> list[Event]:
    with watching(host, workflow_id, *args, **options) as events:
        return list(events)


def numbers(events: list[Event]) -> list[str | None]:
    return [each.number for each in events]


def test_events_come_as_they_are_published_and_then_the_end(host: Served) -> None:
    key = fresh_key()
    workflow_id = host.begin("telling", key)
    with watching(host, workflow_id) as events:
        first = next(events)
        assert (first.kind, first.number) == ("event", "1")
        assert first.data["published_at"].endswith("Z")
        del first.data["published_at"]
        assert first.data == {"number": 1, "event": "progress", "value": {"done": 1, "of": 2}}
        host.open(key)  # only now: the first was told before the second was published
        rest = list(events)
    assert numbers(rest) == ["3", "4", None]
    assert (rest[1].data["event"], rest[1].data["value"]) == ("odd\nname", "é\n")
    assert (rest[2].kind, rest[2].data) == ("end", {"workflow_id": workflow_id, "status": "SUCCESS"})
    assert [(each.kind, each.number, each.data) for each in all_published(host, workflow_id)][1:] == [
        (each.kind, each.number, each.data) for each in rest
    ]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ("0", ["1", "3", "4", None]),
        ("1", ["3", "4", None]),
        ("2", ["3", "4", None]),
        ("4", [None]),
        ("999", [None]),
        ("x", ["1", "3", "4", None]),
        ("-1", ["1", "3", "4", None]),
        ("1" * 5000, ["1", "3", "4", None]),
    ],
    ids=lambda value: str(value)[:10],
)
def test_a_stream_goes_on_after_the_last_event_seen(
    host: Served, seen: str, expected: list[str | None]
) -> None:
    key = fresh_key()
    host.open(key)
    assert host.call("telling", {"key": key}, key=key).status_code == 200
    events = all_published(host, f"telling:{key}", **{"last-event-id": seen})
    assert numbers(events) == expected


def test_a_stream_that_broke_is_taken_up_again(host: Served) -> None:
    key = fresh_key()
    workflow_id = host.begin("telling", key)
    with watching(host, workflow_id) as events:
        assert next(events).number == "1"
    with watching(host, workflow_id, "", None, **{"last-event-id": "1"}) as events:
        host.open(key)
        assert numbers(list(events)) == ["3", "4", None]


def test_a_stream_of_one_event_alone(host: Served) -> None:
    key = fresh_key()
    host.open(key)
    host.call("telling", {"key": key}, key=key)
    assert numbers(all_published(host, f"telling:{key}", "?event=progress")) == ["1", "3", None]
    assert numbers(all_published(host, f"telling:{key}", "?event=odd%0Aname")) == ["4", None]
    assert numbers(all_published(host, f"telling:{key}", "?event=nothing")) == [None]


def test_more_events_than_one_look_reads(host: Served) -> None:
    key = fresh_key()
    host.call("telling/counting", {"to": 450}, key=key)
    events = all_published(host, f"telling/counting:{key}")
    assert [each.data.get("value") for each in events] == [*range(450), None]


@pytest.mark.parametrize(("fail", "status"), [(True, "ERROR"), (False, "CANCELLED")])
def test_a_bad_end_is_told_by_its_status_alone(host: Served, fail: bool, status: str) -> None:
    key = fresh_key()
    workflow_id = host.begin("telling", key, {"key": key, "fail": fail})
    with watching(host, workflow_id) as events:
        assert next(events).number == "1"
        if fail:
            host.open(key)
        else:
            host.admin.post(f"/workflows/v1/{workflow_id}/cancel")
        end = list(events)[-1]
    assert (end.kind, end.data) == ("end", {"workflow_id": workflow_id, "status": status})


def test_a_calls_own_stream_shows_them_with_their_values(host: Served) -> None:
    key = fresh_key()
    with following(host, "telling", key) as events:
        assert next(events).kind == "status"
        first = next(events)
        assert (first.kind, first.number, first.data["value"]) == ("event", "1", {"done": 1, "of": 2})
        assert set(first.data) == {"number", "event", "value", "published_at"}
        host.open(key)
        assert [(each.kind, each.number) for each in events] == [
            ("step", "2"),
            ("event", "3"),
            ("event", "4"),
            ("result", "5"),
        ]
    again = all_events(host, "telling", key, **{"last-event-id": "3"})
    assert [each.number for each in again] == ["3", "4", "5"]


def test_pages_and_steps_show_them_too(host: Served) -> None:
    key = fresh_key()
    host.call("telling/counting", {"to": 5}, key=key)
    url = f"/workflows/v1/telling%2Fcounting:{key}"
    page = host.admin.get(f"{url}/events?limit=3&event=count").json()
    assert [(each["number"], each["value"]) for each in page["events"]] == [(1, 0), (2, 1), (3, 2)]
    rest = host.admin.get(page["next"]).json()
    assert ([each["value"] for each in rest["events"]], rest["next"]) == ([3, 4], None)
    steps = host.admin.get(f"{url}/steps").json()["steps"]
    assert [(each["name"], each["status"], each["output"]) for each in steps] == [
        ("publish count", "SUCCESS", number) for number in range(5)
    ]


@pytest.mark.parametrize(
    "text", ['{"a":1,"a":2}', "12345678901234567890123", "0.1", '"\\u2028\\n"', "[]", "null"]
)
def test_values_go_through_both_forms_as_json(host: Served, text: str) -> None:
    key = fresh_key()
    host.call("telling/values", content=f'{{"value": {text}}}'.encode(), key=key)
    workflow_id = f"telling/values:{key}"
    (listed,) = host.admin.get(f"/workflows/v1/telling%2Fvalues:{key}/events").json()["events"]
    assert listed["value"] == json.loads(text)
    (streamed, _) = all_published(host, workflow_id)
    assert streamed.data == listed


@pytest.mark.slow
def test_a_stream_counts_as_a_call_until_its_client_leaves(start_host: Start) -> None:
    with project(elliptic()) as signer:
        host = started(start_host, signer, calls_per_caller_max=1, caller_running_max=10)
        ada = User(host, signer)
        key = fresh_key()
        workflow_id = ada.call("telling", {"key": key}, key=key, prefer="respond-async")
        until(lambda: host.seen(key), "it to run")
        with watching(host, workflow_id, client=host.client, **ada.headers) as events:
            assert next(events).number == "1"
            url = f"/workflows/v1/{workflow_id}/events"
            refused = host.client.get(url, headers={**ada.headers, "accept": EVENTS})
            check_problem(refused, 429, "rate_limited", retryable=True)
            assert ada.ask(f"/{workflow_id}/events").status_code == 200
        until(
            lambda: host.call("hello", {}, headers=ada.headers).status_code == 200,
            "the place of the stream that ended",
        )
        host.open(key)


def test_owners_follow_theirs_and_nobody_elses(start_host: Start) -> None:
    with project(elliptic()) as signer:
        host = started(start_host, signer)
        ada, eve = User(host, signer), User(host, signer)
        key = fresh_key()
        host.open(key)
        workflow_id = ada.call("telling", {"key": key}, key=key)
        own = all_published(host, workflow_id, client=host.client, **ada.headers)
        assert numbers(own) == ["1", "3", "4", None]
        assert len(ada.ask(f"/{workflow_id}/events").json()["events"]) == 3
        url = f"/workflows/v1/{workflow_id}/events"
        for accept in ("application/json", EVENTS):
            others = host.client.get(url, headers={**eve.headers, "accept": accept})
            check_problem(others, 404, "workflow_not_found", more={"workflow_id"})
            nobody = host.client.get(url, headers={"accept": accept})
            assert nobody.status_code == 401


# --- Realtime, of which there is a stand-in ----------------------------------------------------------------


def test_events_go_out_through_a_stand_in_of_realtime_send(start_host: Start) -> None:
    host = start_host(OPEN, realtime="true")
    stand_in(host.database)
    for function, key in (("telling/counting", "a"), ("telling/counting", "a"), ("telling/values", "b")):
        host.call(function, {}, key=key, client=host.admin)
    sent = [(each["topic"], each["event"], each["payload"]["value"]) for each in heard(host.database)]
    assert sent == [
        ("workflow:telling/counting:a", "count", 0),
        ("workflow:telling/counting:a", "count", 1),
        ("workflow:telling/counting:a", "count", 2),
        ("workflow:telling/values:b", "value", None),
    ]
    numbers = [each["payload"]["number"] for each in heard(host.database)]
    listed = host.admin.get("/workflows/v1/telling%2Fcounting:a/events").json()["events"]
    assert [each["number"] for each in listed] == numbers[:3]
    published_at = heard(host.database)[0]["payload"]["published_at"]
    assert listed[0]["published_at"] == published_at
    assert "Realtime" not in host.process.said()


def test_without_realtime_one_line_says_so_and_functions_go_on(start_host: Start) -> None:
    host = start_host(OPEN, realtime="true")
    for _ in range(3):
        assert host.call("telling/counting", {}, key=fresh_key()).json() == 3
    (line,) = [line for line in host.process.said().splitlines() if "Realtime" in line]
    assert "events don't reach Realtime" in line
    assert "unset OUTLAST_REALTIME" in line


def test_without_the_setting_nothing_goes_to_realtime(start_host: Start) -> None:
    host = start_host(OPEN)
    stand_in(host.database)
    assert host.call("telling/counting", {}, key=fresh_key()).json() == 3
    assert heard(host.database) == []
