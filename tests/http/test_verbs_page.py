"""docs/verbs.md: its commands, calls and SQL work as printed, and do what the page says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import psycopg
import pytest

from tests.hosts import LIMIT_S, SECRET, Host, Hosts, ask, until
from tests.pages import blocks_in, functions_in, needs_curl, page_of, run_script, write_functions

pytestmark = needs_curl

PAGE = page_of("verbs")


def blocks(section: str, language: str) -> list[str]:
    """The code of a section of the page; of what stands before the first one with an empty name."""
    (text,) = (each for each in re.split(r"^## ", PAGE, flags=re.MULTILINE) if each.startswith(section))
    return blocks_in(text, language)


PYTHON = functions_in(each for section in ("# What", "Pause", "Retry") for each in blocks(section, "python"))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, postgres: str) -> Iterator[Host]:
    """A host with the functions of the page."""
    from tests.databases import new_database

    folder = tmp_path_factory.mktemp("verbs")
    with new_database(postgres) as url:
        hosts = Hosts(folder, write_functions(folder, PYTHON), url)
        started = hosts.start()
        started.url_of_database = url  # type: ignore[attr-defined]
        yield started
        hosts.close()


def sql(host: Host, statements: str) -> list[tuple[Any, ...]]:
    url = host.url_of_database  # type: ignore[attr-defined]
    found = []
    with psycopg.connect(url, autocommit=True) as connection:
        for each in statements.strip().split(";\n"):
            cursor = connection.execute(each.rstrip(";").encode())
            found += cursor.fetchall() if cursor.description else []
    return found


def run(host: Host, script: str) -> list[str]:
    return run_script(host, script, SUPABASE_DB_URL=host.url_of_database)  # type: ignore[attr-defined]


def begin(host: Host, key: str, customer: str, *, approved: bool = True) -> str:
    """An invoice; its id."""
    headers = {"apikey": SECRET, "idempotency-key": key, "prefer": "respond-async"}
    answer = ask("POST", f"{host.url}/functions/v1/invoice", json={"customer": customer}, headers=headers)
    assert answer.status_code == 202, answer.text
    if approved:
        send(host, f"invoice:{key}")
    return f"invoice:{key}"


def send(host: Host, workflow_id: str) -> None:
    path = f"{host.url}/workflows/v1/{quote(workflow_id, safe='')}/messages/approval"
    assert ask("POST", path, json="yes", headers={"apikey": SECRET}).status_code == 202


def do(host: Host, verb: str, workflow_id: str, body: Any = None, **headers: str) -> httpx.Response:
    path = f"{host.url}/workflows/v1/{quote(workflow_id, safe='')}/{verb}"
    return ask("POST", path, json=body or {}, headers={"apikey": SECRET, **headers}, timeout=LIMIT_S)


def shown(host: Host, workflow_id: str) -> dict[str, Any]:
    return host.manage("GET", workflow_id).json()


def steps_of(host: Host, workflow_id: str) -> list[dict[str, Any]]:
    path = f"{quote(workflow_id, safe='')}/steps"
    return host.manage("GET", path).json()["steps"]


def ended(host: Host, workflow_id: str) -> dict[str, Any]:
    return until(
        lambda: (found := shown(host, workflow_id))["completed_at"] and found, f"{workflow_id} has ended"
    )


@pytest.mark.slow
def test_pause_and_resume(host: Host) -> None:
    commands, calls = blocks("Pause", "sh")
    done = run(host, commands)
    assert done[1].startswith("paused invoice:1: status PENDING, held ")
    assert (done[3], done[4]) == (
        "resumed invoice:1: status PENDING, held ",
        '["yes", "charged ann", "mailed ann"]',
    )
    begin(host, "2", "ann", approved=False)
    paused, resumed = map(json.loads, run(host, calls))
    assert (paused["held"]["why"], resumed["held"]) == ("a wrong price", None)
    statements = blocks("Pause", "sql")[0]
    (status, held), (again,) = sql(host, statements)
    assert (status, held["reason"], again) == ("PENDING", "paused", "PENDING")
    sql(host, statements.partition("\n")[0])
    reason = shown(host, "invoice:2")["waiting_on"]
    assert re.fullmatch(r"paused by \w+, since \S+Z: a wrong price", reason), reason
    headers = {"apikey": SECRET}
    asked = ask(
        "POST", f"{host.url}/functions/v1/watcher", json={"workflow_id": "invoice:2"}, headers=headers
    )
    assert asked.json() == "invoice:2~2"
    assert (shown(host, "invoice:2~2")["forked_from"], shown(host, "invoice:2~2")["input"]) == (
        "invoice:2",
        {"customer": "eve"},
    )
    verbs = sql(host, "select verb from outlast.acts where name = 'invoice:2' order by act_id")
    assert [each for (each,) in verbs] == ["pause", "resume", "pause", "resume", "pause", "resume", "fork"]


def renew(host: Host, key: str, customer: str) -> httpx.Response:
    headers = {"apikey": SECRET, "idempotency-key": key}
    return ask("POST", f"{host.url}/functions/v1/renewal", json={"customer": customer}, headers=headers)


def test_retry_and_rewind(host: Host) -> None:
    tables, statements = blocks("Retry", "sql")
    sql(host, tables)
    commands, calls = blocks("Retry", "sh")
    update = "update cards set valid = true where customer = 'zoe'"
    psql = next(line for line in commands.splitlines() if line.startswith("psql"))
    assert update in psql
    begins, ends = commands.split(psql)
    assert run(host, begins) == ["it failed"]
    first = renew(host, "1", "zoe")
    assert (first.status_code, first.headers.get("workflow-generation")) == (500, None)
    sql(host, update)
    done = run(host, ends)
    assert done[:2] == [
        'retried renewal:1: status ENQUEUED, generation 2, dropped ["2"]', '["priced zoe", "paid zoe"]',
    ]  # fmt: skip
    assert "the card is valid again" in done[-1]
    again = renew(host, "1", "zoe")
    assert (again.status_code, again.headers["workflow-generation"]) == (200, "2")
    shows = host.manage("GET", "renewal:1")
    assert (shows.json()["generation"], shows.headers["workflow-generation"]) == (2, "2")
    refused = do(host, "retry", "renewal:1")
    assert (refused.status_code, refused.json()["code"]) == (409, "wrong_state")
    assert "the workflow is SUCCESS" in refused.json()["message"]
    assert "fork it" in refused.json()["message"]
    assert renew(host, "2", "kim").status_code == 500
    told = json.loads(run(host, calls)[0])
    assert (told["generation"], told["dropped"]) == (2, ["2"])
    assert ended(host, "renewal:2")["status"] == "ERROR"
    assert sql(host, statements) == [("ENQUEUED", 3, ["2"])]
    assert ended(host, "renewal:2")["generation"] == 3
    assert do(host, "retry", "renewal:none").status_code == 404
    assert do(host, "rewind", "renewal:2").status_code == 422
    assert do(host, "rewind", "renewal:2", {"to": "nothing"}).status_code == 422
    for key in ("3", "4"):
        assert renew(host, key, "kim").status_code == 500
    sql(host, "update cards set valid = true")
    done = run(host, blocks("Rewind", "sh")[0])
    assert done == [
        'rewound renewal:3: status ENQUEUED, generation 2, dropped ["1", "2"]', '["priced kim", "paid kim"]',
    ]  # fmt: skip
    statement = blocks("Rewind", "sql")[0].replace("renewal:3", "renewal:4")
    assert sql(host, statement) == [("ENQUEUED",)]
    assert ended(host, "renewal:4")["output"] == ["priced kim", "paid kim"]


@pytest.mark.slow
def test_forks(host: Host) -> None:
    workflow_id = begin(host, "3", "bob")
    assert ended(host, workflow_id)["status"] == "ERROR"
    told = run(host, blocks("Fork", "sh")[0])
    again = '[{"step_id": "2", "name": "charge"}]'
    assert told[:2] == [f"forked invoice:3: fork invoice:3~{n}, kept 1, again {again}" for n in (2, 3)]
    assert told[2].startswith("forked invoice:3: fork invoice:3~4, kept 0, again [")
    assert ended(host, "invoice:3~2")["status"] == "ERROR"
    send(host, "invoice:3~4")
    assert ended(host, "invoice:3~4")["output"] == ["yes", "charged ann", "mailed ann"]
    ((fork, kept, left),) = sql(host, blocks("Fork", "sql")[0])
    assert (fork, kept, left) == ("invoice:3~5", 1, [{"step_id": "2", "name": "charge"}])
    wrong = do(host, "fork", workflow_id, {"input": {"customer": 5}})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_input")
    wrong = do(host, "fork", "invoice:3~4", {"from": "failed"})
    assert (wrong.status_code, wrong.json()["code"]) == (409, "wrong_state")
    assert "the workflow is SUCCESS" in wrong.json()["message"]
    assert do(host, "fork", "invoice:none").status_code == 404


@pytest.mark.slow
def test_settling(host: Host) -> None:
    assert ended(host, begin(host, "4", "bob"))["status"] == "ERROR"
    by_failure, by_pause = blocks("Settle", "sh")
    assert run(host, by_failure)[0] == "settled invoice:4: step_id 2, status ERROR"
    assert ended(host, "invoice:4~2")["output"] == ["yes", "by phone", "mailed bob"]
    steps = steps_of(host, "invoice:4")
    assert [each["settled"] and each["settled"]["why"] for each in steps] == [None, "he called"]
    begin(host, "5", "joe")
    until(lambda: [each["name"] for each in steps_of(host, "invoice:5")[1:]] == ["charge"], "it charges")
    refused = do(host, "settle", "invoice:5", {"step": "2", "name": "charge", "output": "1"})
    assert (refused.status_code, refused.json()["code"]) == (409, "wrong_state")
    assert "pause it first" in refused.json()["message"]
    run(host, by_pause)
    assert ended(host, "invoice:5")["output"] == ["yes", "by phone", "mailed joe"]


@pytest.mark.slow
def test_kill_and_delete(host: Host) -> None:
    begin(host, "6", "ann", approved=False)
    refused = do(host, "delete", "invoice:6")
    assert (refused.status_code, "cancel it first" in refused.json()["message"]) == (409, True)
    wrong = do(host, "cancel", "invoice:6", {"mode": "stop"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_input")
    assert run(host, blocks("Cancel", "sh")[0]) == ["cancelled invoice:6"]
    assert do(host, "pause", "invoice:6").json()["code"] == "wrong_state"
    assert run(host, blocks("Delete", "sh")[0]) == ["deleted invoice:6: deleted 1"]
    assert do(host, "delete", "invoice:6").status_code == 404
    noted = sql(host, "select verb, why from outlast.acts where name = 'invoice:6' order by act_id")
    assert ("delete", "a test") in noted
