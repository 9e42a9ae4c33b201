"""`outlast.waiting_on`: why a workflow does not run; to the service in full, to its owner without others."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection

from outlast.core.resources import WAITS
from tests.callers import as_user, one

ADA = {"sub": "ada", "role": "authenticated"}
PAST = "2026-01-01T00:00:00Z"


@pytest.fixture
def connection(supabase_database: str) -> Iterator[Connection[Any]]:
    """A database with one instance that runs function `f`."""
    with psycopg.connect(supabase_database, autocommit=True) as connection:
        connection.execute(
            "insert into outlast.instances (instance_id, lease_until, functions)"
            " values ('me', now() + interval '1 hour', '{f}')"
        )
        yield connection


def declare(connection: Connection[Any], **base: Any) -> None:
    """Queue `mail`, whose key is a path."""
    options = json.dumps({"key": "customer", **base})
    connection.execute("insert into outlast.queues (name, base) values ('mail', %s)", (options,))


def add(connection: Connection[Any], workflow_id: str, **columns: Any) -> None:
    """A workflow of Ada's that is ready in `mail`."""
    row = {
        "workflow_id": workflow_id, "function": "f", "status": "ENQUEUED", "queue": "mail",
        "queue_key": "acme", "claimable_at": PAST, "rank": PAST, "owner": None, "subject": "ada",
        "started_at": None, **columns,
    }  # fmt: skip
    names, places = ", ".join(row), ", ".join(f"%({each})s" for each in row)
    connection.execute(f"insert into outlast.workflow_status ({names}) values ({places})".encode(), row)


def runs(connection: Connection[Any], workflow_id: str, **columns: Any) -> None:
    held = {"status": "PENDING", "owner": "me", "claimable_at": None, "rank": None, "started_at": PAST}
    add(connection, workflow_id, **{**held, **columns})


def started(connection: Connection[Any], seconds_ago: float, key: str = "acme") -> None:
    at = "insert into outlast.queue_starts values ('mail', %s, clock_timestamp() - make_interval(secs => %s))"
    connection.execute(at.encode(), (key, seconds_ago))


def reasons(connection: Connection[Any], workflow_id: str = "w") -> tuple[str | None, str | None]:
    """What the service and what the owner is told, with times as T and seconds as S."""
    told = []
    for claims, role in (({"role": "service_role"}, "service_role"), (ADA, "authenticated")):
        with as_user(connection, claims, role):
            text = one(connection, "select outlast.waiting_on(%s)", workflow_id)
        text = text and re.sub(r"\d{4}-[\dT:-]+Z", "T", text)
        told.append(text and re.sub(r"in \d+ s", "in S s", text))
    return told[0], told[1]


def test_what_runs_or_is_not_there_waits_on_nothing(connection: Connection[Any]) -> None:
    declare(connection)
    runs(connection, "w")
    add(connection, "over", status="SUCCESS", claimable_at=None, rank=None)
    for workflow_id in ("w", "over", "nowhere"):
        assert reasons(connection, workflow_id) == (None, None)


def test_others_are_told_nothing(connection: Connection[Any]) -> None:
    declare(connection)
    add(connection, "w", subject="bob")
    assert reasons(connection) == ("its turn in mail, since T", None)
    with as_user(connection, {"role": "anon"}, "anon"), pytest.raises(psycopg.errors.InsufficientPrivilege):
        one(connection, "select outlast.waiting_on('w')")


def test_its_turn_and_its_time(connection: Connection[Any]) -> None:
    declare(connection)
    add(connection, "w")
    assert reasons(connection) == ("its turn in mail, since T",) * 2
    connection.execute(
        "update outlast.workflow_status set claimable_at = now() + interval '1 hour', rank = null"
    )
    assert reasons(connection) == ("its time: T",) * 2
    connection.execute("update outlast.workflow_status set status = 'PENDING'")
    assert reasons(connection) == ("sleep, until T",) * 2
    connection.execute("update outlast.workflow_status set recovery_attempts = 2")
    assert reasons(connection) == ("recovery, attempt 2 at T",) * 2


def test_nobody_serves_it(connection: Connection[Any]) -> None:
    declare(connection, concurrency=1)
    add(connection, "w", function="g")
    runs(connection, "x")
    assert reasons(connection) == ("no instance serves g",) * 2
    connection.execute("update outlast.instances set functions = null")  # it has not told yet
    assert reasons(connection)[1] == "concurrency mail"


def test_a_queue_that_no_code_declares(connection: Connection[Any]) -> None:
    add(connection, "w")
    assert reasons(connection) == ("its turn in mail, since T",) * 2


def test_paused(connection: Connection[Any]) -> None:
    declare(connection)
    add(connection, "w")
    connection.execute("select outlast.pause_queue('mail', key => 'acme', why => 'bounces', by => 'ada')")
    assert reasons(connection) == ("paused by ada: bounces", "paused")
    connection.execute("select outlast.pause_queue('mail', by => 'bob')")
    assert reasons(connection) == ("paused by bob", "paused")
    connection.execute("select outlast.resume_queue('mail'), outlast.resume_queue('mail', key => 'acme')")
    assert reasons(connection) == ("its turn in mail, since T",) * 2


def test_concurrency_of_the_queue_of_the_key_and_of_an_instance(connection: Connection[Any]) -> None:
    declare(connection, concurrency=2, per_key=1, per_instance=2)
    add(connection, "w")
    runs(connection, "x", updated_at="2026-01-02T00:00:00Z")
    held = "held by x since T"
    assert reasons(connection) == (f"concurrency mail[acme] 1/1, {held}", "concurrency mail[acme]")
    runs(connection, "y", queue_key="other", updated_at="2026-01-03T00:00:00Z")
    connection.execute("update outlast.workflow_status set queue_key = 'third' where workflow_id = 'w'")
    assert reasons(connection) == (f"concurrency mail 2/2, {held}", "concurrency mail")
    connection.execute("select outlast.set_queue('mail', '{\"concurrency\": 9}')")
    assert reasons(connection) == ("per_instance mail 2/2 on each", "per_instance mail")
    connection.execute(
        "insert into outlast.instances (instance_id, lease_until) values ('other', now() + interval '1 hour')"
    )
    assert reasons(connection) == ("its turn in mail, since T",) * 2


def test_exclusive_is_held_by_who_began_then_by_who_came_first(connection: Connection[Any]) -> None:
    declare(connection, exclusive=True)
    add(connection, "w")
    add(connection, "first", rank="2025-01-01T00:00:00Z")
    assert reasons(connection) == ("exclusive mail[acme], held by first since T", "exclusive mail[acme]")
    assert reasons(connection, "first")[0] == "its turn in mail, since T"
    runs(connection, "asleep", owner=None, claimable_at="2126-01-01T00:00:00Z")
    for workflow_id in ("w", "first"):
        assert reasons(connection, workflow_id)[0] == "exclusive mail[acme], held by asleep since T"
    assert reasons(connection, "asleep")[0] == "sleep, until T"


def test_rates_say_when_the_next_may_begin(connection: Connection[Any]) -> None:
    declare(connection, rate={"n": 2, "per": 60.0}, rate_per_key={"n": 1, "per": 30})
    add(connection, "w")
    started(connection, 10, "other")
    assert reasons(connection) == ("its turn in mail, since T",) * 2
    started(connection, 5, "third")
    assert reasons(connection) == ("rate mail 2/60 s, next in S s", "rate mail")
    with as_user(connection, {"role": "service_role"}, "service_role"):
        assert "next in 50 s" in one(connection, "select outlast.waiting_on('w')")
    started(connection, 5)
    assert reasons(connection) == ("rate mail[acme] 1/30 s, next in S s", "rate mail[acme]")
    connection.execute("update outlast.workflow_status set status = 'PENDING'")  # it has begun before
    assert reasons(connection) == ("its turn in mail, since T",) * 2


def test_a_smooth_rate_is_one_at_a_time(connection: Connection[Any]) -> None:
    declare(connection, rate={"n": 60, "per": 3600, "smooth": True})
    add(connection, "w")
    started(connection, 10)
    with as_user(connection, {"role": "service_role"}, "service_role"):
        assert one(connection, "select outlast.waiting_on('w')") == "rate mail 60/3600 s, next in 50 s"
    connection.execute("update outlast.queue_starts set at = now() - interval '61 s'")
    assert reasons(connection)[0] == "its turn in mail, since T"


def test_a_limit_of_steps(connection: Connection[Any]) -> None:
    awaits = json.dumps({"mail": 2**62, "topics": [], "limits": ["api"]})
    add(connection, "w", queue=None, status="PENDING", claimable_at="2126-01-01T00:00:00Z", awaits=awaits)
    options = json.dumps({"concurrency": 1, "rate": {"n": 5, "per": 60.0}})
    assert reasons(connection) == ("limit api, asks again at T", "limit api")
    connection.execute("insert into outlast.queues (name, base) values ('step:api', %s)", (options,))
    assert reasons(connection) == ("limit api 5/60 s, asks again at T", "limit api")
    runs(connection, "x", queue=None, epoch=1)
    connection.execute("select outlast.take_limit('api', (select base from outlast.queues), 'x', 1, '1')")
    assert reasons(connection) == ("limit api 1/1, asks again at T", "limit api")
    connection.execute("select outlast.pause_queue('step:api', by => 'ada', why => 'w')")
    assert reasons(connection) == ("paused by ada: w", "paused")


FAULTY = [
    {"concurrency": "five"},
    {"per_key": 1e30},
    {"per_instance": [1]},
    {"rate": {"n": 0, "per": 1}},
    {"rate": {"n": 1, "per": "1e-400"}},
    {"rate_per_key": {"n": 1, "per": 1, "smooth": "perhaps"}},
    {"exclusive": 7},
    {"batch": {"n": 1e12, "wait": 1}},
]


@pytest.mark.parametrize("override", FAULTY)
def test_a_queue_whose_options_cannot_be_read_is_said_to_be_faulty(
    override: dict[str, Any], connection: Connection[Any]
) -> None:
    declare(connection)
    add(connection, "w")
    connection.execute("update outlast.queues set override = %s", (json.dumps(override),))
    whole, own = reasons(connection)
    assert whole is not None
    assert whole.startswith("fault mail: ")
    assert own == "fault mail"


def test_what_a_queue_said_of_its_fault_is_why_its_workflows_wait(connection: Connection[Any]) -> None:
    declare(connection)
    add(connection, "w")
    connection.execute("update outlast.queues set fault = 'so it is'")
    assert reasons(connection) == ("fault mail: so it is", "fault mail")
    connection.execute("select outlast.pause_queue('mail', by => 'ada')")
    assert reasons(connection) == ("paused by ada", "paused")


def test_a_limit_of_steps_that_cannot_be_read_is_faulty_too(connection: Connection[Any]) -> None:
    awaits = json.dumps({"mail": 2**62, "topics": [], "limits": ["api"]})
    add(connection, "w", queue=None, status="PENDING", claimable_at="2126-01-01T00:00:00Z", awaits=awaits)
    options = json.dumps({"concurrency": "one"})
    connection.execute("insert into outlast.queues (name, base) values ('step:api', %s)", (options,))
    whole, own = reasons(connection)
    assert (whole or "").startswith("fault api: ")
    assert own == "limit api"


# --- it says what the decision does -------------------------------------------------------------------

RATES = st.fixed_dictionaries(
    {"n": st.integers(1, 2), "per": st.just(60)}, optional={"smooth": st.booleans()}
)
LIMIT = st.one_of(
    st.tuples(st.just("concurrency"), st.integers(1, 4)),
    st.tuples(st.just("per_key"), st.integers(1, 2)),
    st.tuples(st.just("per_instance"), st.integers(1, 4)),
    st.tuples(st.just("exclusive"), st.just(True)),
    st.tuples(st.sampled_from(["rate", "rate_per_key"]), RATES),
)
LIMITS = st.lists(LIMIT, min_size=1, max_size=2).map(dict)
KEYS = st.sampled_from(["acme", "other", "third"])
ROWS = st.lists(
    st.tuples(KEYS, st.sampled_from(["ready", "woken", "runs", "asleep"])), min_size=1, max_size=6
)
STARTS = st.lists(st.tuples(KEYS, st.integers(0, 90)), max_size=4)
PAUSED = st.sampled_from([None, None, None, "acme", "mail"])
CLAIM = "select claimed from outlast.claim_queue('mail', 'me', '{f}', 99, 9, 3, 99999, true, 99, 99999, true)"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limits=LIMITS, rows=ROWS, starts=STARTS, paused=PAUSED)
def test_it_says_what_the_decision_does(
    limits: dict[str, Any],
    rows: list[tuple[str, str]],
    starts: list[tuple[str, int]],
    paused: str | None,
    connection: Connection[Any],
) -> None:
    with connection.transaction(force_rollback=True):
        declare(connection, **limits)
        for number, (key, state) in enumerate(rows):
            far = "2126-01-01T00:00:00Z"
            states: dict[str, dict[str, Any]] = {
                "ready": {},
                "woken": {"status": "PENDING", "started_at": PAST},
                "runs": {"status": "PENDING", "owner": "me", "claimable_at": None, "rank": None},
                "asleep": {"status": "PENDING", "claimable_at": far, "rank": None},
            }
            at = f"2026-01-01T00:00:{number:02}Z"
            ranked = {"rank": at, "claimable_at": at} if state in ("ready", "woken") else {}
            add(connection, str(number), queue_key=key, **{**ranked, **states[state]})
        for key, ago_s in sorted(starts, key=lambda each: -each[1]):
            started(connection, ago_s + 0.5, key)
        if paused is not None:
            alone = None if paused == "mail" else paused
            connection.execute("select outlast.pause_queue('mail', key => %s)", (alone,))
        told = "select workflow_id, outlast.waiting_on_as(workflow_id, true) from outlast.workflow_status"
        reasons = dict(connection.execute(told).fetchall())
        claimed = {each["workflow_id"] for each in one(connection, CLAIM)}
        for workflow_id in claimed:
            assert reasons[workflow_id].startswith("its turn in mail"), reasons[workflow_id]
        # All that may begin has begun: what is left waits for something else than its turn.
        left = connection.execute(told).fetchall()
        assert not [each for each in left if each[1] and each[1].startswith("its turn")], left


def test_a_bulk_takes_the_words_that_a_list_takes(connection: Connection[Any]) -> None:
    for word in WAITS:
        connection.execute("select outlast.bulk('cancel', %s::jsonb)", (json.dumps({"waiting_on": word}),))
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="waiting_on must be one of") as caught:
        connection.execute("""select outlast.bulk('cancel', '{"waiting_on": "foo"}')""")
    told = str(caught.value).partition("one of ")[2].partition(", not foo")[0]
    assert re.split(", | and ", told) == list(WAITS)
