"""What operators read: one line for each failure, with its workflow; nothing of what callers do wrong."""

from __future__ import annotations

import json

import pytest

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
    "options",
    [
        {"content": b"{oh"},
        {"body": {"name": 5}},
        {"key": ""},
        {"method": "HEAD"},
        {"headers": {"prefer": "wait=x"}, "method": "HEAD"},
    ],
    ids=str,
)
def test_mistakes_of_callers_are_not_logged(host: Served, options: dict) -> None:
    before = host.process.said()
    assert host.call("hello", **options).status_code >= 400
    with host.connection() as wire:
        wire.send(b"nonsense\r\n\r\n")
        wire.rest()
    assert host.process.said() == before


def test_the_log_may_be_json(start_host: Start) -> None:
    host = start_host(OPEN, log_format="json")
    key = fresh_key()
    host.call("answers/fail", {}, key=key)
    host.call("plain?kind=raise")
    host.log_of(f"answers/fail:{key}")
    lines = [json.loads(line) for line in host.process.said().splitlines()]
    (failure,) = [line for line in lines if line.get("workflow_id") == f"answers/fail:{key}"]
    assert failure["level"] == "error"
    assert failure["message"] == f"answers/fail:{key} failed: ValueError: the password is hunter2"
    assert failure["traceback"].startswith("Traceback")
    assert failure["status"] == "ERROR"
    (fault,) = [line for line in lines if line["message"] == "plain failed"]
    assert "hunter2" in fault["traceback"]
