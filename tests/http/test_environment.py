"""Functions of one process, each with an environment of its own, seen over real sockets."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.databases import new_database
from tests.hosts import until
from tests.http.conftest import OPEN
from tests.http.harness import Served, fresh_key

OWN_SECRET = "geheim-of-one-function-7"
ALL_SECRET = "geheim-of-all-functions-8"

LOOKING = """
import asyncio
import os
import subprocess
import sys
from pathlib import Path

from _shared.looking import shared, shared_at_import
from outlast import Request, handler, step, transaction, workflow

AT_IMPORT = os.environ.get("T_OWN")
FOLDER = Path(os.environ["T_FOLDER"])
SHOW = [sys.executable, "-c", "import os; print(os.environ.get('T_OWN'))"]


def look() -> str | None:
    return os.environ.get("T_OWN")


async def meet(key: str) -> None:
    (FOLDER / f"{key}.{NAME}").touch()
    while not all((FOLDER / f"{key}.{each}").exists() for each in ("red", "blue")):
        await asyncio.sleep(0.005)


@step
async def awaited(key: str) -> str | None:
    before = look()
    await meet(key)
    assert before == look()
    return look()


@step
def threaded() -> str | None:
    return look()


@transaction
async def committed(tx) -> str | None:
    return look()


@step
async def children() -> list[str]:
    done = await asyncio.to_thread(subprocess.run, SHOW, capture_output=True, text=True)
    started = await asyncio.create_subprocess_exec(*SHOW, stdout=subprocess.PIPE)
    shell = await asyncio.create_subprocess_shell("echo $T_OWN", stdout=subprocess.PIPE)
    told = [(await each.communicate())[0].decode() for each in (started, shell)]
    return [each.strip() for each in (done.stdout, *told)]


@workflow
async def NAME_(key: str) -> dict:
    first, second = await asyncio.gather(awaited(key), threaded.aio())
    return {
        "import": AT_IMPORT, "body": look(), "step": first, "thread": second,
        "transaction": await committed(), "children": await children(),
        "shared": [shared(), shared_at_import], "all": os.environ.get("T_ALL"),
    }


@workflow
def blocking() -> str | None:
    return threaded()


@step
async def hold(key: str) -> str | None:
    (FOLDER / f"{key}.begun").touch()
    while not (FOLDER / f"{key}.go").exists():
        await asyncio.sleep(0.005)
    return look()


@workflow
async def held(key: str) -> list:
    return [look(), await hold(key), look()]


@handler
async def handled(request: Request) -> list:
    return [look(), await asyncio.to_thread(look)]


@handler
def handled_in_thread(request: Request) -> str | None:
    return look()


@handler
async def fails(request: Request) -> None:
    raise ValueError(f"{look()} and {os.environ.get('T_SECRET')} are refused")


@workflow
async def fails_too(key: str, token: str = os.environ.get("T_OWN_KEY", "")) -> None:
    raise ValueError(f"{os.environ.get('T_OWN_KEY')} is refused")


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": str(look()).encode()})
"""
SHARED = """
import os
shared_at_import = os.environ.get("T_OWN")


def shared():
    return os.environ.get("T_OWN")
"""


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")


def looking(name: str) -> str:
    return f"NAME = {name!r}\n" + LOOKING.replace("NAME_", name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with two functions that look alike and differ in what they see."""
    write(tmp_path, "functions/red/main.py", looking("red"))
    write(tmp_path, "functions/blue.py", looking("blue"))
    write(tmp_path, "functions/off.py", "raise SystemExit('it was imported')")
    write(tmp_path, "functions/_shared/looking.py", SHARED)
    write(tmp_path, ".env", f"T_FOLDER={tmp_path}\nT_BLUE=blue\n")
    write(tmp_path, "functions/.env", f"T_ALL=all\nT_SECRET={ALL_SECRET}\nSUPABASE_URL=x{ALL_SECRET}\n")
    write(tmp_path, "functions/red/.env", f"T_OWN=red\nT_OWN_KEY={OWN_SECRET}\n")
    write(
        tmp_path,
        "supabase/config.toml",
        """
        [functions.red]
        entrypoint = "./functions/red/main.py"
        [functions.off]
        enabled = false
        [functions.blue.env]
        T_OWN = "env(T_BLUE)"
        """,
    )
    return tmp_path


@pytest.fixture
def hosts(postgres: str, folder: Path) -> Iterator[_Hosts]:
    with new_database(postgres) as url:
        made = _Hosts(folder, url)
        yield made
        made.close()


class _Hosts:
    """Hosts of one project, over one database."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder = folder
        self.database = database
        self._started: list[Served] = []

    def start(self, *options: str, **settings: Any) -> Served:
        functions = str(self.folder / "functions")
        served = Served(self.folder, self.database, OPEN, "--functions", functions, *options, **settings)
        self._started.append(served)
        return served

    def close(self) -> None:
        for served in self._started:
            served.close()
            said = served.process.said()
            assert OWN_SECRET not in said
            assert ALL_SECRET not in said


def expected(own: str) -> dict:
    return {
        "import": own, "body": own, "step": own, "thread": own, "transaction": own,
        "children": [own] * 3, "shared": [own, None], "all": "all",
    }  # fmt: skip


def test_two_functions_see_two_values_at_the_same_time(hosts: _Hosts) -> None:
    """Their steps wait for each other, so that both are under way whenever one looks."""
    host = hosts.start()
    keys = [fresh_key() for _ in range(5)]
    calls = {
        (name, key): host.calling(name, {"key": key}, key=key) for key in keys for name in ("red", "blue")
    }
    for (name, _), call in calls.items():
        answer = call.result(30)
        assert (answer.status_code, answer.json()) == (200, expected(name)), answer.text
    for name in ("red", "blue"):
        assert host.call(f"{name}/blocking", {}).json() == name
        assert host.call(f"{name}/handled").json() == [name, name]
        assert host.call(f"{name}/handled_in_thread").text == name
        assert host.call(f"{name}/app-has-this", method="GET").text == name
    # One connection serves both in turn.
    with httpx.Client(base_url=host.url) as client:
        for name in ("red", "blue", "red"):
            assert client.post(f"/functions/v1/{name}/handled").json() == [name, name]


def test_a_recovered_workflow_sees_what_its_function_sees(hosts: _Hosts, folder: Path) -> None:
    host = hosts.start()
    ids = {}
    for name in ("red", "blue"):
        answer = host.call(f"{name}/held", {"key": name}, key=fresh_key(), prefer="respond-async")
        ids[name] = answer.headers["workflow-id"]
        until((folder / f"{name}.begun").exists, f"{name} to begin")
    host.process.kill()
    (folder / "red.go").touch()
    (folder / "blue.go").touch()
    other = hosts.start()
    for name, workflow_id in ids.items():
        found = other.admin.get(f"/workflows/v1/{workflow_id}?wait=20").json()
        assert (found["status"], found["output"]) == ("SUCCESS", [name] * 3)


def test_workers_see_it_too(hosts: _Hosts) -> None:
    host = hosts.start("--workers", "2")
    key = fresh_key()
    calls = {name: host.calling(name, {"key": key}, key=key) for name in ("red", "blue")}
    for name, call in calls.items():
        assert call.result(30).json() == expected(name)


def test_a_disabled_function_is_an_unknown_one(hosts: _Hosts) -> None:
    host = hosts.start()
    disabled, unknown = host.call("off", {}), host.call("of", {})
    assert disabled.status_code == 404
    assert (disabled.json(), disabled.headers["sb-error-code"]) == (
        unknown.json(),
        unknown.headers["sb-error-code"],
    )
    assert "/functions/v1/off" not in host.admin.get("/openapi.json").json()["paths"]
    assert "off is not served: supabase/config.toml disables it" in host.process.said()


def test_its_workflows_wait_until_it_is_enabled_again(hosts: _Hosts, folder: Path) -> None:
    host = hosts.start()
    answer = host.call("blue/held", {"key": "k"}, key=fresh_key(), prefer="respond-async")
    workflow_id = answer.headers["workflow-id"]
    until((folder / "k.begun").exists, "the workflow to begin")
    host.process.kill()
    (folder / "k.go").touch()
    config = (folder / "supabase" / "config.toml").read_text()
    write(folder, "supabase/config.toml", config + "\n[functions.blue]\nenabled = false\n")
    second = hosts.start()
    assert second.call("blue/handled").status_code == 404
    found = second.admin.get(f"/workflows/v1/{workflow_id}").json()
    assert found["status"] == "PENDING"
    second.process.kill()
    write(folder, "supabase/config.toml", config)
    third = hosts.start()
    found = third.admin.get(f"/workflows/v1/{workflow_id}?wait=20").json()
    assert (found["status"], found["output"]) == ("SUCCESS", ["blue"] * 3)


def test_a_reload_follows_the_files(hosts: _Hosts, folder: Path) -> None:
    host = hosts.start("--reload")
    assert host.call("red/handled").json() == ["red", "red"]

    def sees(function: str, value: str | None) -> None:
        until(lambda: host.call(f"{function}/handled").json() == [value, value], f"{function} to see {value}")

    write(folder, "functions/red/.env", "T_OWN=crimson\n")
    sees("red", "crimson")
    write(folder, ".env", f"T_FOLDER={folder}\nT_BLUE=navy\n")
    sees("blue", "navy")
    write(folder, "functions/.env", "T_OWN=for all\n")
    (folder / "functions" / "red" / ".env").unlink()
    sees("red", "for all")
    config = (folder / "supabase" / "config.toml").read_text()
    write(folder, "supabase/config.toml", "[functions")
    until(lambda: "supabase/config.toml is not TOML" in host.process.said(), "a word about it")
    sees("blue", "navy")
    write(folder, "supabase/config.toml", config + "\n[functions.blue]\nenabled = false\n")
    until(lambda: host.call("blue/handled").status_code == 404, "blue to go")
    write(folder, "supabase/config.toml", config)
    sees("blue", "navy")
    sees("red", "for all")


@pytest.mark.parametrize("form", ["text", "json"])
def test_secrets_stay_out_of_answers_log_and_documents(hosts: _Hosts, form: str) -> None:
    """What a function puts into its own exceptions is in the row, for operators; nowhere else."""
    host = hosts.start(log_format=form)
    key = fresh_key()
    answers = [
        host.call("blue/fails"),
        host.call("red/fails"),
        host.call("red/fails_too", {"key": key}, key=key),
        host.call("red/fails_too", {"key": 5}),
        host.call("red/unknown/path", {}),
        host.admin.get("/openapi.json"),
        host.client.get("/readyz"),
        host.client.get("/healthz"),
    ]
    assert [each.status_code for each in answers] == [500, 500, 500, 422, 200, 200, 200, 200]
    for answer in answers:
        assert OWN_SECRET not in answer.text
        assert ALL_SECRET not in answer.text
        # The document says when verbs are refused.
        assert answer.url.path == "/openapi.json" or "refused" not in answer.text
    said = host.process.said()
    assert said.count("[redacted] is refused") >= 1
    assert "blue and [redacted] are refused" in said
    assert said.count("SUPABASE_URL was skipped") == 1
    if form == "json":
        for line in said.splitlines():
            json.loads(line)
    (row,) = host.query(
        "select error::text from outlast.workflow_status where workflow_id like %s", f"%{key}"
    )
    assert f"{OWN_SECRET} is refused" in row[0]


def test_the_host_shows_none_of_its_own(hosts: _Hosts, folder: Path) -> None:
    """A function that logs all it sees."""
    write(
        folder,
        "functions/chatty.py",
        """
        import json, logging, os
        from outlast import context, workflow
        @workflow
        async def chatty() -> list[str]:
            context().logger.warning("I see %s", dict(os.environ))
            logging.getLogger("mine").error("as JSON %s", json.dumps(dict(os.environ)))
            return sorted(name for name in os.environ if name.startswith(("SUPABASE_", "SB_")))
        """,
    )
    host = hosts.start()
    answer = host.call("chatty", {})
    assert {"SUPABASE_DB_URL", "SUPABASE_SECRET_KEY", "SUPABASE_SECRET_KEYS", "SB_EXECUTION_ID"} <= set(
        answer.json()
    )
    until(lambda: "as JSON" in host.process.said(), "the function's words")
    assert "I see" in host.process.said()
    assert hosts.database not in host.process.said()
