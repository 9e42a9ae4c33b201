"""docs/queues.md: its functions, commands, calls and SQL work as printed, and do what the page says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.hosts import LIMIT_S, SECRET, Host, Hosts, ask, until
from tests.pages import blocks_in, functions_in, needs_curl, page_of, run_script, write_functions

pytestmark = needs_curl

PAGE = page_of("queues").partition("## Supabase Queues")[0]
MAIL = {"key": "customer", "per_key": 1, "concurrency": 20, "rate": {"n": 100, "per": 60}}


PYTHON = functions_in(blocks_in(PAGE, "python"))
SEND, SYNC, EMBED, COMMANDS, CALLS = blocks_in(PAGE, "sh")
START, WHY, CHANGE = blocks_in(PAGE, "sql")


@pytest.fixture
def host(tmp_path: Path, database: str) -> Iterator[Host]:
    """A host with the functions of the page."""
    hosts = Hosts(tmp_path, write_functions(tmp_path, PYTHON), database)
    yield hosts.start()
    hosts.close()


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def call(host: Host, function: str, body: Any, **headers: str) -> httpx.Response:
    url = f"{host.url}/functions/v1/{function}"
    return ask("POST", url, json=body, headers={"apikey": SECRET, **headers}, timeout=LIMIT_S)


def begin(host: Host, function: str, body: Any) -> str:
    answer = call(host, function, body, prefer="respond-async")
    assert answer.status_code == 202, answer.text
    return answer.json()["workflow_id"]


def shown(host: Host, workflow_id: str) -> dict[str, Any]:
    return host.manage("GET", workflow_id).json()


def test_its_queues_are_declared(host: Host, connection: psycopg.Connection[Any]) -> None:
    declared = dict(connection.execute("select name, base from outlast.queues").fetchall())
    assert set(declared) == set(PYTHON) - {"ask"}
    assert declared["mail"] == MAIL
    assert call(host, "imports", {"tenant": {"id": "acme"}}).text == '"imported acme"'
    assert call(host, "render", {"user": "ada", "page": 3}).text == '"page 3 of ada"'
    assert call(host, "crawl", {"site": "example.com", "page": "1"}).text == '"example.com/1"'
    assert call(host, "news", {"readers": ["ada", "bob"]}).json() == ["sent to ada", "sent to bob"]


def test_its_calls_and_starts(host: Host, connection: psycopg.Connection[Any]) -> None:
    assert run_script(host, SEND) == ['"to acme: hello"']
    ((workflow_id,),) = connection.execute(START.encode()).fetchall()
    row = "select priority, queue, queue_key from outlast.workflow_status where workflow_id = %s"
    assert connection.execute(row, (workflow_id,)).fetchall() == [(60, "mail", "acme")]
    until(lambda: shown(host, workflow_id)["output"] == "to acme: hello", "the mail")


def test_its_doors(host: Host) -> None:
    first, second = map(json.loads, run_script(host, SYNC))
    assert (first["workflow_id"].partition(":")[0], second["code"]) == ("sync", "queue_busy")
    answers = [call(host, "search", {"words": "x"}).status_code for _ in range(3)]
    assert answers == [200, 200, 429]
    ids = [begin(host, "reindex", {"document": "d", "version": version}) for version in (1, 2, 3)]
    until(lambda: shown(host, ids[0])["output"] == "d as of version 3", "the last version")


def test_its_batches(host: Host, connection: psycopg.Connection[Any]) -> None:
    assert run_script(host, EMBED) == ["[5.0]"]
    ids = [begin(host, "embed", "x" * size) for size in range(5)]
    until(lambda: all(shown(host, each)["status"] == "SUCCESS" for each in ids), "their elements")
    assert [shown(host, each)["output"] for each in ids] == [[float(size)] for size in range(5)]
    members = "select batch, count(*) from outlast.workflow_status where workflow_id = any(%s) group by batch"
    found = connection.execute(members, (ids,)).fetchall()
    assert sum(count for _, count in found) == 5
    assert len(found) < 5, found
    for wrong in (["a"], {"texts": ["a"]}, 5):
        assert call(host, "embed", wrong).json()["code"] == "invalid_input"
    paths = ask("GET", f"{host.url}/openapi.json", headers={"apikey": SECRET}).json()["paths"]
    (path,) = (each for each in paths if each.endswith("/embed"))
    body = paths[path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert "array" not in json.dumps(body)


PACKS = """
from outlast import Batch, Queue, receive, workflow

@workflow(queue=Queue("packs", batch=Batch(2, wait=60)))
async def packs(items: list[int]) -> list[int]:
    await receive("go")
    return items
"""


def test_a_call_says_which_batch_it_is_in(tmp_path: Path, database: str) -> None:
    hosts = Hosts(tmp_path, write_functions(tmp_path, {"packs": PACKS}), database)
    host = hosts.start()
    try:
        ids = [begin(host, "packs", item) for item in (1, 2)]
        until(lambda: shown(host, f"{ids[0]}/batch").get("waiting_on") == "a message (go)", "the batch")
        reason = f"its batch {ids[0]}/batch"
        assert [shown(host, each)["waiting_on"] for each in ids] == [reason] * 2
        listed = host.manage("GET", "?function=packs").json()["workflows"]
        told = {each["workflow_id"]: each["waiting_on"] for each in listed}
        assert [told[each] for each in ids] == [reason] * 2
    finally:
        hosts.close()


def test_its_limit_of_steps(host: Host, connection: psycopg.Connection[Any]) -> None:
    assert call(host, "ask", {"prompt": "yes"}).json() == "yes, indeed"
    waits = begin(host, "ask", {"prompt": "no"})
    reason = until(lambda: shown(host, waits)["waiting_on"], "it leaves memory")
    assert reason.startswith("limit model 1/3600 s, asks again at ")
    command = "outlast queues set step:model --rate 9/1s && outlast queues show step:model --json"
    changed, found = run_script(host, command)
    assert (changed, json.loads(found)["override"]) == ("changed step:model", {"rate": {"n": 9, "per": 1}})
    # It sleeps until the rate would have let it go; whoever is in a hurry wakes it by SQL.
    connection.execute(
        "update outlast.workflow_status set claimable_at = now() where claimable_at is not null"
    )
    until(lambda: shown(host, waits)["output"] == "no, indeed", "the answer")


def test_how_sleeping_waiting_and_limits_go_together(host: Host, connection: psycopg.Connection[Any]) -> None:
    ada = begin(host, "onboard", {"user": "ada"})
    until(lambda: shown(host, ada)["waiting_on"] is not None, "Ada's, out of memory")
    again = begin(host, "onboard", {"user": "ada"})
    bob = begin(host, "onboard", {"user": "bob"})
    waits_for_it = "a message (answer)"
    until(lambda: shown(host, ada)["waiting_on"] == waits_for_it, "Ada's")
    until(lambda: shown(host, bob)["waiting_on"] == waits_for_it, "Bob's")
    ((waits, why),) = connection.execute(WHY.encode()).fetchall()
    assert waits == again
    assert why.startswith(f"exclusive onboard[ada], held by {ada} since ")
    connection.execute("select outlast.send(%s, '1', 'answer')", (ada,))
    until(lambda: shown(host, again)["waiting_on"] == waits_for_it, "its turn")
    assert shown(host, ada)["output"] == "ada says 1"


@pytest.mark.slow
def test_what_operators_do(host: Host, connection: psycopg.Connection[Any]) -> None:
    *listed, shown_last = run_script(host, COMMANDS.replace("show mail", "show mail --json"))
    names = sorted(set(PYTHON) - {"ask"})
    assert [each.split("\t")[0] for each in listed[: len(names)]] == names
    assert listed[len(names) :] == [
        "changed mail", "changed mail", "paused mail", "resumed mail",
        "drained mail: cancelled 0, more false",
    ]  # fmt: skip
    found = json.loads(shown_last)
    assert (found["override"], found["base"]) == ({"concurrency": 5}, MAIL)
    assert found["paused_keys"] == []
    *_, paused, resumed = map(json.loads, run_script(host, CALLS))
    assert (paused["override"], paused["paused_why"]) == ({"concurrency": 3}, "bounces")
    assert resumed["paused_at"] is None
    for statement in CHANGE.split(";\n")[:-1]:
        connection.execute(statement.encode())
    left = "select override, paused_at from outlast.queues where name = 'mail'"
    assert connection.execute(left).fetchall() == [(None, None)]
    assert connection.execute("select * from outlast.queue_keys").fetchall() == []
