"""What is held is claimed by nobody, whatever wakes it; free again, it goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from tests.callers import as_user, one
from tests.store.harness import store_of

PAUSED = json.dumps({"reason": "paused", "by": "ann", "why": "a look", "since": "2026-11-29T06:00:00Z"})
DIVERGED = json.dumps({"reason": "non_determinism", "step": "4", "since": "2026-11-29T06:00:00Z"})
ADA = {"sub": "ada", "role": "authenticated"}
QUEUED = "select claimed from outlast.claim_queued('me', '{f}', 10, 1, 3, 1000000, true, 1000, 1000000, true)"
PLACES: dict[str, dict[str, Any]] = {
    "due": {"status": "PENDING"},
    "suspect": {"status": "PENDING", "recovery_attempts": 5},
    "queued": {"status": "ENQUEUED", "queue": "mail", "rank": "2026-01-01T00:00:00Z"},
    "unranked": {"status": "ENQUEUED", "queue": "mail"},
    "woken in a queue": {"status": "PENDING", "queue": "mail", "started_at": "2026-01-01T00:00:00Z"},
}


@pytest.fixture
def connection(supabase_database: str) -> Iterator[Connection[Any]]:
    with psycopg.connect(supabase_database, autocommit=True) as connection:
        connection.execute("insert into outlast.queues (name) values ('mail')")
        yield connection


def add(connection: Connection[Any], workflow_id: str, **columns: Any) -> None:
    """One of Ada's that is due."""
    row = {"workflow_id": workflow_id, "function": "f", "claimable_at": "2026-01-01T00:00:00Z"}
    row |= {"subject": "ada", "input": "{}", **columns}
    names, places = ", ".join(row), ", ".join(f"%({each})s" for each in row)
    connection.execute(f"insert into outlast.workflow_status ({names}) values ({places})".encode(), row)


async def claimed(url: str) -> set[str]:
    """What an instance gets, outside queues and in them."""
    async with store_of(url) as store:
        await store.instances.beat(10.0)
        plain = await store.instances.claim(["f"], 10, 10)
        queued = await store.instances.claim_queued(["f"], 10, 10)
        return {each.workflow_id for each in [*plain.workflows, *queued.workflows]}


@pytest.mark.parametrize("place", PLACES)
async def test_what_is_held_is_claimed_only_once_it_is_free(
    connection: Connection[Any], supabase_database: str, place: str
) -> None:
    add(connection, "w", held=PAUSED, **PLACES[place])
    assert await claimed(supabase_database) == set()
    connection.execute("update outlast.workflow_status set held = null")
    assert await claimed(supabase_database) == {"w"}


async def test_what_wakes_it_leaves_it_held(connection: Connection[Any], supabase_database: str) -> None:
    add(connection, "w", held=DIVERGED, status="PENDING", awaits='{"topics": ["t"]}', claimable_at="infinity")
    connection.execute("select outlast.send('w', '1'::json, 't')")
    async with store_of(supabase_database) as store:
        await store.messages.deliver()
    ((due, held),) = connection.execute(
        "select claimable_at <= now(), held is not null from outlast.workflow_status"
    )
    assert due
    assert held
    assert await claimed(supabase_database) == set()


def test_a_queue_with_nothing_but_held_ones_has_nothing_to_decide(connection: Connection[Any]) -> None:
    add(connection, "w", held=PAUSED, **PLACES["queued"])
    add(connection, "x", held=PAUSED, **PLACES["unranked"])
    assert not one(connection, "select outlast.queue_busy('mail', now())")
    connection.execute("update outlast.workflow_status set held = null where workflow_id = 'x'")
    assert one(connection, "select outlast.queue_busy('mail', now())")


def test_a_held_one_does_not_keep_its_key_from_the_others(connection: Connection[Any]) -> None:
    connection.execute("""update outlast.queues set base = '{"exclusive": true}'""")
    add(connection, "w", held=PAUSED, **PLACES["queued"])
    add(connection, "x", **{**PLACES["queued"], "rank": "2026-01-02T00:00:00Z"})
    assert [each["workflow_id"] for each in one(connection, QUEUED)] == ["x"]


def test_of_a_key_the_held_one_is_passed_by(connection: Connection[Any]) -> None:
    add(connection, "w", held=PAUSED, **PLACES["queued"])
    add(connection, "x", **{**PLACES["queued"], "rank": "2026-01-02T00:00:00Z"})
    assert [each["workflow_id"] for each in one(connection, QUEUED)] == ["x"]


def test_what_is_held_does_not_expire(connection: Connection[Any]) -> None:
    connection.execute("""update outlast.queues set base = '{"start_within": 1}'""")
    add(connection, "w", held=PAUSED, **PLACES["unranked"])
    add(connection, "x", **PLACES["unranked"])
    one(connection, QUEUED)
    rows = connection.execute("select workflow_id, status from outlast.workflow_status order by 1").fetchall()
    assert rows == [("w", "ENQUEUED"), ("x", "CANCELLED")]


@pytest.mark.parametrize(
    ("held", "whole", "owners"),
    [
        (PAUSED, "paused by ann, since 2026-11-29T06:00:00Z: a look", "paused"),
        (DIVERGED, "held: non_determinism at step 4", "held"),
    ],
)
def test_why_it_is_held_is_told(connection: Connection[Any], held: str, whole: str, owners: str) -> None:
    add(connection, "w", held=held, status="PENDING")
    assert one(connection, "select outlast.waiting_on('w')") == whole
    with as_user(connection, ADA, "authenticated"):
        assert one(connection, "select outlast.waiting_on('w')") == owners
