"""docs/sagas.md: its function and its commands work as printed, and are cancelled over HTTP and from SQL."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.databases import TEMPLATE, new_database
from tests.hosts import LIMIT_S, SECRET, Host, Hosts, ask, until

PAGE = (Path(__file__).parents[2] / "docs" / "sagas.md").read_text("utf-8")
(FUNCTION,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
(COMMANDS,) = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
LOOK = """

from outlast import handler


@handler
async def booked(request: object) -> list[str]:
    return sorted(BOOKED.values())
"""
HEADERS = {"apikey": SECRET}
WAITS = {"flight": "flight to Rome", "confirm": True}


@pytest.fixture(scope="module")
def module_database(postgres: str) -> Iterator[str]:
    with new_database(postgres, TEMPLATE) as url:
        yield url


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, module_database: str) -> Iterator[Host]:
    """A host with the function of the page."""
    folder = tmp_path_factory.mktemp("sagas")
    functions = folder / "functions"
    functions.mkdir()
    (functions / "trip.py").write_text(FUNCTION + LOOK)
    hosts = Hosts(folder, functions, module_database)
    yield hosts.start()
    hosts.close()


def booked(host: Host) -> list[str]:
    return ask("POST", f"{host.url}/functions/v1/trip/booked", json={}, timeout=LIMIT_S).json()


def begin(host: Host, key: str) -> str:
    """A trip that waits to be confirmed."""
    headers = {**HEADERS, "idempotency-key": key, "prefer": "respond-async"}
    answer = ask("POST", f"{host.url}/functions/v1/trip", json=WAITS, headers=headers, timeout=LIMIT_S)
    assert answer.status_code == 202, answer.text
    workflow_id = answer.headers["workflow-id"]
    until(lambda: "a message (confirmed)" in (shown(host, workflow_id)["waiting_on"] or ""), "its wait")
    return str(workflow_id)


def shown(host: Host, workflow_id: str, query: str = "") -> Any:
    url = f"{host.url}/workflows/v1/{workflow_id}{query}"
    return ask("GET", url, headers=HEADERS, timeout=LIMIT_S).json()


def test_a_failure_and_a_success(host: Host) -> None:
    url = f"{host.url}/functions/v1/trip"
    answer = ask("POST", url, json={"flight": "flight to nowhere"}, headers=HEADERS, timeout=LIMIT_S)
    assert (answer.status_code, answer.json()["code"]) == (500, "workflow_error")
    assert booked(host) == []
    answer = ask("POST", url, json={"flight": "flight to Rome"}, headers=HEADERS, timeout=LIMIT_S)
    assert answer.status_code == 200, answer.text
    assert booked(host) == ["flight to Rome", "hotel"]


def test_a_cancel_over_http_is_accepted_and_ends_in_cancelled(host: Host) -> None:
    before = booked(host)
    workflow_id = begin(host, "by-http")
    assert len(booked(host)) == len(before) + 2
    url = f"{host.url}/workflows/v1/{workflow_id}/cancel"
    answer = ask("POST", url, headers=HEADERS, timeout=LIMIT_S)
    assert (answer.status_code, answer.json()) == (202, {"workflow_id": workflow_id, "status": "PENDING"})
    found = shown(host, workflow_id, "?wait=20")
    assert (found["status"], found["error"]["code"]) == ("CANCELLED", "workflow_cancelled")
    assert booked(host) == before
    answer = ask("POST", url, headers=HEADERS, timeout=LIMIT_S)
    assert (answer.status_code, answer.json()["status"]) == (200, "CANCELLED")


def test_a_cancel_from_sql(host: Host, module_database: str) -> None:
    before = booked(host)
    workflow_id = begin(host, "by-sql")
    with psycopg.connect(module_database, autocommit=True) as connection:
        assert connection.execute("select outlast.cancel(%s)", [workflow_id]).fetchone() == (True,)
    assert shown(host, workflow_id, "?wait=20")["status"] == "CANCELLED"
    assert booked(host) == before


def test_its_commands(host: Host) -> None:
    before = booked(host)
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OUTLAST_URL": host.url,
        "SUPABASE_SECRET_KEY": SECRET,
    }
    done = subprocess.run(
        ["bash", "-euc", COMMANDS], env=env, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr
    assert booked(host) == before
    assert "\nundone\n" in done.stdout
    steps = [line.split("\t")[1] for line in done.stdout.partition("\nundone\n")[2].splitlines()]
    assert [each for each in steps if each == "cancel"] == ["cancel"] * 2, done.stdout
