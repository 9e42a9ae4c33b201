"""Looking at workflows over HTTP, waiting for them and cancelling them."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta, timezone
from typing import Any

import httpx
import pytest

from outlast.core.errors import ShuttingDown
from outlast.core.failures import CANCELLED
from outlast.core.records import RunningStep
from tests.web.harness import SECRET, START, Project, step, workflow

K = "/workflows/v1/checkout:k"


# --- who may ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/workflows/v1"),
        ("GET", K),
        ("GET", f"{K}/steps"),
        ("GET", f"{K}/events"),
        ("POST", f"{K}/cancel"),
    ],
)
async def test_only_a_secret_key_opens_them(
    project: Project, stranger: httpx.AsyncClient, method: str, path: str
) -> None:
    project.rows.workflows = [workflow("checkout:k")]
    for headers in ({}, {"authorization": "Bearer sb_publishable_x"}, {"apikey": SECRET + "x"}):
        response = await stranger.request(method, path, headers=headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.headers["content-type"] == "application/json"
    assert project.rows.workflows[0]["status"] == "PENDING"
    for headers in ({"apikey": SECRET}, {"authorization": f"Bearer {SECRET}"}):
        response = await stranger.request(method, path, headers=headers)
        assert response.status_code == 200


# --- one workflow -------------------------------------------------------------------------------------------


async def test_show_gives_recorded_json_as_it_was_recorded(
    project: Project, client: httpx.AsyncClient
) -> None:
    recorded = '{"big":12345678901234567890123,"fine":0.10000000000000000001,"twice":1,"twice":2}'
    project.rows.workflows = [
        workflow(
            "checkout:k",
            "SUCCESS",
            input=recorded,
            output='"\\u00e9"',
            response='{"status":201,"headers":[["x-a","b"]],"encoding":"utf-8"}',
            attributes='{"customer":42}',
            completed_at=START.astimezone(timezone(timedelta(hours=5))),
        )
    ]
    response = await client.get(K)
    assert f'"input":{recorded}' in response.text
    document = response.json()
    assert document["output"] == "é"
    assert document["response"]["status"] == 201
    assert document["attributes"] == {"customer": 42}
    assert document["created_at"] == document["completed_at"] == "2026-11-22T10:00:00.123456Z"
    assert response.headers["workflow-id"] == "checkout:k"
    assert response.headers["cache-control"] == "no-store"


async def test_show_gives_the_failure_with_its_traceback(project: Project, client: httpx.AsyncClient) -> None:
    error = {"code": "workflow_error", "failure": {"type": "KeyError", "traceback": "line 3"}}
    project.rows.workflows = [workflow("checkout:k", "ERROR", error=json.dumps(error))]
    shown = (await client.get(K)).json()["error"]
    assert shown["code"] == "workflow_error"
    assert "uncaught exception" in shown["message"]
    assert shown["failure"] == {"type": "KeyError", "traceback": "line 3"}


async def test_show_gives_operators_the_whole_divergence(project: Project, client: httpx.AsyncClient) -> None:
    error = {"code": "non_determinism", "message": "step 3 was recorded as 'charge'"}
    project.rows.workflows = [workflow("checkout:k", "ERROR", error=json.dumps(error))]
    assert (await client.get(K)).json()["error"] == error


# --- waiting ------------------------------------------------------------------------------------------------


async def test_wait_answers_when_it_ends(project: Project, client: httpx.AsyncClient) -> None:
    project.rows.workflows = [workflow("checkout:k")]
    call = asyncio.create_task(client.get(f"{K}?wait=60"))
    await asyncio.wait_for(project.engine.waiting.wait(), 10)
    assert not call.done()
    project.rows.workflows[0].update(status="SUCCESS", output="7")
    project.engine.ended.set()
    document = (await call).json()
    assert (document["status"], document["output"]) == ("SUCCESS", 7)
    assert project.engine.waits == [("checkout:k", 60.0)]


async def test_wait_asks_nothing_of_what_has_ended_or_is_unknown(
    project: Project, client: httpx.AsyncClient
) -> None:
    project.rows.workflows = [workflow("checkout:k", "EXHAUSTED")]
    assert (await client.get(f"{K}?wait=5")).json()["status"] == "EXHAUSTED"
    assert (await client.get("/workflows/v1/other?wait=5")).status_code == 404
    assert project.engine.waits == []


async def test_wait_over_gives_how_it_stands(project: Project, client: httpx.AsyncClient) -> None:
    project.rows.workflows = [workflow("checkout:k")]
    project.engine.ended.set()
    response = await client.get(f"{K}?wait=0.5")
    assert (response.status_code, response.json()["status"]) == (200, "PENDING")
    assert project.engine.waits == [("checkout:k", 0.5)]


async def test_wait_on_an_instance_that_shuts_down(project: Project, client: httpx.AsyncClient) -> None:
    project.rows.workflows = [workflow("checkout:k")]
    project.engine.error = ShuttingDown("this instance shuts down")
    response = await client.get(f"{K}?wait=5")
    assert (response.status_code, response.json()["code"]) == (503, "shutting_down")
    assert response.headers["location"] == "/workflows/v1/checkout:k"
    assert response.headers["retry-after"] == "1"


@pytest.mark.parametrize("wait", ["61", "-1", "x", "1e9", "", "NaN", "٣"])
async def test_wait_out_of_bounds(project: Project, client: httpx.AsyncClient, wait: str) -> None:
    project.rows.workflows = [workflow("checkout:k")]
    response = await client.get(K, params={"wait": wait})
    assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter")
    assert response.json()["parameter"] == "wait"


# --- steps --------------------------------------------------------------------------------------------------


async def test_steps_with_their_statuses(project: Project, client: httpx.AsyncClient) -> None:
    project.rows.workflows = [workflow("checkout:k")]
    project.rows.recorded["checkout:k"] = [
        step("1", 1, output='{"paid":true}', attempts=3),
        step("2", 2, error='{"type":"ValueError","message":"no"}'),
        step("3.1", 3, error=CANCELLED),
        step("4", 4, name="sleep", output="1795341600.5"),
        step("5", None, name="sleep", output="1795341600.5"),
    ]
    steps = (await client.get(f"{K}/steps")).json()["steps"]
    assert [each["status"] for each in steps] == ["SUCCESS", "ERROR", "CANCELLED", "SUCCESS", "SLEEPING"]
    assert steps[0] == {
        "step_id": "1",
        "name": "charge",
        "kind": "step",
        "status": "SUCCESS",
        "output": {"paid": True},
        "error": None,
        "attempts": 3,
        "completion_order": 1,
        "started_at": "2026-11-22T10:00:00.123456Z",
        "completed_at": "2026-11-22T10:00:01.123456Z",
        "instance": "vm-1",
        "settled": None,
    }
    assert steps[1]["error"]["message"] == "no"
    assert "wake_at" not in steps[3]
    assert (steps[4]["wake_at"], steps[4]["completed_at"]) == ("2026-11-22T10:00:00.500000Z", None)


@pytest.mark.parametrize(
    ("columns", "status", "completed_at"),
    [
        ({"name": "sleep"}, "SUCCESS", "2026-11-22T10:00:00.500000Z"),
        ({"name": "sleep", "output": "9e9"}, "CANCELLED", "2026-11-22T10:00:02.123456Z"),
        ({"name": "receive", "kind": "receive", "attempts": 0}, "CANCELLED", "2026-11-22T10:00:02.123456Z"),
        ({"name": "timer", "kind": "timer", "step_id": "0.1"}, "CANCELLED", "2026-11-22T10:00:02.123456Z"),
        ({"name": "timer", "kind": "timer", "step_id": "5.0.1"}, "CANCELLED", "2026-11-22T10:00:02.123456Z"),
    ],
)
async def test_a_workflow_that_has_ended_waits_for_nothing(
    project: Project, client: httpx.AsyncClient, columns: dict[str, Any], status: str, completed_at: str
) -> None:
    project.rows.workflows = [workflow("checkout:k", "SUCCESS")]
    over_at = START + timedelta(seconds=2)
    recorded = {**step("10", None), "output": "1795341600.5", "over_at": over_at, **columns}
    project.rows.recorded["checkout:k"] = [recorded]
    (shown,) = (await client.get(f"{K}/steps")).json()["steps"]
    assert (shown["status"], shown["completed_at"], shown["output"]) == (status, completed_at, None)
    assert "wake_at" not in shown


async def test_steps_that_run_come_last(project: Project, client: httpx.AsyncClient) -> None:
    began_s = START.timestamp()
    project.rows.workflows = [workflow("checkout:k")]
    project.rows.recorded["checkout:k"] = [step("1", 1), step("2", 2), step("3", None, output="9e9")]
    project.engine.runs_here["checkout:k"] = [
        RunningStep("checkout:k", 1, "2", "just recorded", 1, began_s, None),
        RunningStep("checkout:k", 1, "4.1", "charge", 3, began_s, began_s + 5),
    ]
    first = (await client.get(f"{K}/steps?limit=2")).json()
    assert [each["step_id"] for each in first["steps"]] == ["1", "2"]
    project.engine.runs_here["checkout:k"].pop(0)
    last = (await client.get(first["next"])).json()
    assert [each["status"] for each in last["steps"]] == ["SLEEPING", "RUNNING"]
    assert last["steps"][1] == {
        "step_id": "4.1",
        "name": "charge",
        "kind": None,
        "status": "RUNNING",
        "output": None,
        "error": None,
        "attempts": 3,
        "completion_order": None,
        "started_at": "2026-11-22T10:00:00.123456Z",
        "completed_at": None,
        "retry_at": "2026-11-22T10:00:05.123456Z",
        "instance": "this-one",
        "settled": None,
    }
    project.engine.runs_here["checkout:k"].append(
        RunningStep("checkout:k", 1, "2", "just recorded", 1, began_s, None)
    )
    shown = (await client.get(f"{K}/steps")).json()["steps"]
    assert [each["step_id"] for each in shown] == ["1", "2", "3", "4.1"]


async def test_steps_that_run_elsewhere_and_none_of_what_has_ended(
    project: Project, client: httpx.AsyncClient
) -> None:
    row = {"step_id": "1", "name": "charge", "attempt": 1, "began_at": START, "retry_at": None}
    project.rows.workflows = [workflow("checkout:k"), workflow("checkout:over", "SUCCESS")]
    for each in ("checkout:k", "checkout:over"):
        project.rows.runs_elsewhere[each] = [{**row, "instance_id": "another"}]
    (shown,) = (await client.get(f"{K}/steps")).json()["steps"]
    assert (shown["status"], shown["instance"], shown["retry_at"]) == ("RUNNING", "another", None)
    assert (await client.get("/workflows/v1/checkout:over/steps")).json()["steps"] == []


async def test_steps_of_one_that_has_none_and_of_one_that_is_not(
    project: Project, client: httpx.AsyncClient
) -> None:
    project.rows.workflows = [workflow("checkout:k")]
    assert (await client.get(f"{K}/steps")).json() == {"steps": [], "next": None}
    response = await client.get("/workflows/v1/other/steps")
    assert (response.status_code, response.json()["code"]) == (404, "workflow_not_found")


async def test_steps_by_pages(project: Project, client: httpx.AsyncClient) -> None:
    ids = [str(number) for number in range(1, 6)]
    project.rows.workflows = [workflow("checkout:k/3")]
    project.rows.recorded["checkout:k/3"] = [step(each, int(each)) for each in ids]
    url: str | None = "/workflows/v1/checkout:k%2F3/steps?limit=2"
    seen = []
    while url is not None:
        page = (await client.get(url)).json()
        seen.append([each["step_id"] for each in page["steps"]])
        url = page["next"]
    assert seen == [["1", "2"], ["3", "4"], ["5"]]


# --- cancelling ---------------------------------------------------------------------------------------------


async def test_cancel_and_cancel_again(project: Project, client: httpx.AsyncClient) -> None:
    project.rows.workflows = [workflow("checkout:k")]
    for _ in range(2):
        response = await client.post(f"{K}/cancel")
        assert response.status_code == 200
        assert response.json() == {"workflow_id": "checkout:k", "status": "CANCELLED"}


@pytest.mark.parametrize("status", ["SUCCESS", "ERROR", "EXHAUSTED"])
async def test_cancel_of_what_has_ended(project: Project, client: httpx.AsyncClient, status: str) -> None:
    project.rows.workflows = [workflow("checkout:k", status)]
    response = await client.post(f"{K}/cancel")
    assert response.status_code == 409
    problem = response.json()
    assert (problem["code"], problem["workflow_status"], problem["status"]) == ("workflow_ended", status, 409)
    assert problem["workflow_id"] == "checkout:k"
    assert not problem["retryable"]


# --- errors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/workflows/v1", K, f"{K}/steps", f"{K}/events"])
async def test_without_a_database(project: Project, client: httpx.AsyncClient, path: str) -> None:
    project.rows.away = True
    response = await client.get(path)
    assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")
    assert response.json()["retryable"]
    assert int(response.headers["retry-after"]) >= 1
    assert "connection refused" not in response.text


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/workflows/v1", "GET, HEAD, OPTIONS"),
        ("DELETE", K, "PATCH, GET, HEAD, OPTIONS"),
        ("POST", f"{K}/steps", "GET, HEAD, OPTIONS"),
        ("POST", f"{K}/events", "GET, HEAD, OPTIONS"),
        ("GET", f"{K}/cancel", "POST, OPTIONS"),
        ("POST", "/healthz", "GET, HEAD, OPTIONS"),
    ],
)
async def test_wrong_methods(client: httpx.AsyncClient, method: str, path: str, allowed: str) -> None:
    response = await client.request(method, path)
    assert (response.status_code, response.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert response.headers["allow"] == allowed


@pytest.mark.parametrize("path", ["/nothing", "/workflows", "/workflows/v2/x", "/functions/v1", "/healthz/"])
async def test_paths_that_nothing_answers(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert (response.status_code, response.json()["code"]) == (404, "NOT_FOUND")
    assert response.headers["content-type"] == "application/json"


async def test_home_says_where_to_go_on(stranger: httpx.AsyncClient) -> None:
    document = (await stranger.get("/")).json()
    assert (document["name"], document["version"]) == ("outlast", "1.2.3")
    assert document["links"]["workflows"] == "/workflows/v1"
