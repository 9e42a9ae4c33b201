"""Management end to end: what callers started is listed, shown, waited for and cancelled."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.http.harness import Served, check_problem, fresh_key

WORKFLOWS = "/workflows/v1"


def shown(host: Served, workflow_id: str, **parameters: str) -> dict[str, Any]:
    answer = host.admin.get(f"{WORKFLOWS}/{quote(workflow_id, safe='')}", params=parameters)
    assert answer.status_code == 200, answer.text
    assert answer.headers["workflow-id"]
    return answer.json()


def test_a_workflow_and_its_steps_are_shown(host: Served) -> None:
    key = fresh_key()
    host.open(key)
    assert host.call("held/staged", content=b'{"key":  "%s"}' % key.encode(), key=key).status_code == 200
    found = shown(host, f"held/staged:{key}")
    assert found["status"] == "SUCCESS"
    assert found["function"] == "held/staged"
    assert found["input"] == found["output"] == {"key": key}
    assert found["error"] is None
    assert found["idempotency_key"] == key
    assert found["recovery_attempts"] == 0
    assert found["created_at"].endswith("Z")
    steps = host.admin.get(f"{WORKFLOWS}/held%2Fstaged:{key}/steps").json()["steps"]
    assert [(each["step_id"], each["name"], each["status"]) for each in steps] == [
        ("1", "first", "SUCCESS"),
        ("2", "hold", "SUCCESS"),
        ("3", "last", "SUCCESS"),
    ]
    assert steps[0]["output"] == key


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("catalog/v1/nope", "there is no function with this name"),
        ("instances/v1/nope", "there is no instance with this id"),
        ("bulks/v1/nope", "there is no bulk with this id"),
        ("queues/v1/nope", "there is no queue with this name"),
        ("workflows/v1/nope", "there is no workflow with this id"),
    ],
)
def test_what_is_not_there_is_named(host: Served, path: str, told: str) -> None:
    assert host.admin.get(f"/{path}").json()["detail"] == told


def test_a_step_that_runs_is_shown(host: Served) -> None:
    key = fresh_key()
    calling = host.calling("held/staged", content=b'{"key": "%s"}' % key.encode(), key=key)
    host.until_seen(key)
    path = f"{WORKFLOWS}/held%2Fstaged:{key}/steps"
    first, running = host.admin.get(path).json()["steps"]
    assert (first["step_id"], first["status"]) == ("1", "SUCCESS")
    assert (running["step_id"], running["name"], running["status"]) == ("2", "hold", "RUNNING")
    assert (running["attempts"], running["retry_at"]) == (1, None)
    assert (
        running["instance"]
        == host.query(
            "select owner from outlast.workflow_status where workflow_id = %s", f"held/staged:{key}"
        )[0][0]
    )
    assert running["started_at"].endswith("Z")
    host.open(key)
    assert calling.result().status_code == 200
    assert [each["status"] for each in host.admin.get(path).json()["steps"]] == ["SUCCESS"] * 3


def test_a_key_whose_workflow_was_removed_starts_a_new_one(host: Served) -> None:
    key = fresh_key()
    for value in (1, 42):
        assert host.call("answers/value", {"value": value}, key=key).json() == value
        host.query("delete from outlast.workflow_status where workflow_id = %s", f"answers/value:{key}")


def test_the_location_of_a_call_leads_to_its_workflow(host: Served) -> None:
    answer = host.call("answers/value", {"value": 1}, key=f'"{fresh_key()} / %2F ? # \\"q\\""')
    location = answer.headers["link"].split(">")[0].removeprefix("<")
    assert host.admin.get(location).json()["workflow_id"] == answer.headers["workflow-id"]
    assert host.admin.get(f"{location}/steps").json()["steps"] == []


def test_why_a_workflow_failed_is_for_holders_of_the_key(host: Served) -> None:
    key = fresh_key()
    host.call("answers/fail", {}, key=key)
    error = shown(host, f"answers/fail:{key}")["error"]
    assert error["code"] == "workflow_error"
    assert error["failure"]["type"] == "ValueError"
    assert "hunter2" in error["failure"]["traceback"]


def test_waiting_for_an_end(host: Served) -> None:
    key = fresh_key()
    workflow_id = host.begin("held", key)
    assert shown(host, workflow_id, wait="0.1")["status"] == "PENDING"
    host.open(key)
    assert shown(host, workflow_id, wait="20")["status"] == "SUCCESS"
    assert shown(host, workflow_id, wait="28.590095774100387")["status"] == "SUCCESS"  # any float, as written


def test_cancelling(host: Served) -> None:
    key = fresh_key()
    workflow_id = host.begin("held", key)
    for _ in range(2):
        answer = host.admin.post(f"{WORKFLOWS}/{workflow_id}/cancel")
        assert answer.json() == {"workflow_id": workflow_id, "status": "CANCELLED"}
    assert shown(host, workflow_id)["status"] == "CANCELLED"
    done = host.call("hello", {}, key=key).headers["workflow-id"]
    check_problem(
        host.admin.post(f"{WORKFLOWS}/{done}/cancel"),
        409,
        "workflow_ended",
        more={"workflow_id", "workflow_status"},
    )
    check_problem(
        host.admin.post(f"{WORKFLOWS}/nowhere:1/cancel"), 404, "workflow_not_found", more={"workflow_id"}
    )


def test_pages_follow_each_other(host: Served) -> None:
    function = "answers/nothing"
    ids = [host.call(function, {}).headers["workflow-id"] for _ in range(5)]
    seen: list[str] = []
    following: str | None = f"{WORKFLOWS}?function={quote(function, safe='')}&status=SUCCESS&limit=2"
    while following is not None and len(seen) < 1000:
        answer = host.admin.get(following)
        page = answer.json()
        assert len(page["workflows"]) <= 2
        assert {each["function"] for each in page["workflows"]} <= {function}
        seen += [each["workflow_id"] for each in page["workflows"]]
        following = page["next"]
        assert answer.headers.get("link") == (following and f'<{following}>; rel="next"')
    assert [each for each in seen if each in ids] == ids[::-1], "not the newest first"
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "status=DONE", "since=yesterday", "cursor=x", "no-such=1", "function="]
)
def test_queries_that_cannot_be_read(host: Served, query: str) -> None:
    check_problem(host.admin.get(f"{WORKFLOWS}?{query}"), 400, "invalid_parameter", more={"parameter"})


@pytest.mark.parametrize(
    "workflow_id", ["nowhere", "..", "%2e%2e", "a%00b", "%ff", "a/b/c", "a%2Fsteps", " "]
)
def test_unknown_workflows(host: Served, workflow_id: str) -> None:
    answer = host.admin.get(f"{WORKFLOWS}/{workflow_id}")
    assert answer.status_code in (404, 200)
    if workflow_id not in ("..",):
        assert answer.json()["code"] in ("workflow_not_found", "NOT_FOUND")


def test_probes(host: Served) -> None:
    assert host.client.get("/healthz").json() == {"status": "ok"}
    ready = host.client.get("/readyz")
    assert ready.status_code == 200, "a broken file makes a host degraded, not unready"
    assert ready.json()["status"] == "degraded"
    assert ready.json()["checks"]["functions"]["broken"] == ["broken"]
    head = host.client.head("/readyz")
    assert (head.status_code, head.content) == (200, b"")
