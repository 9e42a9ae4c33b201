"""What instances ask again and again reads indexes, whatever the table's statistics say.

The worst moment: the statistics are of a time when all rows waited, and now all have ended. A search that may
begin anywhere would begin at the front of the table, and read all of it.
"""

from __future__ import annotations

import re
from time import monotonic
from typing import Any

import psycopg
import pytest

from outlast import Queue, context, map_, receive, send, start, workflow
from outlast.store.queries import load
from outlast.store.wake import wake_migration
from tests.engine.harness import engine_on

ROWS = 4_000
# Without what needs the extensions: no job is made, nothing is asked over HTTP.
WAKE = wake_migration("https://example.com", 60).partition("revoke all on function outlast.wake_host")[0]
WAITING = {
    "in a queue": "queue = 'q', claimable_at = now(), rank = now()",
    "in a queue, not ready": "queue = 'q', claimable_at = now()",
    "in a queue, running": "queue = 'q', status = 'PENDING', owner = 'gone'",
    "of a map": "queue = 'm', parent = 'm', claimable_at = now(), rank = now()",
    "of a map, running": "queue = 'm', parent = 'm', status = 'PENDING', owner = 'gone'",
    "in no queue": "claimable_at = now()",
    "untold": "parent = 'm', status = 'SUCCESS', untold = true, completed_at = now()",
    "untold, stopping": "status = 'PENDING', untold = true, saga = 'stopping', owner = 'gone'",
    "members of a batch": "status = 'PENDING', batch = 'b', batch_place = 1, owner = 'gone'",
    "held": """held = '{"reason": "paused", "instance": "me"}', claimable_at = now()""",
}
FILL = """
insert into outlast.workflow_status (workflow_id, function, status, input)
select 'w' || i, 'f', 'ENQUEUED', '{}' from generate_series(1, %s) i
"""
END = """
update outlast.workflow_status
set status = 'SUCCESS', completed_at = now(), owner = null, claimable_at = null, rank = null, untold = false,
    saga = null, batch = null, held = null
where workflow_id like 'w%'
"""
MAP = """
insert into outlast.workflow_status (workflow_id, function, status, input, map)
values ('m', 'f', 'PENDING', '{}', '{"stopped": false, "tolerate": 0, "on_fail": "drain"}')
"""
CLAIM = load("instances.sql")["claim"].as_string(None)
GIVEN = {
    **dict.fromkeys(re.findall(r"%\((\w+)\)s", CLAIM), 1),
    "instance": "me",
    "refused": [],
    "functions": ["f"],
    "strict": True,
    "alone": True,
    "large_alone": True,
}
WAIT_S = 20.0
POLLS = (
    "select outlast.queues_busy()",
    "select outlast.ends_untold()",
    "select outlast.tell_untold()",
    "select outlast.deliver(500, '{}')",
    "select outlast.stop_maps()",
    "select outlast.look_at_map('m')",
    "select outlast.stops_of('me')",
    "select outlast.claim_queued('me', array['f'], 10, 1, 3, 1000000, true, 1000, 1000000, true)",
    "select outlast.enqueue('n', 'f', '{}', null, null, null, null, null, 'q', 'k', 0, 0, null, null, null,"
    " null, null)",
    "select outlast.wake_host()",
)


@workflow(queue=Queue("q2", concurrency=2))
async def item(number: int) -> int:
    return number


@workflow
async def mapped(number: int) -> int:
    return number


@workflow
async def parent() -> None:
    """Children in a queue, a map, messages: what is asked beside the journal."""
    child = await start(item, 1)
    await child.result()
    assert len(await map_(mapped, [1, 2, 3])) == 3
    await send(context().workflow_id, "now")
    await receive()


@pytest.mark.parametrize("waiting", WAITING)
def test_no_poll_reads_the_table_from_its_beginning(database: str, waiting: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(WAKE.encode())
        end_all_that_waited(connection, waiting)
        for poll in POLLS:
            assert scans_of(connection, poll) == 0, poll
        assert scans_of(connection, CLAIM, GIVEN) == 0


@pytest.mark.parametrize("waiting", WAITING)
async def test_no_instance_reads_the_table_from_its_beginning(database: str, waiting: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        end_all_that_waited(connection, waiting)
        before = scans_in_all(connection)
        async with engine_on(database, item, mapped, parent) as bench:
            await bench.run(parent)
            await bench.at_rest()
        assert scans_in_all(connection) == before


def end_all_that_waited(connection: psycopg.Connection[Any], waiting: str) -> None:
    """All workflows wait in one way while the table is analyzed, and then end."""
    options = """{"concurrency": 5, "exclusive": true, "key": "k"}"""
    connection.execute("insert into outlast.queues (name, base) values ('q', %s)", (options,))
    others = "insert into outlast.queues (name) select n from unnest(array['a', 'b', 'c', 'x/map.1']) n"
    connection.execute(others)
    connection.execute(MAP)
    connection.execute(FILL, (ROWS,))
    connection.execute(f"update outlast.workflow_status set {WAITING[waiting]} where map is null".encode())
    connection.execute("vacuum analyze outlast.workflow_status")
    connection.execute(END)


def scans_in_all(connection: psycopg.Connection[Any]) -> int:
    """The scans of all sessions, once the others have ended: then they have told what they counted."""
    others = (
        "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    )
    ends = monotonic() + WAIT_S
    while connection.execute(others).fetchall() != [(0,)]:
        assert monotonic() < ends, "a session of the engine has not ended"
    connection.execute("select pg_stat_force_next_flush()")
    counted = "select seq_scan from pg_stat_user_tables where relname = 'workflow_status'"
    ((scans,),) = connection.execute(counted).fetchall()
    return int(scans)


def scans_of(connection: psycopg.Connection[Any], query: str, given: dict[str, Any] | None = None) -> int:
    """How often the query reads the whole table of workflows, by an index perhaps."""
    counted = "select seq_scan, idx_tup_fetch from pg_stat_xact_user_tables where relname = 'workflow_status'"
    with connection.transaction(force_rollback=True):
        # Those of earlier transactions that the server has not yet written down count too.
        ((before, fetched_before),) = connection.execute(counted).fetchall()
        connection.execute(query.encode(), given)
        ((after, fetched),) = connection.execute(counted).fetchall()
    return int(after - before) + int(fetched - fetched_before) // (ROWS // 2)


@pytest.mark.parametrize("poll", POLLS)
def test_a_plan_of_when_the_table_was_empty_reads_no_more_later(database: str, poll: str) -> None:
    """A session that asks from the beginning keeps the plans that it made then."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(WAKE.encode())
        connection.execute("insert into outlast.queues (name) select 'q' || n from generate_series(1, 5) n")
        for _ in range(10):
            with connection.transaction(force_rollback=True):
                connection.execute(poll.encode())
        connection.execute(FILL, (ROWS,))
        connection.execute(END)
        assert scans_of(connection, poll) == 0
