"""After a retry or a rewind over HTTP a workflow does what its code says now (docs/verbs.md)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.databases import TEMPLATE, new_database
from tests.hosts import LIMIT_S, SECRET, Host, Hosts, ask

HEADERS = {"apikey": SECRET}
FUNCTION = """
from pathlib import Path

from outlast import map_, publish, receive, send, step, workflow

SAID = Path({folder!r})


@step
async def look(what: str) -> str:
    text = (SAID / what).read_text()
    if text.startswith("!"):
        raise ValueError(text)
    return text


@workflow
async def item(number: int) -> int:
    if number == 100:
        raise ValueError("too much")
    return number * 10


@workflow
async def maps() -> list[int]:
    done = list(await map_(item, [int(each) for each in (await look("items")).split()]))
    await look("end")
    return done


@workflow
async def cries(to: str) -> str:
    try:
        return await look("card")
    except ValueError as error:
        await send(to, str(error), "told")
        raise


@workflow
async def charges() -> str:
    await look("items")
    if (SAID / "end").read_text() == "!no":
        raise ValueError("no")
    await publish("charged", 5)
    return await look("end")


@workflow
async def boss() -> list[str]:
    return [await receive("told") for _ in range(2)]
"""


@pytest.fixture
def said(tmp_path: Path) -> Path:
    """The folder of what the functions read."""
    folder = tmp_path / "said"
    folder.mkdir()
    return folder


@pytest.fixture
def host(tmp_path: Path, postgres: str, said: Path) -> Iterator[Host]:
    functions = tmp_path / "functions"
    functions.mkdir()
    (functions / "anew.py").write_text(FUNCTION.format(folder=str(said)))
    with new_database(postgres, TEMPLATE) as url:
        hosts = Hosts(tmp_path, functions, url)
        yield hosts.start()
        hosts.close()


def begin(host: Host, function: str, given: Any) -> str:
    headers = {**HEADERS, "prefer": "respond-async"}
    url = f"{host.url}/functions/v1/anew/{function}"
    answer = ask("POST", url, json=given, headers=headers, timeout=LIMIT_S)
    assert answer.status_code == 202, answer.text
    return str(answer.headers["workflow-id"])


def result(host: Host, workflow_id: str) -> Any:
    url = f"{host.url}/workflows/v1/{workflow_id}?wait=20"
    return ask("GET", url, headers=HEADERS, timeout=LIMIT_S).json()


def act(host: Host, workflow_id: str, verb: str, **given: Any) -> None:
    url = f"{host.url}/workflows/v1/{workflow_id}/{verb}"
    answer = ask("POST", url, json=given, headers=HEADERS, timeout=LIMIT_S)
    assert answer.status_code == 200, answer.text


def test_each_failure_is_told_until_it_succeeds(host: Host, said: Path) -> None:
    to = begin(host, "boss", {})
    (said / "card").write_text("!declined at 1")
    workflow_id = begin(host, "cries", {"to": to})
    assert "declined at 1" in str(result(host, workflow_id)["error"])
    (said / "card").write_text("!declined at 2")
    act(host, workflow_id, "retry")
    assert "declined at 2" in str(result(host, workflow_id)["error"])
    (said / "card").write_text("paid")
    act(host, workflow_id, "retry")
    assert result(host, workflow_id)["output"] == "paid"
    assert result(host, to)["output"] == ["!declined at 1", "!declined at 2"]


def test_a_rewound_map_is_of_the_items_that_there_are_now(host: Host, said: Path) -> None:
    (said / "items").write_text("1 2 3")
    (said / "end").write_text("!no")
    workflow_id = begin(host, "maps", {})
    assert result(host, workflow_id)["status"] == "ERROR"
    (said / "items").write_text("1 100")
    act(host, workflow_id, "rewind", to="1")
    assert "too much" in str(result(host, workflow_id)["error"])
    (said / "items").write_text("4 5")
    (said / "end").write_text("well")
    act(host, workflow_id, "rewind", to="1")
    assert result(host, workflow_id)["output"] == [40, 50]


def streamed(host: Host, key: str, after: int) -> list[tuple[str, int]]:
    """The events of a call that has seen those up to this number: kinds and ids."""
    headers = {**HEADERS, "accept": "text/event-stream", "idempotency-key": key, "last-event-id": str(after)}
    url = f"{host.url}/functions/v1/anew/charges"
    text = ask("POST", url, json={}, headers=headers, timeout=LIMIT_S).text
    fields = [dict(line.split(": ", 1) for line in each.splitlines()) for each in text.strip().split("\n\n")]
    return [(each["event"], int(each["id"])) for each in fields]


@pytest.mark.parametrize("kept", [1, 0])
def test_a_stream_that_is_resumed_after_a_retry_misses_nothing(host: Host, said: Path, kept: int) -> None:
    (said / "items").write_text("" if kept else "!none")
    (said / "end").write_text("!no")
    assert streamed(host, "k", 0) == [("status", 0), ("step", 1), ("result", 2)]
    (said / "items").write_text("")
    (said / "end").write_text("well")
    act(host, "anew/charges:k", "retry")
    again = [] if kept else [("step", 3)]
    first = 3 + len(again)
    new = [*again, ("event", first), ("step", first + 1), ("result", first + 2)]
    assert streamed(host, "k", 2) == [("status", 2), *new]
