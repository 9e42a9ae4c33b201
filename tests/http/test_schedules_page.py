"""docs/schedules.md: its functions, commands, calls and SQL work as printed, and do what the page says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.hosts import LIMIT_S, SECRET, Host, Hosts, ask, until
from tests.pages import blocks_in, functions_in, needs_curl, page_of, run_script, write_functions

pytestmark = needs_curl

PAGE = page_of("schedules")


PYTHON = functions_in(blocks_in(PAGE, "python"))
TICKS, COMMANDS = blocks_in(PAGE, "sh")
(SQL,) = blocks_in(PAGE, "sql")


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


def get(host: Host, path: str) -> Any:
    answer = ask("GET", f"{host.url}/schedules/v1{path}", headers={"apikey": SECRET}, timeout=LIMIT_S)
    assert answer.status_code == 200, answer.text
    return answer.json()


def all_planned(host: Host) -> dict[str, Any]:
    """The schedules by name, once each has its next time."""

    def found() -> dict[str, Any]:
        return {each["name"]: each for each in get(host, "")["schedules"]}

    count = sum(text.count('name="') for text in PYTHON.values()) + 1
    until(lambda: sum(each["next_at"] is not None for each in found().values()) == count, "all times")
    return found()


@pytest.mark.slow
def test_its_schedules_and_commands(host: Host, connection: psycopg.Connection[Any]) -> None:
    found = all_planned(host)
    assert found["report"]["tz"] == "Europe/Berlin"
    assert found["options-input"]["input"] == {"region": "eu"}
    options = {
        "none": ("catchup", "none"),
        "all": ("catchup", "all"),
        "wait": ("overlap", "wait"),
        "cancel": ("overlap", "cancel"),
        "until": ("until", "2099-01-01T00:00:00Z"),
        "times": ("times", 3),
        "jitter": ("jitter_s", 300),
        "pause": ("pause_after", 5),
    }
    for name, (option, value) in options.items():
        assert found[f"options-{name}"][option] == value, name
    until(lambda: connection.execute(STARTED).fetchone() is not None, "a tick of the ten seconds")
    # It is due each hour: of the last one it may not be long enough ago.
    connection.execute(
        "update outlast.schedules set nominal_at = nominal_at - interval '2 hours',"
        " next_at = next_at - interval '2 hours', revision = revision + 1 where name = 'options-none'"
    )
    until(lambda: get(host, "/options-none")["missed"] > 0, "the missed tick")
    printed = run_script(host, TICKS, limit_s=90)
    assert any("missed" in each for each in printed)
    assert json.loads(printed[-1])["ticks"][0]["reason"] == "no instance was there"
    printed = run_script(host, COMMANDS, limit_s=90)
    assert any("5" in each for each in printed)
    days = (
        "select count(*)::int from outlast.workflow_status where workflow_id ~ '^schedule:report:2026-03-0'"
    )
    until(lambda: connection.execute(days).fetchone() == (5,), "the backfill")
    now = "select status from outlast.workflow_status where workflow_id like 'schedule:report:now:%'"
    until(lambda: connection.execute(now).fetchall() == [("SUCCESS",)], "what was triggered")


STARTED = """
    select from outlast.workflow_status
    where status = 'SUCCESS' and workflow_id like 'schedule:times-seconds:%' limit 1
"""


def test_what_it_makes_while_running(host: Host, connection: psycopg.Connection[Any]) -> None:
    call = {"json": {"user": 42}, "headers": {"apikey": SECRET}, "timeout": LIMIT_S}
    answer = ask("POST", f"{host.url}/functions/v1/subscribe/subscribe", **call)
    if answer.status_code == 404:
        answer = ask("POST", f"{host.url}/functions/v1/subscribe", **call)
    assert answer.json() == "digest-42", answer.text
    until(lambda: get(host, "/digest-42")["next_at"] is not None, "its next time")
    found = get(host, "/digest-42")
    assert (found["function"], found["input"]) == ("subscribe/digest", {"user": 42})
    assert found["created_by"] == "function subscribe"
    for each in SQL.strip().split(";\n"):
        connection.execute(each.encode())
    found = get(host, "/digest-43")
    assert (found["state"], found["tz"]) == ("active", "Europe/Paris")
    names = [each["name"] for each in get(host, "")["schedules"]]
    assert "reminder-1" not in names


def test_every_option_is_in_its_table() -> None:
    import inspect

    from outlast import cron

    table = PAGE.partition("## Which option for which wish")[2].partition("```python")[0]
    for name in inspect.signature(cron).parameters:
        if name not in ("expression", "tz"):
            assert f"`{name}=" in table, name
