"""What absorbs a call, or has it attached: what is the same caller's, and has nothing behind it yet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import Connection

ENQUEUE = """
select outcome, target from outlast.enqueue(
  %s, 'f', %s, null, null, null, %s, %s, 'q', null, 0, 0, null, null, null, null, null)
"""
SECRET = {"role": "service_role", "outlast": {"mode": "secret", "key": None}}
PUBLISHABLE = {"role": "anon", "outlast": {"mode": "publishable", "key": None}}
DEBOUNCE = {"debounce": {"quiet": 60.0, "at_most": 600.0}}


class Queue:
    """A queue `q`, whose keys are texts of inputs."""

    def __init__(self, connection: Connection[Any]) -> None:
        self.connection = connection

    def declare(self, **options: Any) -> None:
        base = json.dumps({"key": "key", **options})
        self.connection.execute("insert into outlast.queues (name, base) values ('q', %s)", (base,))

    def call(self, workflow_id: str, claims: dict[str, Any] | None, n: int = 1) -> tuple[str, str | None]:
        """How it came in, and the workflow that it is told of."""
        given = (workflow_id, json.dumps({"key": "k", "n": n}))
        subject = (claims or {}).get("sub")
        recorded = None if claims is None else json.dumps(claims)
        ((outcome, target),) = self.connection.execute(ENQUEUE, (*given, subject, recorded)).fetchall()
        return outcome, target

    def row(self, workflow_id: str) -> tuple[int, Any]:
        """The input's number, and the claims."""
        query = "select (input ->> 'n')::integer, claims from outlast.workflow_status where workflow_id = %s"
        ((n, claims),) = self.connection.execute(query, (workflow_id,)).fetchall()
        return n, claims

    def set(self, change: str) -> None:
        self.connection.execute(f"update outlast.workflow_status set {change}".encode())


@pytest.fixture
def q(database: str) -> Iterator[Queue]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield Queue(connection)


def user(name: str, **claims: Any) -> dict[str, Any]:
    return {"sub": name, "role": "authenticated", **claims}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (SECRET, PUBLISHABLE),
        (PUBLISHABLE, SECRET),
        (SECRET, None),
        (user("ada"), user("eve")),
        (user("ada"), user("ada", role="admin")),
        (user("ada"), PUBLISHABLE),
    ],
)
def test_no_call_is_absorbed_by_that_of_another_caller(q: Queue, first: Any, second: Any) -> None:
    q.declare(**DEBOUNCE)
    assert q.call("a", first, 1)[0] == "started"
    assert q.call("b", second, 2)[0] == "started"
    assert q.row("a") == (1, first)
    assert q.row("b") == (2, second)


@pytest.mark.parametrize("first", [SECRET, PUBLISHABLE, None, user("ada", aal="aal2")])
def test_what_absorbs_calls_runs_with_the_rights_of_the_last_one(q: Queue, first: Any) -> None:
    q.declare(**DEBOUNCE)
    last = user("ada", aal="aal1") if first and "sub" in first else first
    assert q.call("a", first, 1)[0] == "started"
    assert q.call("b", last, 2) == ("attached", "a")
    assert q.row("a") == (2, last)


@pytest.mark.parametrize(
    "change",
    [
        "generation = 2",  # it was retried, and has records
        "forked_from = 'x'",
        """held = '{"reason": "paused"}'""",
    ],
)
def test_what_has_begun_once_or_is_held_absorbs_nothing(q: Queue, change: str) -> None:
    q.declare(**DEBOUNCE)
    q.call("a", SECRET, 1)
    q.set(change)
    assert q.call("b", SECRET, 2)[0] == "started"
    assert q.row("a")[0] == 1


@pytest.mark.parametrize("on_busy", ["attach", "skip"])
@pytest.mark.parametrize(("first", "second"), [(SECRET, PUBLISHABLE), (user("ada"), user("eve"))])
def test_of_another_callers_workflow_nothing_is_told(q: Queue, on_busy: str, first: Any, second: Any) -> None:
    q.declare(on_busy=on_busy, exclusive=True)
    q.call("a", first)
    q.set("status = 'PENDING'")
    assert q.call("b", second) == ("queue_busy", None)
    assert q.call("c", first) == ("attached" if on_busy == "attach" else "queue_busy", "a")


@pytest.mark.parametrize("on_busy", ["attach", "skip"])
@pytest.mark.parametrize("change", ["rank = rank", "rank = null, generation = 2"])
@pytest.mark.parametrize("second", [SECRET, PUBLISHABLE])
def test_what_waits_for_its_turn_is_there(q: Queue, on_busy: str, change: str, second: Any) -> None:
    """Whoever asks, and ranked or not: what was retried isn't before the queue's next decision."""
    q.declare(on_busy=on_busy, exclusive=True)
    q.call("a", SECRET)
    q.set(change)
    own = (("attached" if on_busy == "attach" else "queue_busy"), "a")
    assert q.call("b", second) == (own if second is SECRET else ("queue_busy", None))


@pytest.mark.parametrize("change", ["rank = rank", "rank = null, generation = 2"])
def test_what_waits_for_its_turn_is_replaced(q: Queue, change: str) -> None:
    q.declare(on_busy="replace", exclusive=True)
    q.call("a", SECRET)
    q.set(change)
    assert q.call("b", SECRET) == ("started", None)
    found = "select workflow_id, status from outlast.workflow_status order by workflow_id"
    assert q.connection.execute(found.encode()).fetchall() == [("a", "CANCELLED"), ("b", "ENQUEUED")]


def test_callers_without_a_user_are_not_told_each_others_ids(q: Queue) -> None:
    """Such an id holds the key of its call, by which its caller is known."""
    q.declare(on_busy="skip", exclusive=True)
    q.call("a", PUBLISHABLE)
    q.set("status = 'PENDING'")
    assert q.call("b", PUBLISHABLE) == ("queue_busy", None)


@pytest.mark.parametrize("option", ["drop", "debounce", "on_busy"])
def test_a_queue_with_a_door_is_bounded_as_any_other(q: Queue, option: str) -> None:
    options = {"drop": {"n": 1000, "per": 60.0}, "on_busy": "skip", **DEBOUNCE}
    q.declare(**{option: options[option]})
    q.connection.execute("update outlast.queues set backlog = 1000000 where name = 'q'")
    assert q.call("a", SECRET)[0] == "queue_full"


def delayed(q: Queue, workflow_id: str, delay_s: float) -> str:
    """How a call with a delay comes in."""
    query = ENQUEUE.replace("0, 0,", f"0, {delay_s},")
    ((outcome, _),) = q.connection.execute(
        query.encode(), (workflow_id, '{"key": "k"}', None, None)
    ).fetchall()
    return str(outcome)


def begins_in(q: Queue, workflow_id: str) -> float:
    """Seconds until it may begin, about."""
    query = """select extract(epoch from claimable_at - clock_timestamp())::float8
        from outlast.workflow_status where workflow_id = %s"""
    ((seconds,),) = q.connection.execute(query, (workflow_id,)).fetchall()
    return round(seconds, -1)


def test_a_delay_is_kept_by_calls_of_a_key(q: Queue) -> None:
    q.declare(**DEBOUNCE)
    assert delayed(q, "w", 3600) == "started"
    assert begins_in(q, "w") == 3660
    assert delayed(q, "a", 3600) == "attached"
    assert begins_in(q, "w") == 3600
    assert delayed(q, "b", 0) == "attached"  # the last one wins: once it was quiet
    assert begins_in(q, "w") == 60
    q.set("created_at = created_at - interval '1 hour'")
    assert delayed(q, "c", 0) == "attached"  # `at_most` is over, and puts nothing before what it was
    assert begins_in(q, "w") == 60


@pytest.mark.parametrize("on_busy", ["attach", "skip", "replace"])
def test_what_has_a_delay_is_not_there_yet(q: Queue, on_busy: str) -> None:
    q.declare(on_busy=on_busy, exclusive=True)
    assert q.call("runs", None) == ("started", None)
    assert delayed(q, "later", 3600) == "started"
    q.set("status = 'PENDING', rank = null, claimable_at = null, owner = 'me' where workflow_id = 'runs'")
    assert delayed(q, "later still", 3600) == "started"
    ((status,),) = q.connection.execute(
        "select status from outlast.workflow_status where workflow_id = 'runs'"
    )
    assert status == "PENDING"


def test_a_key_is_found_among_many_that_wait(q: Queue) -> None:
    """By indexes of its own, also with a plan and statistics of when the table was empty."""
    q.declare(**DEBOUNCE)
    assert q.call("first", None) == ("started", None)
    q.connection.execute(
        """insert into outlast.workflow_status
          (workflow_id, function, status, input, queue, queue_key, claimable_at)
        select 'w' || i, 'f', 'ENQUEUED', '{}', 'q', 'k' || i, now() + interval '1 hour'
        from generate_series(1, 3000) i"""
    )
    q.connection.execute(
        """insert into outlast.workflow_status (workflow_id, function, status, input, completed_at)
        select 'e' || i, 'f', 'SUCCESS', '{}', now() from generate_series(1, 3000) i"""
    )
    read = """select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables
        where relname = 'workflow_status'"""
    with q.connection.transaction():
        ((before,),) = q.connection.execute(read).fetchall()
        assert q.call("second", None) == ("attached", "first")
        ((after,),) = q.connection.execute(read).fetchall()
    assert after - before < 100
