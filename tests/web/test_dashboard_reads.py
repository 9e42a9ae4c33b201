"""What each view of the dashboard reads of the database, counted there: a page, however many rows there are.

Nothing large is read from its beginning to its end, no index either: so nothing large is counted or sorted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import chain
from typing import Any, NamedTuple

import psycopg
import pytest

from outlast.store.connections import Database
from outlast.store.pool import Pool
from outlast.store.workflows import PostgresWorkflows
from outlast.web.dashboard.views import DASHBOARD, VIEWS
from tests import dashboard_rows as rows
from tests.web.harness import Project

PAGES = {
    "": ("", "?function=f7", "?status=ERROR", "?status=ERROR&function=f7", "?held=any", "?waiting_on=held",
         "?queue=q1", "?parent=w1", "?prefix=w12", "?attribute=customer:42", "?has_parent=true",
         "?since=2026-01-01", "?ascending=true"),
    "/errors": ("/errors?period=30d", "/errors?function=f7"),
    "/queues": ("/queues",),
    "/schedules": ("/schedules",),
    "/functions": ("/functions",),
    "/instances": ("/instances",),
    "/held": ("/held",),
    "/acts": ("/acts", "/acts?workflow=w1", "/acts?verb=pause"),
    "/bulks": ("/bulks",),
    "/commands": ("/commands",),
    "/schedules/do/{verb}": ("/schedules/do/create",),
    "/workflows/{workflow_id}": ("/workflows/w1", "/workflows/w1?from=39801", "/workflows/w1?step=777"),
    "/workflows/{workflow_id}/steps": ("/workflows/w1/steps?from=20001",),
    "/workflows/{workflow_id}/commands": ("/workflows/w1/commands",),
    "/workflows/{workflow_id}/value/{member}": ("/workflows/w1/value/output",),
    "/workflows/{workflow_id}/do/{verb}": ("/workflows/w1/do/fork",),
    "/queues/{name}": ("/queues/q1",),
    "/queues/{name}/do/{verb}": ("/queues/q1/do/set",),
    "/schedules/{name}": ("/schedules/s1",),
    "/schedules/{name}/do/{verb}": ("/schedules/s1/do/trigger",),
    "/functions/{function}": ("/functions/f7",),
    "/bulks/{bulk_id}": (f"/bulks/{rows.BULK}",),
}  # fmt: skip
"""Addresses of each view. What isn't here does a verb, for a trial: `/bulk`."""
STEPS = 85_000
MOST = {
    "?status=ERROR&function=f7": 35_000,  # what has the one of two indexes, and what has the other
    "?waiting_on=held": 45_000,  # what is open
    "/errors?period=30d": 60_000,  # 1,000 of each of a hundred causes
    "/functions": 60_000,  # 200 of each of a hundred functions, and what is open
    "/functions/f7": 15_000,
    "/held": 25_000,  # what is open, of which 5,000 are counted
    "/workflows/w1": STEPS,  # all of its own 40,000 steps: once for a block of them, once for the last one
    "/workflows/w1?from=39801": STEPS,
    "/workflows/w1?step=777": STEPS,
    "/workflows/w1/steps?from=20001": STEPS,
}
"""What an address reads, if that is more than PAGE: never what there is in all."""
PAGE = 5_000
LARGE = ("workflow_status", "operation_outputs", "messages", "acts", "bulk_items")


class Read(NamedTuple):
    """What was read: scans of large tables from beginning to end, entries of indexes, rows of tables."""

    scans: int
    entries: int
    rows: int

    @classmethod
    def so_far(cls, connection: psycopg.Connection[Any]) -> Read:
        found = connection.execute(
            """
            select
              (select sum(seq_scan) from pg_stat_user_tables where relname = any(%s)),
              (select sum(idx_tup_read) from pg_stat_user_indexes),
              (select sum(seq_tup_read + idx_tup_fetch) from pg_stat_user_tables)
            """,
            [list(LARGE)],
        ).fetchone()
        assert found is not None
        return cls(*map(int, found))

    def since(self, before: Read) -> Read:
        return Read(*(now - then for now, then in zip(self, before, strict=True)))


class Reading(NamedTuple):
    """An application whose only connection says what it has read."""

    project: Project
    pool: Pool

    async def told(self) -> None:
        async with self.pool.connection() as connection:
            await connection.execute("select pg_stat_force_next_flush()")


@pytest.fixture
async def reading(database: str) -> AsyncIterator[Reading]:
    pool = Pool(Database.at(database, "tests"), 1)
    yield Reading(Project(PostgresWorkflows(pool)), pool)
    await pool.close()


def test_every_view_is_in_this_table() -> None:
    assert {each.path for each in VIEWS if each.method == "GET"} - {"/bulk"} == PAGES.keys()


@pytest.mark.parametrize("size", [3_000, pytest.param(1_000_000, marks=pytest.mark.long)])
@pytest.mark.timeout(900)
async def test_a_view_reads_a_page(reading: Reading, database: str, size: int) -> None:
    found: dict[str, Read] = {}
    with psycopg.connect(database, autocommit=True) as connection:
        rows.fill(connection, size)
        if size < 1_000_000:  # so small a table is read from its beginning if it may
            connection.execute(f"alter database {connection.info.dbname} set enable_seqscan = off".encode())
        # What filling has read is counted before the first address is asked for.
        connection.execute("select pg_stat_force_next_flush()")
        async with reading.project.client() as client:
            client.headers["accept"] = "text/html"
            for address in chain(*PAGES.values()):
                await reading.told()
                before = Read.so_far(connection)
                answer = await client.get(f"{DASHBOARD}{address}")
                assert answer.status_code == 200, (address, answer.text)
                await reading.told()
                read = Read.so_far(connection).since(before)
                if read.scans or max(read.entries, read.rows) > MOST.get(address, PAGE):
                    found[address] = read
    assert found == {}
