"""The command and a real host: from a new function to its result, and across a host that is killed."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.cli.conftest import Runs
from tests.cli.serving import serving
from tests.hosts import until

GATED = """
from datetime import timedelta
from pathlib import Path

from outlast import sleep, step, workflow


@step
async def opened() -> bool:
    return Path("open").exists()


@workflow
async def gated(name: str) -> str:
    while not await opened():
        await sleep(timedelta(milliseconds=50))
    return f"done, {name}"
"""


@pytest.fixture
def database_url(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SUPABASE_DB_URL", database)
    monkeypatch.setenv("SUPABASE_SECRET_KEY", "sb_secret_of_the_tests_only")
    return database


def test_from_a_new_function_to_its_result(call: Runs, project: Path, database_url: str) -> None:
    assert call("new", "hello").status == 0
    with serving(project) as (url, _):
        to_host = {"OUTLAST_URL": url}
        ran = call("invoke", "hello", "--data", '{"name": "Ada"}', "--key", "one", **to_host)
        assert (ran.status, ran.out) == (0, '{"message":"Hello, Ada!"}\n')
        again = call("invoke", "hello", "--data", '{"name": "Ada"}', "--key", "one", "--json")
        assert json.loads(again.out) == {
            "workflow_id": "hello:one",
            "http_status": 200,
            "replayed": True,
            "body": {"message": "Hello, Ada!"},
        }
        assert call("invoke", "hello", "--data", '{"name": 3}').status == 1
        (listed,) = json.loads(call("workflows", "list", "--status", "success", "--json").out)["workflows"]
        assert listed["workflow_id"] == "hello:one"
        assert call("workflows", "list", "--since", "1h", "--until", "1m").out == ""
        (step,) = json.loads(call("workflows", "steps", "hello:one", "--json").out)["steps"]
        assert (step["name"], step["output"]) == ("greet", "Hello, Ada!")
        assert call("workflows", "wait", "hello:one").out == '{"message": "Hello, Ada!"}\n'
        assert json.loads(call("workflows", "show", "hello:one", "--json").out)["input"] == {"name": "Ada"}
        assert "the workflow is SUCCESS" in call("workflows", "cancel", "hello:one").err
        assert call("workflows", "show", "nix").status == 1


def test_started_apart_then_cancelled(call: Runs, project: Path, database_url: str) -> None:
    (project / "functions").mkdir()
    (project / "functions" / "gated.py").write_text(GATED)
    with serving(project) as (url, _):
        started = call("invoke", "gated", "--data", '{"name": "Ada"}', "--async", OUTLAST_URL=url)
        workflow_id = started.out.strip()
        assert workflow_id.startswith("gated:")
        assert call("workflows", "wait", workflow_id, "--timeout", "0").status == 1
        assert call("workflows", "cancel", workflow_id).out == f"cancelled {workflow_id}\n"
        ran = call("workflows", "wait", workflow_id)
        assert (ran.status, ran.out) == (1, "")
        assert "ended as CANCELLED" in ran.err


def test_a_call_outlasts_the_host_that_took_it(project: Path, database_url: str) -> None:
    (project / "functions").mkdir()
    (project / "functions" / "gated.py").write_text(GATED)
    command = [sys.executable, "-m", "outlast", "invoke", "gated", "--data", '{"name": "Ada"}']
    with serving(project, OUTLAST_SYNC_WAIT_S="0") as (url, first):
        port = urlsplit(url).port or 0
        # On a terminal it says when it begins to wait.
        terminal, slave = pty.openpty()
        caller = subprocess.Popen(
            command,
            cwd=project,
            env=os.environ | {"OUTLAST_URL": url, "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=slave,
            text=True,
        )
        os.close(slave)
        try:
            assert read_line(terminal).startswith("waiting: for gated:")
            first.kill()
            first.wait()
            (project / "open").touch()
            with serving(project, port, OUTLAST_SYNC_WAIT_S="0"):
                out, _ = caller.communicate(timeout=50)
        finally:
            caller.kill()
            caller.wait()
            os.close(terminal)
    assert (caller.returncode, out) == (0, '"done, Ada"\n')


def test_a_call_outlasts_the_host_that_is_stopped_while_it_holds_the_call(
    call: Runs, project: Path, database_url: str
) -> None:
    (project / "functions").mkdir()
    (project / "functions" / "gated.py").write_text(GATED)
    command = [
        sys.executable,
        "-m",
        "outlast",
        "invoke",
        "gated",
        "--data",
        '{"name": "Ada"}',
        "--key",
        "one",
    ]
    with serving(project) as (url, first):
        port = urlsplit(url).port or 0
        environment = os.environ | {"OUTLAST_URL": url}
        with subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True) as caller:
            try:
                until(lambda: call("workflows", "show", "gated:one", OUTLAST_URL=url).status == 0, "the call")
                first.terminate()
                first.wait(timeout=40)
                (project / "open").touch()
                with serving(project, port):
                    out, err = caller.communicate(timeout=50)
            finally:
                caller.kill()
    assert (caller.returncode, out, err) == (0, '"done, Ada"\n', "")


def read_line(terminal: int) -> str:
    line = b""
    while not line.endswith(b"\n"):
        assert select.select([terminal], [], [], 40)[0], "nothing was said"
        line += os.read(terminal, 1)
    return line.decode()
