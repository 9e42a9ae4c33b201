"""Bulks over HTTP: begun, looked at, cancelled; and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.hosts import until
from tests.http.harness import Served, check_problem, fresh_key
from tests.http.test_management import WORKFLOWS, shown

BULK = f"{WORKFLOWS}/bulk"
BULKS = "/bulks/v1"


def filled(host: Served, count: int, status: str = "ENQUEUED") -> str:
    """A queue in which so many wait that no instance serves."""
    queue = f"q-{fresh_key()}"
    host.query(
        "insert into outlast.workflow_status (workflow_id, function, status, queue, claimable_at)"
        " select %s || n, 'nobody', %s, %s, now() from generate_series(1, %s) n returning 1",
        f"{queue}:", status, queue, count,
    )  # fmt: skip
    return queue


def begun(host: Served, queue: str, **given: Any) -> str:
    answer = host.admin.post(BULK, json={"verb": "cancel", "filter": {"queue": queue}, **given})
    assert answer.status_code == 202, answer.text
    found = answer.json()
    assert answer.headers["workflow-id"] == found["workflow_id"]
    assert answer.headers["location"].startswith("/workflows/v1/outlast")
    return str(found["workflow_id"])


def stands(host: Served, bulk_id: str) -> Any:
    answer = host.admin.get(f"{BULKS}/{bulk_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def left(host: Served, queue: str) -> int:
    query = "select count(*)::int from outlast.workflow_status where queue = %s and status = 'ENQUEUED'"
    return int(host.query(query, queue)[0][0])


def test_it_is_done_to_all_and_shows_what_came_of_each(host: Served) -> None:
    queue = filled(host, 120)
    filled_too = filled(host, 1)
    bulk_id = begun(host, queue, rate=1_000, expect=120, why="a bad deploy")
    ended = shown(host, bulk_id, wait="30")
    total = {"verb": "cancel", "total": 120, "done": 120, "refused": 0, "failed": 0}
    assert (ended["status"], ended["output"], ended["function"]) == ("SUCCESS", total, "outlast.bulk")
    found = stands(host, bulk_id)
    assert (found["done"], found["fixed"], found["by"]) == (120, True, "secret key default")
    assert (found["filter"], found["why"]) == ({"queue": queue}, "a bad deploy")
    assert (left(host, queue), left(host, filled_too)) == (0, 1)
    path: str | None = f"{BULKS}/{bulk_id}/items?limit=50"
    seen: list[str] = []
    while path is not None:
        page = host.admin.get(path).json()
        seen += [each["outcome"] for each in page["items"]]
        path = page["next"]
    assert seen == ["done"] * 120
    assert bulk_id in [each["bulk_id"] for each in host.admin.get(BULKS).json()["bulks"]]
    again = host.admin.post(BULK, json={"verb": "pause", "filter": {"queue": queue}, "dry_run": True}).json()
    assert (again["workflow_id"], again["count"], len(again["samples"])) == (None, 120, 10)
    assert {each["outcome"] for each in again["samples"]} == {"refused"}


@pytest.mark.parametrize("dry_run", [True, False])
def test_what_does_not_fit_is_refused_before_anything_is_done(host: Served, dry_run: bool) -> None:
    assert host.call("inputs/typed", {"n": 1}).status_code == 200
    asked = {"verb": "fork", "filter": {"function": "inputs/typed"}, "dry_run": dry_run}
    refused = host.admin.post(BULK, json={**asked, "arguments": {"input": {"n": "abc"}}})
    problem = check_problem(refused, 422, "invalid_input", more={"errors"})
    assert "inputs/typed: the input does not fit: n" in problem["detail"]
    fits = host.admin.post(BULK, json={**asked, "arguments": {"input": {"n": 2}}})
    assert fits.status_code == (200 if dry_run else 202)


def test_it_is_cancelled_as_any_workflow(host: Served) -> None:
    queue = filled(host, 200)
    bulk_id = begun(host, queue, rate=5)
    until(lambda: stands(host, bulk_id)["done"] > 0, "it has begun")
    assert host.admin.post(f"{WORKFLOWS}/{bulk_id}/cancel").json()["status"] == "CANCELLED"
    found = stands(host, bulk_id)
    assert (found["status"], found["done"] + left(host, queue)) == ("CANCELLED", 200)
    assert left(host, queue) > 0


def test_what_is_wrong_begins_nothing(host: Served) -> None:
    queue = filled(host, 2)
    given = {"verb": "cancel", "filter": {"queue": queue}}
    for changes, status, code, named in (
        ({"expect": 3}, 409, "wrong_state", "2 workflows are found, and 3 were expected"),
        ({"verb": "explode"}, 422, "invalid_input", "verb must be one of"),
        ({"filter": {}}, 422, "invalid_input", "filter"),
        ({"filter": {"queue": None}}, 422, "invalid_input", "queue is null"),
        ({"filter": {"colour": "red"}}, 422, "invalid_input", "has no colour"),
        ({"filter": {"waiting_on": "foo"}}, 422, "invalid_input", "waiting_on must be one of message"),
        ({"rate": 0}, 422, "invalid_input", "rate"),
        ({"arguments": {"x": 1}}, 422, "invalid_input", "cancel does not take"),
        ({"speed": 1}, 422, "invalid_input", "speed"),
    ):
        answer = host.admin.post(BULK, json={**given, **changes})
        more = {"errors"} if status == 422 else set()
        assert named in check_problem(answer, status, code, more=more)["detail"]
    assert host.client.post(BULK, json=given).status_code == 401
    assert left(host, queue) == 2
