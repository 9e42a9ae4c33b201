"""The lifespan of mounted applications: begun before their first request, ended after their last one."""

from __future__ import annotations

import signal
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.hosts import until
from tests.http.conftest import OPEN, Start
from tests.http.harness import Served, check_problem

LIVED = """
import asyncio
import os
from contextlib import asynccontextmanager
from pathlib import Path

from outlast import start, workflow
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute

FOLDER = Path(os.environ["HTTP_FOLDER"])
EDITION = "one"


def note(what):
    with (FOLDER / "lived.seen").open("a") as file:
        file.write(f"{what} {EDITION}\\n")


@asynccontextmanager
async def life(app):
    note("startup")
    app.state.own = os.environ.get("T_LIVED"), await (await start(beside)).result()
    yield {"pool": [f"pool of {EDITION}"]}
    note("shutdown")


async def root(request):
    seen = [*request.state.pool, *request.app.state.own, getattr(request.state, "mine", None)]
    request.state.mine = "of one request"
    return JSONResponse(seen)


async def slow(request):
    note("slow")
    while not (FOLDER / "slow.open").exists():
        await asyncio.sleep(0.01)
    note("answered")
    return JSONResponse(request.state.pool)


async def talk(socket):
    await socket.accept()


app = Starlette(
    lifespan=life, routes=[Route("/", root), Route("/slow", slow), WebSocketRoute("/talk", talk)]
)


@workflow
async def beside():
    return "beside"
"""
FAILING = LIVED.replace(
    'note("startup")',
    'if not (FOLDER / "mended").exists(): raise ValueError("no pool")',
)
LATE = LIVED.replace('note("startup")', "await asyncio.Event().wait()")
ENDING = LIVED.replace('note("startup")', "raise SystemExit(3)")
STUCK = LIVED.replace('note("shutdown")', "note('stuck'); await asyncio.Event().wait()")
REFUSING = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no licence"})
"""
SIMPLE = """
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "functions"
    made.mkdir()
    return made


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))


def noted(host: Served) -> list[str]:
    path = host.folder / "lived.seen"
    return path.read_text().splitlines() if path.exists() else []


def get(host: Served, path: str) -> object:
    answer = host.call(path, method="GET")
    assert answer.status_code == 200, answer.text
    return answer.json()


def broken(host: Served) -> list[str]:
    """What `/readyz` says can't be served; the host is ready for all else."""
    answer = host.client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    names: list[str] = answer.json()["checks"]["functions"]["broken"]
    return names


def test_each_request_has_what_the_startup_made(start_host: Start, folder: Path) -> None:
    write(folder, lived=LIVED, simple=SIMPLE)
    (folder / "lived").mkdir()
    (folder / "lived" / ".env").write_text("T_LIVED=its own\n")
    host = start_host(OPEN, "--functions", str(folder))
    for _ in range(2):
        assert get(host, "lived/") == ["pool of one", "its own", "beside", None]
    assert host.call("simple/x", method="GET").text == "/functions/v1/simple/x", "it knows no lifespan"
    assert host.call("lived/beside").json() == "beside"
    assert noted(host) == ["startup one"]
    with host.connection() as wire:
        wire.send(
            b"GET /functions/v1/lived/talk HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\n"
            b"upgrade: WebSocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"sec-websocket-version: 13\r\n\r\n"
        )
        assert wire.answer().status == 501
    host.process.signal(signal.SIGTERM)
    host.process.ended()
    assert noted(host) == ["startup one", "shutdown one"]


def test_a_startup_that_fails_breaks_the_application_alone(start_host: Start, folder: Path) -> None:
    write(folder, failing=FAILING, late=LATE, ending=ENDING, refusing=REFUSING, simple=SIMPLE)
    host = start_host(OPEN, "--functions", str(folder), import_s_max=1)
    for name in ("failing", "late", "ending"):
        check_problem(host.call(f"{name}/", method="GET"), 503, "BOOT_ERROR", retryable=True)
        assert host.call(f"{name}/beside").json() == "beside"
    check_problem(host.call("refusing/", method="GET"), 503, "BOOT_ERROR", retryable=True)
    assert host.call("simple/x", method="GET").status_code == 200
    assert broken(host) == ["ending", "failing", "late", "refusing"]
    said = host.process.said()
    line = FAILING[: FAILING.index("raise ValueError")].count("\n") + 1
    assert (
        f"failing can't be served: its startup failed: functions/failing.py:{line}: ValueError: no pool"
        in said
    )
    assert "late can't be served: its startup took longer than OUTLAST_IMPORT_S_MAX=1 s" in said
    assert "ending can't be served: its startup failed" in said
    assert "refusing can't be served: its startup failed: no licence" in said
    (host.folder / "mended").touch()
    until(lambda: host.call("failing/", method="GET").status_code == 200, "another try of its startup")
    assert broken(host) == ["ending", "late", "refusing"]


def test_a_reload_ends_what_is_out_of_use(start_host: Start, folder: Path) -> None:
    write(folder, lived=LIVED)
    host = start_host(OPEN, "--reload", "--functions", str(folder))
    with ThreadPoolExecutor(1) as callers:
        slow = callers.submit(get, host, "lived/slow")
        until(lambda: "slow one" in noted(host), "a request")
        write(folder, lived=LIVED.replace('"one"', '"two"'))
        until(lambda: get(host, "lived/") == ["pool of two", None, "beside", None], "the newer one")
        (host.folder / "slow.open").touch()
        assert slow.result() == ["pool of one"]
    until(lambda: "shutdown one" in noted(host), "its shutdown")
    assert noted(host) == ["startup one", "slow one", "startup two", "answered one", "shutdown one"]


def test_the_end_of_the_host_waits_for_requests_and_for_no_shutdown_that_hangs(
    start_host: Start, folder: Path
) -> None:
    write(folder, lived=LIVED, stuck=STUCK)
    host = start_host(OPEN, "--functions", str(folder), workers=2)
    until(lambda: noted(host).count("startup one") == 4, "those of each worker")
    with ThreadPoolExecutor(1) as callers:
        slow = callers.submit(get, host, "lived/slow")
        until(lambda: "slow one" in noted(host), "a request")
        host.process.signal(signal.SIGTERM)
        (host.folder / "slow.open").touch()
        assert slow.result() == ["pool of one"]
    host.process.ended()
    seen = noted(host)
    assert seen.count("shutdown one") == 2
    assert host.process.said().count("stuck: its shutdown takes longer than 3 s and is given up") == 2
