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

import psycopg
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


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_queues_are_looked_at_and_changed(call: Runs, project: Path, database_url: str) -> None:
    (project / "functions").mkdir()
    with serving(project) as (url, _), psycopg.connect(database_url, autocommit=True) as connection:
        base = '{"key": "customer", "concurrency": 9}'
        connection.execute("insert into outlast.queues (name, base) values ('mail', %s)", (base,))
        to_host = {"OUTLAST_URL": url}
        ran = call("queues", "set", "mail", "--concurrency", "5", "--rate", "100/1m", "--why", "w", **to_host)
        assert (ran.status, ran.out) == (0, "changed mail\n")
        found = json.loads(call("queues", "show", "mail", "--json").out)
        assert found["override"] == {"concurrency": 5, "rate": {"n": 100, "per": 60}}
        assert (found["limits"]["concurrency"], found["override_why"]) == (5, "w")
        assert call("queues", "set", "mail", "--rate", "default").status == 0
        assert json.loads(call("queues", "show", "mail", "--json").out)["override"] == {"concurrency": 5}
        assert call("queues", "set", "mail", "--reset").status == 0
        assert json.loads(call("queues", "show", "mail", "--json").out)["override"] is None
        assert call("queues", "pause", "mail", "--why", "bounces").out == "paused mail\n"
        listed = call("queues", "list", "--paused").out
        assert listed.startswith("mail\t0\t0\t0\t\t")
        assert listed.endswith("secret key default\tbounces\t\n")
        assert call("queues", "pause", "mail", "--key", "acme").status == 0
        (key,) = json.loads(call("queues", "show", "mail", "--json").out)["paused_keys"]
        assert key["key"] == "acme"
        assert call("queues", "resume", "mail").out == "resumed mail\n"
        assert call("queues", "list", "--paused").out == ""
        assert call("queues", "drain", "mail").out == "drained mail: cancelled 0, more false\n"
        assert call("queues", "set", "mail", "--concurrency", "0").status == 2
        failed = call("queues", "set", "mail")
        assert (failed.status, "settings must name an option" in failed.err) == (1, True)
        failed = call("queues", "pause", "nowhere")
        assert (failed.status, "there is no queue with this name" in failed.err) == (1, True)


def test_a_verb_takes_an_id_or_filters_for_many(call: Runs, project: Path, database_url: str) -> None:
    (project / "functions").mkdir()
    with serving(project) as (url, _), psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "insert into outlast.workflow_status"
            " (workflow_id, function, status, queue, claimable_at, created_at)"
            " select 'nobody:' || n, 'nobody', 'ENQUEUED', 'many', now(), now() - interval '1 hour'"
            " from generate_series(1, 30) n"
        )
        to_host = {"OUTLAST_URL": url}
        many = ("--function", "nobody", "--status", "enqueued", "--since", "2h")
        for given in ((), ("nobody:1", "--function", "nobody"), ("nobody:1", "--dry-run")):
            failed = call("workflows", "cancel", *given, **to_host)
            assert (failed.status, "give an ID" in failed.err) == (2, True), failed.err
        tried = call("workflows", "cancel", *many, "--dry-run", **to_host)
        assert (tried.status, len(tried.out.splitlines())) == (0, 10), tried.err
        assert "30 workflows are found" in tried.err
        failed = call("workflows", "cancel", *many, "--expect", "31", **to_host)
        assert (failed.status, "30 workflows are found, and 31 were expected" in failed.err) == (1, True)
        one = call("workflows", "cancel", "nobody:1", **to_host)
        assert one.out == "cancelled nobody:1\n", one.err
        named = ("--rate", "500", "--expect", "29", "--why", "a bad deploy")
        begun = call("workflows", "cancel", *many, *named, **to_host)
        assert (begun.status, "29 workflows" in begun.err) == (0, True), begun.err
        bulk_id = begun.out.strip()
        waited = call("workflows", "wait", bulk_id, "--timeout", "60", **to_host)
        assert json.loads(waited.out)["done"] == 29
        shown = json.loads(call("bulks", "show", bulk_id, "--json", **to_host).out)
        assert (shown["done"], shown["why"], shown["status"]) == (29, "a bad deploy", "SUCCESS")
        assert shown["filter"]["status"] == ["ENQUEUED"]
        assert call("bulks", "list", **to_host).out.startswith(
            f"{bulk_id}\tcancel\tSUCCESS\t29\t29\t0\t0\t500\t"
        )
        listed = call("bulks", "items", bulk_id, "--outcome", "done", **to_host).out.splitlines()
        assert (len(listed), listed[0].split("\t")[1:3]) == (29, ["nobody:10", "done"])
        rows = json.loads(call("workflows", "list", "--no-has-parent", "--prefix", "nobody:1", "--ascending",
                               "--completed-since", "1h", "--json", **to_host).out)["workflows"]  # fmt: skip
        assert {each["workflow_id"] for each in rows} == {"nobody:1", *(f"nobody:1{n}" for n in range(10))}
        done = call("workflows", "set", "nobody:5", "--attributes", '{"note": "seen"}', **to_host)
        assert done.out == "changed nobody:5\n", done.err
        found = call("workflows", "list", "--attribute", "note:seen", **to_host).out
        assert (
            "nobody:5"
            not in call(
                "workflows", "list", *("--attribute", "note:seen") * 2, "--attribute", "a:b", **to_host
            ).out
        )
        assert found.startswith("nobody:5\t")
