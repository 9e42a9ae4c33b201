"""A database that orders texts as a language does: ids are found by their beginnings, by an index."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from outlast.store.connections import Database
from outlast.store.migrations import migrate
from tests.cron import CronServer, programs

IDS = ["a:1", "a:10", "a:2", "a-1", "A:1", "\u00e1:1", "aa:1", "a%:1", "a_:1", "ab", "a:\u00e9", "zz"]
MANY = 5_000

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection[Any]]:
    """To a database in the order of English, which Debian's server knows; the ids are some of many."""
    found = programs()
    if found is None:
        pytest.skip("Debian's Postgres is not installed (postgresql-15-cron)")
    server = CronServer(found)
    try:
        server.start()
        with psycopg.connect(server.url, autocommit=True) as maker:
            maker.execute(
                "create database english template template0 encoding 'UTF8' locale_provider icu"
                " icu_locale 'en-US' locale 'C.UTF-8'"
            )
        url = make_conninfo(server.url, dbname="english")
        asyncio.run(migrate(Database.at(url, "tests")))
        with psycopg.connect(url, autocommit=True) as connection:
            _fill(connection)
            yield connection
    finally:
        server.close()


def _fill(connection: Connection[Any]) -> None:
    connection.execute(
        "insert into outlast.workflow_status (workflow_id, function, status, created_at)"
        " select id, 'f', 'SUCCESS', now() from unnest(%s::text[]) as id",
        ([*IDS, *(f"m:{n}" for n in range(1, MANY + 1))],),
    )
    connection.execute("analyze outlast.workflow_status")


@pytest.mark.parametrize("prefix", ["a:", "a", "A", "a%", "a_", "\u00e1", "m:49", "zz", "nothing"])
def test_a_prefix_finds_what_begins_with_it(prefix: str, connection: Connection[Any]) -> None:
    found = "select workflow_id from outlast.find_workflows(prefix => %s)"
    every = [*IDS, *(f"m:{n}" for n in range(1, MANY + 1))]
    expected = {each for each in every if each.startswith(prefix)}
    assert {row[0] for row in connection.execute(found, (prefix,))} == expected


def test_texts_are_ordered_as_in_english(connection: Connection[Any]) -> None:
    assert connection.execute("select 'a' < 'B', 'b' < 'B'").fetchone() == (True, True)


def test_it_reads_no_more_than_that(connection: Connection[Any]) -> None:
    plan = "explain (format json) select from outlast.workflow_status w where w.workflow_id ^@ 'm:499'"
    ((found,),) = connection.execute(plan).fetchall()
    assert "workflow_status_prefix" in json.dumps(found)


def test_pages_go_on_where_the_last_one_ended(connection: Connection[Any]) -> None:
    query = """
    select workflow_id, created_at from outlast.find_workflows(
      ascending => true, most => 700, after_created_at => %s, after_workflow_id => %s)
    order by place
    """
    seen: list[str] = []
    after: tuple[Any, Any] = (None, None)
    while rows := connection.execute(query, after).fetchall():
        seen += [each[0] for each in rows]
        after = (rows[-1][1], rows[-1][0])
    assert len(seen) == len(set(seen)) == len(IDS) + MANY
