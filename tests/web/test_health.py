"""Alive and ready: what probes are told."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from outlast.core.ports import Unreachable
from outlast.web.management import health
from tests.web.harness import File, Project

OK = {"status": "ok"}


async def test_alive_asks_nothing_of_the_database(project: Project, stranger: httpx.AsyncClient) -> None:
    project.rows.away = True
    project.schema = Unreachable("refused")
    response = await stranger.get("/healthz")
    assert (response.status_code, response.json()) == (200, OK)
    assert project.schema_looks == 0


async def test_ready(project: Project, stranger: httpx.AsyncClient) -> None:
    response = await stranger.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {"status": "ok", "checks": {"functions": OK, "database": OK, "schema": OK}}


async def test_a_broken_file_is_named_and_the_others_serve(
    project: Project, stranger: httpx.AsyncClient
) -> None:
    project.function_files = [File("checkout", error="SyntaxError in line 3 of /srv/secret"), File("hello")]
    response = await stranger.get("/readyz")
    document = response.json()
    assert (response.status_code, document["status"]) == (200, "degraded")
    assert document["checks"]["functions"] == {"status": "degraded", "broken": ["checkout"]}
    assert "SyntaxError" not in response.text


@pytest.mark.parametrize(
    ("schema", "checks"),
    [
        (Unreachable("refused"), ("unreachable", "unknown")),
        (False, ("ok", "outdated")),
        (TimeoutError(), ("slow", "unknown")),
    ],
)
async def test_not_ready(
    project: Project, stranger: httpx.AsyncClient, schema: bool | Exception, checks: tuple[str, str]
) -> None:
    project.schema = schema
    response = await stranger.get("/readyz")
    document = response.json()
    assert (response.status_code, document["status"]) == (503, "unavailable")
    assert (document["checks"]["database"]["status"], document["checks"]["schema"]["status"]) == checks
    assert response.headers["retry-after"] == "1"


async def test_not_ready_while_nothing_is_written(project: Project, stranger: httpx.AsyncClient) -> None:
    project.engine.journal_stalled = True
    response = await stranger.get("/readyz")
    document = response.json()
    assert (response.status_code, document["status"]) == (503, "unavailable")
    assert document["checks"]["database"] == {"status": "stalled"}


async def test_a_database_that_does_not_answer_is_given_up(
    project: Project, stranger: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "CHECK_S_MAX", 0.01)
    project.schema = asyncio.Event()
    response = await stranger.get("/readyz")
    assert response.status_code == 503
    assert response.json()["checks"]["database"] == {"status": "slow"}


async def test_probes_of_one_moment_share_one_look(project: Project, stranger: httpx.AsyncClient) -> None:
    project.schema = asked = asyncio.Event()
    probes = [asyncio.create_task(stranger.get("/readyz")) for _ in range(10)]
    await asyncio.wait_for(project.schema_asked.wait(), 10)
    probes[0].cancel()
    asked.set()
    answers = await asyncio.gather(*probes, return_exceptions=True)
    assert [answer.status_code for answer in answers if isinstance(answer, httpx.Response)] == [200] * 9
    assert project.schema_looks == 1
    assert (await stranger.get("/readyz")).status_code == 200
    assert project.schema_looks == 2


async def test_not_ready_while_shutting_down(project: Project, stranger: httpx.AsyncClient) -> None:
    project.engine.stopping = True
    response = await stranger.get("/readyz")
    assert (response.status_code, response.json()["status"]) == (503, "stopping")
    assert (await stranger.get("/healthz")).status_code == 200
