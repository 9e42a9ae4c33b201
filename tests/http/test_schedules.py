"""Schedules over HTTP and in SQL: what is shown of them, and what operators do to them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from outlast.core.clock import Clock
from tests.hosts import until
from tests.http.harness import Served, check_problem, fresh_key

SCHEDULES = "/schedules/v1"
LATER = {"cron": "30 2 * * *", "tz": "Europe/Berlin"}


@pytest.fixture
def name(host: Served) -> Iterator[str]:
    """The name of a schedule, which is deleted afterwards."""
    name = f"s-{fresh_key()}"
    yield name
    host.admin.post(f"{SCHEDULES}/{name}/delete")


def create(host: Served, name: str, **given: Any) -> None:
    answer = host.admin.post(SCHEDULES, json={"name": name, "function": "hello", **given})
    assert (answer.status_code, answer.json()) == (200, {"created": name}), answer.text


def shown(host: Served, name: str) -> dict[str, Any]:
    answer = host.admin.get(f"{SCHEDULES}/{name}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def planned(host: Served, name: str) -> dict[str, Any]:
    """A schedule whose next time an instance has found."""
    until(lambda: shown(host, name)["next_at"] is not None, "the next time")
    return shown(host, name)


def test_one_is_made_and_shown_with_its_next_times(host: Served, name: str) -> None:
    create(host, name, **LATER, input={"n": 1}, jitter=60)
    found = planned(host, name)
    assert (found["state"], found["owner"], found["created_by"]) == (
        "active",
        "dynamic",
        "secret key default",
    )
    assert (found["cron"], found["tz"], found["input"], found["jitter_s"]) == (*LATER.values(), {"n": 1}, 60)
    assert len(found["upcoming"]) == 5
    assert all(each.endswith(":30:00Z") for each in found["upcoming"])
    first, at = (datetime.fromisoformat(each) for each in (found["upcoming"][0], found["next_at"]))
    assert first <= at
    listed = host.admin.get(SCHEDULES, params={"function": "hello", "state": "active"}).json()
    assert name in [each["name"] for each in listed["schedules"]]
    create(host, name, **LATER, input={"n": 1}, jitter=60)
    assert shown(host, name) == found
    create(host, name, every=3600)
    assert planned(host, name)["every_s"] == 3600


def test_it_is_paused_and_resumed_and_deleted(host: Served, name: str) -> None:
    create(host, name, **LATER)
    paused = host.admin.post(f"{SCHEDULES}/{name}/pause", json={"why": "the moon"}).json()
    assert (paused["state"], paused["paused_why"], paused["upcoming"]) == ("paused", "the moon", [])
    assert host.admin.post(f"{SCHEDULES}/{name}/pause", json={"why": "the moon"}).status_code == 200
    assert host.admin.post(f"{SCHEDULES}/{name}/resume").json()["state"] == "active"
    planned(host, name)
    assert host.admin.post(f"{SCHEDULES}/{name}/delete").json() == {"deleted": name}
    check_problem(host.admin.get(f"{SCHEDULES}/{name}"), 404, "schedule_not_found", more={"name"})
    check_problem(host.admin.post(f"{SCHEDULES}/{name}/pause"), 404, "schedule_not_found", more={"name"})


def test_what_it_starts_is_started_now(host: Served, name: str) -> None:
    create(host, name, **LATER, input={"name": "now"})
    host.admin.post(f"{SCHEDULES}/{name}/pause")
    one, again = (
        host.admin.post(f"{SCHEDULES}/{name}/trigger", json={"idempotency_key": "k"}).json() for _ in range(2)
    )
    assert one == again == {"workflow_id": f"schedule:{name}:now:k"}
    other = host.admin.post(f"{SCHEDULES}/{name}/trigger").json()
    assert other != one
    for each in (one, other):
        ended = host.admin.get(f"/workflows/v1/{each['workflow_id']}", params={"wait": 20}).json()
        assert ended["status"] == "SUCCESS", ended


def test_ticks_of_the_past_are_started(host: Served, name: str) -> None:
    create(host, name, cron="0 12 * * *")
    planned(host, name)
    span = {"after": "2026-03-01T12:00:00Z", "until": "2026-03-04T12:00:00Z"}
    newest = ["2026-03-02T12:00:00Z", "2026-03-03T12:00:00Z", "2026-03-04T12:00:00Z"]
    path = f"{SCHEDULES}/{name}/backfill"
    dry = host.admin.post(path, json={**span, "dry_run": True}).json()
    assert dry == {"count": 3, "newest": newest, "dry_run": True}
    prefix = f"schedule:{name}:%"
    count = "select count(*)::int from outlast.workflow_status where workflow_id like %s"
    assert host.query(count, prefix) == [(0,)]
    for _ in range(2):
        assert host.admin.post(path, json=span).json() == {"count": 3, "newest": newest, "dry_run": False}
        until(lambda: shown(host, name)["backfill_until"] is None, "the backfill")
    assert host.query(count, prefix) == [(3,)]


BAD = [
    ({"cron": "61 * * * *"}, "field minute"),
    ({"cron": "0 0 30 2 *"}, "never comes"),
    ({"cron": "@daily", "tz": "Mars/Olympus"}, "time zone"),
    ({"cron": "@daily", "every": 5}, "one of them"),
    ({}, "one of them"),
    ({"every": 0.5}, "every"),
    ({"every": 1.5}, "every"),
    ({"every": 400 * 86_400}, "every"),
    ({"at": "yesterday"}, "at must be"),
    ({"cron": "@daily", "catchup": "some"}, "catchup"),
    ({"cron": "@daily", "catchup": "all"}, "overlap"),
    ({"cron": "@daily", "overlap": "maybe"}, "overlap"),
    ({"cron": "@daily", "times": 0}, "times"),
    ({"cron": "@daily", "jitter": 86_401}, "jitter"),
    ({"cron": "@daily", "pause_after": 101}, "pause_after"),
    ({"cron": "@daily", "function": "no function"}, "function"),
    ({"cron": "@daily", "name": "no name"}, "name"),
    ({"cron": "@daily", "color": "red"}, "no argument 'color'"),
]


@pytest.mark.parametrize(("given", "said"), BAD, ids=map(str, range(len(BAD))))
def test_what_can_not_be_is_refused_and_leaves_no_row(
    host: Served, name: str, given: dict[str, Any], said: str
) -> None:
    document = {"name": name, "function": "hello", **given}
    answer = host.admin.post(SCHEDULES, json=document)
    check_problem(answer, 422, "invalid_input", more={"errors"})
    assert said in answer.text
    assert host.query("select from outlast.schedules where name = any(%s)", [name, document["name"]]) == []


def test_backfills_that_can_not_be(host: Served, name: str) -> None:
    create(host, name, cron="0 12 * * *")
    path = f"{SCHEDULES}/{name}/backfill"
    past, tomorrow = "2026-03-01T12:00:00Z", (Clock().now() + timedelta(days=1)).isoformat()
    for span, said in [
        ({"after": past}, "until is missing"),
        ({"after": past, "until": past}, "later than after"),
        ({"after": "2020-01-01T00:00:00Z", "until": past}, "366 days"),
        ({"after": "2026-11-01T00:00:00Z", "until": tomorrow}, "in the future"),
    ]:
        answer = host.admin.post(path, json=span)
        check_problem(answer, 422, "invalid_input", more={"errors"})
        assert said in answer.text


def test_users_may_not(host: Served, name: str) -> None:
    create(host, name, **LATER)
    for answer in (host.client.get(SCHEDULES), host.client.post(f"{SCHEDULES}/{name}/trigger")):
        assert answer.status_code in (401, 403), answer.text


# --- SQL ----------------------------------------------------------------------------------------------


def test_sql_makes_one_in_its_own_transaction(host: Served, name: str) -> None:
    with psycopg.connect(host.database) as connection:
        connection.execute("select outlast.schedule(%s, 'hello', every => '1 hour')", (name,))
        connection.rollback()
    assert host.admin.get(f"{SCHEDULES}/{name}").status_code == 404
    host.query("select outlast.schedule(%s, 'hello', '0 9 * * 1-5', tz => 'Europe/Berlin')", name)
    assert planned(host, name)["state"] == "active"
    assert host.query("select outlast.unschedule(%s)", name) == [(name,)]


def test_an_expression_that_only_an_instance_can_judge_is_told_on_its_row(host: Served, name: str) -> None:
    host.query("select outlast.schedule(%s, 'hello', '0 0 30 2 *')", name)
    until(lambda: shown(host, name)["state"] == "unusable", "the verdict")
    assert "never comes" in shown(host, name)["fault"]
    host.query("select outlast.schedule(%s, 'hello', '@daily')", name)
    planned(host, name)


SQL_BAD = [
    "cron => 'every day'",
    "cron => '* * * *'",
    "cron => '@daily', tz => 'Mars/Olympus'",
    "cron => '@daily', every => '1 hour'",
    "every => '0.5 s'",
    "every => '-1 hour'",
    "every => 'infinity'",
    "every => '400 days'",
    "at => 'infinity'",
    "cron => '@daily', catchup => 'some'",
    "cron => '@daily', catchup => null",
    "cron => '@daily', catchup => 'all'",
    "cron => '@daily', overlap => 'maybe'",
    "cron => '@daily', times => 0",
    "cron => '@daily', jitter => '-1 s'",
    "cron => '@daily', jitter => null",
    "cron => '@daily', pause_after => 0",
    "cron => '@daily', input => null",
    "",
]


@pytest.mark.parametrize("options", SQL_BAD, ids=map(str, range(len(SQL_BAD))))
def test_sql_refuses_what_can_not_be(host: Served, name: str, options: str) -> None:
    query = f"select outlast.schedule('{name}', 'hello'{options and ', '}{options})"
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=r"outlast\.create_schedule: "):
        host.query(query)
    assert host.query("select from outlast.schedules where name = %s", name) == []


def test_a_tick_of_one_made_by_sql_comes(host: Served, name: str) -> None:
    at = Clock().now().replace(microsecond=0) + timedelta(seconds=2)
    host.query("select outlast.schedule(%s, 'hello', at => %s, input => '{\"name\": \"x\"}')", name, at)
    until(lambda: shown(host, name)["state"] == "ended", "its only tick")
    workflow_id = f"schedule:{name}:{at:%Y-%m-%dT%H:%M:%SZ}"
    assert host.admin.get(f"/workflows/v1/{workflow_id}", params={"wait": 20}).json()["status"] == "SUCCESS"
