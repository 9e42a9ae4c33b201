"""Queues over HTTP: what is shown of them, and what operators do to them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.http.harness import Served, check_problem, fresh_key

QUEUES = "/queues/v1"


@pytest.fixture
def queue(host: Served) -> Iterator[str]:
    """The path of a queue with a key and a limit."""
    name = f"q-{fresh_key()}"
    base = {"key": "customer", "concurrency": 5}
    host.query("insert into outlast.queues (name, base) values (%s, %s) returning 1", name, json.dumps(base))
    yield f"{QUEUES}/{name}"
    host.query("delete from outlast.queues where name = %s returning 1", name)


def shown(host: Served, queue: str) -> dict[str, Any]:
    answer = host.admin.get(queue)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_limits_are_set_and_taken_back(host: Served, queue: str) -> None:
    changes = {"concurrency": 1, "rate": {"n": 5, "per": 60}, "weight": {"acme": 5}, "why": "bounces"}
    answer = host.admin.patch(queue, json=changes)
    assert (answer.status_code, answer.json()) == (200, shown(host, queue))
    found = answer.json()
    assert found["override"] == {name: value for name, value in changes.items() if name != "why"}
    assert found["limits"] == {**found["base"], **found["override"]}
    assert (found["override_why"], found["override_by"]) == ("bounces", "secret key default")
    assert found["override_at"].endswith("Z")
    assert host.admin.patch(queue, json={"rate": None, "weight": None}).json()["override"] == {
        "concurrency": 1
    }
    assert host.admin.patch(queue, json={"reset": True}).json()["override"] is None
    assert shown(host, queue)["limits"] == {"key": "customer", "concurrency": 5}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": 1, "per_key": 1.5}, "per_key"),
        ({"rate": {"n": 1}}, "rate"),
        ({"rate": 5}, "rate"),
        ({"weight": {"acme": 0}}, "weight"),
        ({"start_within": 0}, "start_within"),
        ({"max_backlog": 10_000_001}, "max_backlog"),
        ({"exclusive": True}, "exclusive"),
        ({"why": "alone"}, "settings"),
        ({}, "settings"),
    ],
)
def test_what_is_out_of_range_is_422_and_changes_nothing(
    changes: dict[str, Any], named: str, host: Served, queue: str
) -> None:
    before = host.admin.patch(queue, json={"concurrency": 7}).json()
    problem = check_problem(host.admin.patch(queue, json=changes), 422, "invalid_input", more={"errors"})
    assert [each["loc"] for each in problem["errors"]] == [[named]]
    assert named in problem["detail"]
    assert shown(host, queue) == before


def test_pause_and_resume(host: Served, queue: str) -> None:
    found = host.admin.post(f"{queue}/pause", json={"why": "bounces"}).json()
    assert (found["paused_by"], found["paused_why"]) == ("secret key default", "bounces")
    names = [each["name"] for each in host.admin.get(QUEUES, params={"paused": "true"}).json()["queues"]]
    assert found["name"] in names
    assert host.admin.post(f"{queue}/resume").json()["paused_at"] is None
    found = host.admin.post(f"{queue}/pause", json={"key": "acme"}).json()
    assert (found["paused_at"], [each["key"] for each in found["paused_keys"]]) == (None, ["acme"])
    assert host.admin.post(f"{queue}/resume", json={"key": "acme"}).json()["paused_keys"] == []


def test_drain(host: Served, queue: str) -> None:
    name = queue.rpartition("/")[2]
    ids: list[str] = []
    host.admin.post(f"{queue}/pause")
    for _ in range(2):
        ids += host.query(
            "insert into outlast.workflow_status (workflow_id, function, status, queue, claimable_at)"
            " values (%s, 'nobody', 'ENQUEUED', %s, now()) returning workflow_id", fresh_key(), name,
        )[0]  # fmt: skip
    assert shown(host, queue)["ready"] == 2
    assert host.admin.post(f"{queue}/drain").json() == {"cancelled": 2, "more": False}
    assert [host.status(each) for each in ids] == ["CANCELLED"] * 2


def test_a_queue_that_is_not_there(host: Served) -> None:
    for method, path in (
        ("GET", ""),
        ("PATCH", ""),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/drain"),
    ):
        given = {"concurrency": 1} if method == "PATCH" else None
        answer = host.admin.request(method, f"{QUEUES}/nowhere{path}", json=given)
        assert check_problem(answer, 404, "queue_not_found", more={"name"})["name"] == "nowhere"


def test_only_a_secret_key_opens_them(host: Served, queue: str) -> None:
    for method, path in (("GET", QUEUES), ("GET", queue), ("PATCH", queue), ("POST", f"{queue}/drain")):
        answer = host.client.request(method, path)
        assert answer.status_code == 401, path
