"""Attributes over HTTP: given with a call, set by the workflow, changed by operators, found by."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.hosts import until
from tests.http.harness import PUBLISHABLE, Served, check_problem, fresh_key
from tests.http.test_management import WORKFLOWS, shown

HEADER = "outlast-attributes"


def called(
    host: Served, function: str = "tagging", body: Any = None, wait_s: int = 15, **attributes: Any
) -> str:
    """The id of a workflow that was called with these attributes, and has ended or waits."""
    headers = {HEADER: json.dumps(attributes), "prefer": f"respond-async, wait={wait_s}"}
    answer = host.admin.post(f"/functions/v1/{function}", json=body or {}, headers=headers)
    return str(answer.headers["workflow-id"])


def found_by(host: Served, attribute: str) -> list[str]:
    answer = host.admin.get(WORKFLOWS, params={"attribute": attribute})
    assert answer.status_code == 200, answer.text
    return [each["workflow_id"] for each in answer.json()["workflows"]]


def test_a_workflow_is_found_by_what_it_was_called_with_and_what_it_sets(host: Served) -> None:
    customer = fresh_key()
    workflow_id = called(host, customer=customer, plan="pro", vip=True)
    assert shown(host, workflow_id)["attributes"] == {"customer": customer, "stage": "done", "vip": True}
    assert found_by(host, f"customer:{customer}") == [workflow_id]
    listed = host.admin.get(WORKFLOWS, params={"parent": workflow_id}).json()["workflows"]
    assert [each["attributes"] for each in listed] == [{"customer": 42}]
    assert listed[0]["workflow_id"] in found_by(host, "customer:42")
    steps = host.admin.get(f"{WORKFLOWS}/{workflow_id}/steps").json()["steps"]
    assert [each["name"] for each in steps].count("set_attributes") == 2
    assert shown(host, called(host, "tagging/blocking"))["attributes"] == {"stage": "blocked"}


def test_they_are_set_once_though_the_body_runs_again(host: Served) -> None:
    key = fresh_key()
    workflow_id = called(host, "tagging", {"waits": True}, 0, customer=key)
    until(lambda: shown(host, workflow_id)["waiting_on"] == "a message (go)", "it waits")
    changed = host.admin.patch(f"{WORKFLOWS}/{workflow_id}", json={"attributes": {"stage": "mine", "a": 1}})
    assert (changed.status_code, changed.json()) == (200, {"changed": workflow_id}), changed.text
    assert found_by(host, f"customer:{key}") == [workflow_id]
    # Woken, its body runs again: what it set before is not set again.
    host.admin.post(f"{WORKFLOWS}/{workflow_id}/messages/go", json=1)
    assert shown(host, workflow_id, wait="15")["attributes"] == {"customer": key, "stage": "done", "a": 1}


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("customer=42", "customer=42"),
        ("[1]", "[1]"),
        ('{"1": 2}', "the key '1'"),
        ('{"a": [1]}', "the value of a"),
        ('{"a": null}', "the value of a"),
        (json.dumps({"a": "x" * 257}), "the value of a"),
        (json.dumps({f"a{n}": 1 for n in range(33)}), "at most 32"),
        ("[" * 5_000, "at most 32"),
    ],
)
def test_what_is_none_is_422_and_leaves_no_row(value: str, named: str, host: Served) -> None:
    key = fresh_key()
    headers = {HEADER: value, "idempotency-key": key}
    answer = host.admin.post("/functions/v1/tagging", json={}, headers=headers)
    problem = check_problem(answer, 422, "invalid_option")
    assert named in problem["detail"]
    assert host.admin.get(f"{WORKFLOWS}/tagging:{key}").status_code == 404


def test_only_a_secret_key_gives_them(host: Served) -> None:
    answer = host.client.post("/functions/v1/hello", json={}, headers={HEADER: "{}", "apikey": PUBLISHABLE})
    assert "secret key" in check_problem(answer, 422, "invalid_option")["detail"]
    assert host.client.patch(f"{WORKFLOWS}/x", json={"attributes": {}}).status_code == 401


def test_a_body_that_sets_what_is_none_fails_with_a_reason(host: Served) -> None:
    for changes in ({"1": 2}, {"a": [1]}, {f"a{n}": 1 for n in range(33)}):
        found = shown(host, called(host, "tagging/wrong", {"changes": changes}))
        assert found["status"] == "ERROR"
        assert "attributes are an object" in json.dumps(found["error"])


@pytest.mark.parametrize(
    ("changes", "named"), [({"a b": 1}, "a b"), ({"a": {}}, "the value of a"), (None, "attributes")]
)
def test_operators_are_told_too(changes: Any, named: str, host: Served) -> None:
    workflow_id = called(host, "tagging/blocking", customer="x")
    answer = host.admin.patch(f"{WORKFLOWS}/{workflow_id}", json={"attributes": changes})
    assert named in check_problem(answer, 422, "invalid_input", more={"errors"})["detail"]
    assert shown(host, workflow_id)["attributes"] == {"customer": "x", "stage": "blocked"}
    host.admin.patch(f"{WORKFLOWS}/{workflow_id}", json={"attributes": {"customer": None, "stage": None}})
    assert shown(host, workflow_id)["attributes"] is None
