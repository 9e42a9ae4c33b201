"""What is held is claimed by nobody, whatever wakes it; free again, it goes on."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from outlast.core.claims import Room
from outlast.core.holds import Hold, HoldsSeen
from outlast.store.postgres import PostgresStore
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
        plain = await store.instances.claim(Room(["f"], 10, 10))
        queued = await store.instances.claim_queued(Room(["f"], 10, 10))
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
    busy = "select outlast.queue_busy(q, now()) from outlast.queues q where q.name = 'mail'"
    assert not one(connection, busy)
    connection.execute("update outlast.workflow_status set held = null where workflow_id = 'x'")
    assert one(connection, busy)


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


# --- held by code, and freed by other code -----------------------------------------------------------------

DETAIL = {"reason": "non_determinism", "since": "2026-11-29T06:00:00+00:00", "message": "step 4", "step": "4"}


@contextlib.asynccontextmanager
async def instance(url: str, name: str, version: str | None) -> AsyncIterator[PostgresStore]:
    """One that serves `f` in that version; None: it serves nothing."""
    async with store_of(url, name) as store:
        await store.instances.beat(60.0)
        await look(store, version)
        yield store


async def look(
    store: PostgresStore, version: str | None, *, grace_s: float = 1e9, days: float = 0.0
) -> HoldsSeen:
    return await store.holds.look({} if version is None else {"f": version}, grace_s, days)


async def hold(store: PostgresStore, version: str, epoch: int = 1) -> dict[str, bool]:
    """Whether `w` is held by it."""
    return await store.holds.hold([("w", epoch, Hold({**DETAIL, "version": version}))])


async def gets(store: PostgresStore) -> list[str]:
    return [each.workflow_id for each in (await store.instances.claim(Room(["f"], 10, 10))).workflows]


def held(connection: Connection[Any]) -> Any:
    return one(connection, "select held from outlast.workflow_status where workflow_id = 'w'")


async def test_it_is_held_where_nobody_has_other_code_and_freed_by_other_code_alone(
    connection: Connection[Any], supabase_database: str
) -> None:
    add(connection, "w", status="PENDING", owner="a", epoch=1, claimable_at=None)
    async with instance(supabase_database, "a", "1") as a:
        assert await hold(a, "1", epoch=7) == {}  # it is not that one's any more
        assert await hold(a, "1") == {"w": True}
        assert held(connection)["step"] == "4"
        assert (await look(a, "1")).freed == 0
        assert await gets(a) == []
        async with instance(supabase_database, "same", "1"), instance(supabase_database, "none", None):
            assert held(connection)["step"] == "4"
        async with instance(supabase_database, "b", "2") as b:
            assert held(connection) is None
            # Freed for the other code: this one would only hold it again.
            assert await gets(a) == []
            assert await gets(b) == ["w"]


async def test_it_goes_to_the_right_version_beside_the_wrong_one(
    connection: Connection[Any], supabase_database: str
) -> None:
    add(connection, "w", status="PENDING", owner="new", epoch=1, claimable_at=None)
    async with instance(supabase_database, "new", "2") as new, instance(supabase_database, "old", "1") as old:
        assert await hold(new, "2") == {"w": False}
        assert held(connection) is None
        assert await gets(new) == []
        assert await gets(old) == ["w"]


async def test_two_wrong_versions_leave_it_alone(connection: Connection[Any], supabase_database: str) -> None:
    add(connection, "w", status="PENDING", owner="a", epoch=1, claimable_at=None)
    async with instance(supabase_database, "a", "1") as a, instance(supabase_database, "b", "2") as b:
        assert await hold(a, "1") == {"w": False}
        assert await gets(b) == ["w"]
        assert await hold(b, "2", epoch=2) == {"w": True}
        assert (await look(a, "1")).freed == (await look(b, "2")).freed == 0


async def test_in_a_queue_too_only_what_fits_claims_it(
    connection: Connection[Any], supabase_database: str
) -> None:
    add(connection, "w", held=None, misfits=json.dumps({"2": DETAIL}), **PLACES["queued"])
    async with instance(supabase_database, "new", "2") as new, instance(supabase_database, "old", "1") as old:
        assert (await new.instances.claim_queued(Room(["f"], 10, 10))).workflows == []
        assert [
            each.workflow_id for each in (await old.instances.claim_queued(Room(["f"], 10, 10))).workflows
        ] == ["w"]


async def test_what_nobody_can_run_is_held_after_a_while(
    connection: Connection[Any], supabase_database: str
) -> None:
    add(connection, "w", status="PENDING", misfits=json.dumps({"2": DETAIL}))
    add(connection, "x", status="PENDING", function="gone")
    add(connection, "y", status="PENDING", function="gone", claimable_at="infinity")
    add(connection, "z", status="PENDING")
    async with instance(supabase_database, "new", "2") as new:
        assert (await look(new, "2")).held == []
        seen = await look(new, "2", grace_s=15.0)
        found = {each.workflow_id: each.detail["reason"] for each in seen.held}
        assert found == {"w": "non_determinism", "x": "function_missing"}
        assert seen.counts == {"non_determinism": 1, "function_missing": 1}
        assert (await new.holds.look({"f": "2", "gone": "1"}, 1e9, 0.0)).freed == 1


async def test_a_pause_is_not_freed_by_code_and_never_ends(
    connection: Connection[Any], supabase_database: str
) -> None:
    add(connection, "w", held=PAUSED, status="PENDING")
    async with instance(supabase_database, "a", "1") as a:
        seen = await look(a, "1", days=1e-9)
        assert (seen.freed, seen.ended) == (0, 0)


async def test_what_was_held_too_long_ends_as_an_error(
    connection: Connection[Any], supabase_database: str
) -> None:
    add(connection, "w", held=json.dumps(DETAIL), status="PENDING", misfits=json.dumps({"1": DETAIL}))
    connection.execute(
        "update outlast.workflow_status"
        " set held = jsonb_set(held::jsonb, '{since}', to_jsonb(now() - interval '29 days'))"
    )
    async with instance(supabase_database, "a", "1") as a:
        assert (await look(a, "1", days=30.0)).ended == 0
        assert (await look(a, "1", days=28.0)).ended == 1
    status, error = one(connection, "select status, error from outlast.workflow_status")
    assert (status, error["code"], error["held"]["step"]) == ("ERROR", "non_determinism", "4")


def test_who_waits_for_what_is_given_up_while_it_undoes_is_told(connection: Connection[Any]) -> None:
    """Of its cancel has been told before."""
    add(connection, "w", held=DIVERGED, saga="undoing", status="PENDING", awaited=True, untold=False)
    awaits = json.dumps({"mail": 0, "topics": [], "ends": ["w"], "of": 1})
    add(connection, "waiter", status="PENDING", claimable_at="2096-01-01T00:00:00Z", awaits=awaits)
    connection.execute("insert into outlast.waits (target, waiter) values ('w', 'waiter')")
    assert one(connection, "select outlast.end_held(1, 10)") == 1
    due = "select claimable_at <= now() from outlast.workflow_status where workflow_id = 'waiter'"
    assert one(connection, due)


@pytest.mark.parametrize(
    ("held", "saga", "stays"),
    [
        (DIVERGED, None, None),
        (PAUSED, None, None),
        (PAUSED, "open", None),
        (PAUSED[:-1] + f', "over": {DIVERGED}}}', "open", DIVERGED),
        (DIVERGED, "open", DIVERGED),
    ],
)
async def test_what_is_cancelled_is_held_no_more(
    connection: Connection[Any], held: str, saga: str | None, stays: str | None
) -> None:
    add(connection, "w", held=held, saga=saga, status="PENDING")
    connection.execute("select from outlast.cancel_workflow('w')")
    found = "select status, held from outlast.workflow_status"
    expected = "CANCELLED" if saga is None else "PENDING"
    assert connection.execute(found).fetchone() == (expected, stays and json.loads(stays))
    if saga is None:
        connection.execute("select outlast.end_held(1, 10)")
        assert connection.execute(found).fetchone() == (expected, None)


async def test_a_look_tells_what_it_runs_and_frees_what_that_may_fit(
    connection: Connection[Any], supabase_database: str
) -> None:
    add(connection, "w", held=json.dumps(DETAIL), status="PENDING", misfits=json.dumps({"1": DETAIL}))
    async with store_of(supabase_database, "b") as b:
        await b.instances.beat(60.0)
        seen = await b.holds.look({"f": "2"}, 15.0, 30.0)
        assert (seen.freed, seen.held, seen.ended, seen.counts) == (1, [], 0, {})
        assert await gets(b) == ["w"]
