"""What operators read: one line for each failure and each refused request, and nothing forged in it."""

from __future__ import annotations

import json
import signal

import httpx
import pytest

from tests.hosts import until
from tests.http.conftest import OPEN, Start
from tests.http.harness import Served, fresh_key


def test_a_failure_is_one_entry(host: Served) -> None:
    key = fresh_key()
    for _ in range(3):
        host.call("answers/fail", {}, key=key)
    (line,) = host.log_of(f"answers/fail:{key}")
    assert " error " in line
    assert line.endswith(f"answers/fail:{key} failed: ValueError: the password is hunter2")


@pytest.mark.parametrize("status", [404, 502])
def test_what_a_function_meant_to_answer_is_no_failure(host: Served, status: int) -> None:
    key = fresh_key()
    assert host.call("answers/refuse", {"status": status, "detail": "no"}, key=key).status_code == status
    host.call("answers/fail", {}, key=key)
    host.log_of(f"answers/fail:{key}")
    assert f"answers/refuse:{key}" not in host.process.said()


def test_a_timeout_says_so(host: Served) -> None:
    key = fresh_key()
    host.call("held/hurried", {"key": key}, key=key)
    (line,) = host.log_of(f"held/hurried:{key}")
    assert "passed its timeout" in line
    host.open(key)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"content": b"{oh"}, "POST /functions/v1/hello 400 invalid_json"),
        ({"body": {"name": 5}}, "POST /functions/v1/hello 422 invalid_input"),
        ({"method": "HEAD"}, "HEAD /functions/v1/hello 405 METHOD_NOT_ALLOWED"),
    ],
    ids=str,
)
def test_a_refused_request_is_one_line_without_its_query(host: Served, options: dict, line: str) -> None:
    before = len(host.process.said())
    assert host.call("hello?token=hunter2", **options).status_code >= 400
    until(lambda: line in host.process.said()[before:], line)
    log = host.process.said()[before:]
    (said,) = [each for each in log.splitlines() if "/functions/v1/hello" in each]
    assert " info " in said
    assert said.endswith("from 127.0.0.1")
    assert "hunter2" not in log


def test_what_is_no_request_is_one_line_too(host: Served) -> None:
    before = len(host.process.said())
    with host.connection() as wire:
        wire.send(b"nonsense\r\n\r\n")
        wire.rest()
    until(lambda: "400 invalid_http" in host.process.said()[before:], "a line")


def test_who_is_refused_is_logged_and_who_is_served_is_not(start_host: Start) -> None:
    host = start_host("--reload")
    assert httpx.get(f"{host.url}/functions/v1/hello").status_code == 401
    assert httpx.get(f"{host.url}/healthz").status_code == 200
    assert httpx.get(f"{host.url}/nowhere").status_code == 404
    until(lambda: "GET /nowhere 404" in host.process.said(), "the last line")
    line = "GET /functions/v1/hello 401 UNAUTHORIZED_NO_AUTH_HEADER"
    until(lambda: line in host.process.said(), "the line")
    assert "/healthz" not in host.process.said()


def test_all_requests_may_be_logged_with_their_workflow(start_host: Start) -> None:
    host = start_host(OPEN, log_format="json", request_log="all")
    key = fresh_key()
    assert host.call("hello", {"name": "Ada"}, key=key).status_code == 200
    until(lambda: '"outlast.requests"' in host.process.said(), "a line")
    lines = [json.loads(line) for line in host.process.said().splitlines()]
    (line,) = [each for each in lines if each["logger"] == "outlast.requests"]
    assert (line["method"], line["path"], line["status"]) == ("POST", "/functions/v1/hello", 200)
    assert line["workflow_id"] == f"hello:{key}"
    assert line["duration_s"] > 0
    assert line["client"] == "127.0.0.1"


def test_a_request_forges_no_line_and_moves_no_cursor(host: Served) -> None:
    before = len(host.process.said())
    url = f"{host.url}/functions/v1/x%0d%0a12:00:00%20error%20forged%1b%5b2J%c2%9b2J%e2%80%a8y"
    assert httpx.get(url).status_code == 404
    until(lambda: "/functions/v1/x" in host.process.said()[before:], "a line")
    lines = host.process.said()[before:].splitlines()  # among those of workflows that other tests began
    (line,) = [each for each in lines if "forged" in each]
    assert r"/functions/v1/x\r\n12:00:00 error forged\x1b[2J\x9b2J\u2028y" in line


def test_a_functions_own_records_name_their_workflow(start_host: Start) -> None:
    host = start_host(OPEN, log_format="json")
    key = fresh_key()
    assert host.call("logs", {"text": "a\nb"}, key=key).status_code == 200
    lines = [json.loads(line) for line in host.process.said().splitlines()]
    told = {line["message"]: line for line in lines if line.get("order")}
    body, first, again = told["body a\nb"], told["attempt 1"], told["attempt 2"]
    own = told[f"[logs:{key}] own"]
    assert [each["workflow_id"] for each in (body, first, again, own)] == [f"logs:{key}"] * 4
    assert "attempt" not in body
    assert (first["attempt"], again["attempt"]) == (1, 2)
    assert (body["order"], own["order"]) == (7, 8)


def test_a_host_says_that_it_stops_and_that_it_has(start_host: Start) -> None:
    host = start_host(OPEN)
    host.process.signal(signal.SIGTERM)
    until(lambda: "stopped after" in host.process.said(), "the last line")
    assert "stopping: no workflow runs here" in host.process.said()


def test_the_log_may_be_json(start_host: Start) -> None:
    host = start_host(OPEN, log_format="json")
    key = fresh_key()
    host.call("answers/fail", {}, key=key)
    host.call("plain?kind=raise")
    host.log_of(f"answers/fail:{key}")
    lines = [json.loads(line) for line in host.process.said().splitlines()]
    lines = [line for line in lines if line["logger"] != "outlast.requests"]
    (failure,) = [line for line in lines if line.get("workflow_id") == f"answers/fail:{key}"]
    assert failure["level"] == "error"
    assert failure["message"] == f"answers/fail:{key} failed: ValueError: the password is hunter2"
    assert failure["traceback"].startswith("Traceback")
    assert failure["status"] == "ERROR"
    (fault,) = [line for line in lines if line["message"] == "plain failed"]
    assert "hunter2" in fault["traceback"]
