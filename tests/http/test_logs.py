"""What steps print and log is found at their workflows, over HTTP and by the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.hosts import SECRET, until
from tests.http.conftest import Start
from tests.http.harness import Served, fresh_key


def begin(host: Served, **body: Any) -> str:
    """One that waits after it has said all."""
    told = {"name": "Ada", "waits": True, **body}
    answer = host.call("chatty", told, key=fresh_key(), prefer="respond-async")
    workflow_id: str = answer.headers["workflow-id"]
    until(lambda: host.admin.get(f"/workflows/v1/{workflow_id}").json()["waiting_on"], "it to wait")
    return workflow_id


def lines_of(host: Served, workflow_id: str, query: str = "") -> list[dict[str, Any]]:
    answer = host.admin.get(f"/workflows/v1/{workflow_id}/logs{query}")
    assert answer.status_code == 200, answer.text
    lines: list[dict[str, Any]] = answer.json()["logs"]
    return lines


def test_what_was_said_is_found_with_its_step(host: Served) -> None:
    workflow_id = begin(host)
    lines = lines_of(host, workflow_id)
    assert [(each["step_id"], each["step"], each["logger"], each["message"]) for each in lines] == [
        (None, None, "stdout", "the body"),
        (None, None, "outlast.function", "told"),
        ("1", "greet", "stdout", "printed Ada"),
        ("1", "greet", "mine", "logged Ada"),
    ]
    assert [each["level"] for each in lines] == ["info", "warning", "info", "warning"]
    assert [each["attempt"] for each in lines] == [None, None, 1, 1]
    assert lines_of(host, workflow_id, "?step_id=1") == lines[2:]
    first = host.admin.get(f"/workflows/v1/{workflow_id}/logs?limit=3").json()
    assert first["logs"] == lines[:3]
    assert host.admin.get(first["next"]).json() == {"logs": lines[3:], "next": None}


def test_a_replay_says_nothing_again(host: Served) -> None:
    workflow_id = begin(host)
    before = lines_of(host, workflow_id)
    host.query("select outlast.send(%s, 'null', 'go')", workflow_id)
    host.until_status(workflow_id, "SUCCESS")
    after = [each for each in lines_of(host, workflow_id) if each["logger"] != "outlast"]
    assert after == before


def test_only_the_last_hundred_lines_are_kept(host: Served) -> None:
    workflow_id = begin(host, count=150)
    lines = lines_of(host, workflow_id)
    assert [each["message"] for each in lines] == [f"line {n}" for n in range(50, 150)]
    assert {each["step"] for each in lines} == {"in_thread"}


def test_nobody_without_a_secret_key_reads_them(host: Served) -> None:
    workflow_id = begin(host)
    assert host.client.get(f"/workflows/v1/{workflow_id}/logs").status_code == 401
    assert host.admin.get("/workflows/v1/nobody/logs").json()["code"] == "workflow_not_found"


def test_the_command_shows_them(host: Served) -> None:
    workflow_id = begin(host)
    env = {**os.environ, "OUTLAST_URL": host.url, "SUPABASE_SECRET_KEY": SECRET}
    command = [sys.executable, "-m", "outlast", "workflows", "logs", workflow_id, "--json"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, cwd=host.folder)
    assert json.loads(done.stdout) == {"logs": lines_of(host, workflow_id)}, done


@pytest.mark.slow
def test_any_worker_tells_of_all(start_host: Start) -> None:
    host = start_host("--no-verify-jwt", "--workers", "2")
    for _ in range(6):
        workflow_id = begin(host)
        answers = [lines_of(host, workflow_id) for _ in range(6)]  # whichever worker gives them
        assert len(answers[0]) == 4
        assert answers == [answers[0]] * 6
