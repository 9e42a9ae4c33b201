"""What operators do to queues, by SQL: limits, pause, resume, drain; and what is shown of them."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection, errors

from outlast.core.queues import OPTIONS, check_option, check_together
from outlast.core.resources import COUNTED_MAX, QUEUES
from outlast.core.verbs import SET_QUEUE
from outlast.store.queries import load
from outlast.store.workflows import PostgresWorkflows
from tests.callers import one
from tests.store.harness import store_of

BASE = {"key": "customer", "concurrency": 5, "max_backlog": 100_000}


@pytest.fixture
def connection(database: str) -> Iterator[Connection[Any]]:
    """A database with queues `mail`, which has a key, and `plain`, which drops; and a limit of steps."""
    limit = ("step:api", {"concurrency": 2})
    with psycopg.connect(database, autocommit=True) as connection:
        for name, base in (("mail", BASE), ("plain", {"drop": {"n": 5, "per": 1}}), limit):
            connection.execute(
                "insert into outlast.queues (name, base) values (%s, %s)", (name, json.dumps(base))
            )
        yield connection


@pytest.fixture
async def workflows(database: str, connection: Connection[Any]) -> AsyncIterator[PostgresWorkflows]:
    async with store_of(database) as store:
        yield store.workflows


def queue(connection: Connection[Any], name: str = "mail") -> dict[str, Any]:
    return one(connection, "select to_json(q) from outlast.queues q where name = %s", name)


def change(connection: Connection[Any], changes: Any, name: str = "mail", **more: Any) -> None:
    named = "".join(f", {each} => %({each})s" for each in more)
    query = f"select outlast.set_queue(%(name)s, %(changes)s::jsonb{named})"
    connection.execute(query.encode(), {"name": name, "changes": json.dumps(changes), **more})


def add(connection: Connection[Any], workflow_id: str, **columns: Any) -> None:
    """A workflow of `mail` that could begin."""
    row = {
        "workflow_id": workflow_id, "function": "f", "status": "ENQUEUED", "queue": "mail",
        "queue_key": "acme", "claimable_at": "2026-01-01T00:00:00Z", "rank": "2026-01-01T00:00:00Z",
        "owner": None, **columns,
    }  # fmt: skip
    names, places = ", ".join(row), ", ".join(f"%({each})s" for each in row)
    connection.execute(f"insert into outlast.workflow_status ({names}) values ({places})".encode(), row)


def statuses(connection: Connection[Any]) -> dict[str, str]:
    return dict(connection.execute("select workflow_id, status from outlast.workflow_status").fetchall())


# --- limits -------------------------------------------------------------------------------------------


def test_an_override_stays_until_it_is_taken_back(connection: Connection[Any]) -> None:
    change(connection, {"concurrency": 1, "rate": {"n": 5, "per": 60}}, why="too many bounces", by="ada")
    found = queue(connection)
    assert found["override"] == {"concurrency": 1, "rate": {"n": 5, "per": 60}}
    assert (found["override_by"], found["override_why"]) == ("ada", "too many bounces")
    assert found["override_at"] is not None
    connection.execute("update outlast.queues set base = '{\"concurrency\": 9}'")  # a deploy
    assert queue(connection)["override"] == found["override"]
    change(connection, {"concurrency": None}, by="bob")
    found = queue(connection)
    assert (found["override"], found["override_by"]) == ({"rate": {"n": 5, "per": 60}}, "bob")
    change(connection, {"rate": None})
    found = queue(connection)
    assert [found[each] for each in found if each.startswith("override")] == [None] * 4


def test_reset_takes_all_back_and_may_set_others(connection: Connection[Any]) -> None:
    change(connection, {"concurrency": 1, "per_key": 2})
    change(connection, {"per_instance": 3}, reset=True)
    assert queue(connection)["override"] == {"per_instance": 3}
    change(connection, {}, reset=True)
    assert queue(connection)["override"] is None


def test_who_does_it_is_known_without_being_told(connection: Connection[Any]) -> None:
    change(connection, {"concurrency": 1})
    assert queue(connection)["override_by"] == one(connection, "select session_user::text")


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("mail", {"concurrency": 0}, "concurrency is a whole number from 1 to 1,000,000, not 0"),
        ("mail", {"concurrency": 1, "per_key": "2"}, "per_key is a whole number"),
        ("mail", {"rate": {"n": 1}}, 'rate is {"n": from 1 to 10,000'),
        ("mail", {"rate": {"n": 1, "per": 60, "burst": 1}}, 'rate is {"n"'),
        ("mail", {"rate_per_key": {"n": 10_001, "per": 1}}, 'rate_per_key is {"n"'),
        ("mail", {"weight": {"acme": 101}}, "weight is an object of keys and their weights"),
        ("mail", {"rate": {"n": 1, "per": 1e-7}}, 'rate is {"n"'),
        ("mail", {"start_within": 0}, "start_within is a number of seconds"),
        ("mail", {"key": "id"}, "key is nothing that can be set; use concurrency"),
        ("mail", {"exclusive": True}, "exclusive is nothing that can be set"),
        ("mail", {}, "settings must name an option"),
        ("mail", [], "settings must be a JSON object"),
        ("mail", None, "settings must be a JSON object"),
        ("mail", {"weight": {"k" * 70_000: 1}}, "at most 64 KiB"),
        ("step:api", {"max_backlog": 1}, "max_backlog is nothing that a limit of steps has"),
        ("plain", {"per_key": 1}, "per_key needs key"),
        ("plain", {"rate": {"n": 1, "per": 1}}, "rate and drop don't go together"),
    ],
)
def test_what_is_out_of_range_changes_nothing(
    name: str, changes: Any, said: str, connection: Connection[Any]
) -> None:
    change(connection, {"concurrency": 7}, name)
    before = queue(connection, name)
    with pytest.raises(errors.InvalidParameterValue) as raised:
        change(connection, changes, name)
    assert f"outlast.set_queue: {said}" in str(raised.value) or said in str(raised.value)
    assert queue(connection, name) == before


BASES: tuple[dict[str, Any], ...] = (
    {},
    {"key": "a"},
    {"key": "a", "exclusive": True, "on_busy": "skip"},
    {"drop": {"n": 1, "per": 1}},
    {"debounce": 1, "key": "a"},
    {"batch": {"n": 2, "wait": 1.5}},
    {"batch": {"n": 2}, "key": "a"},
    {"batch": {"n": 2, "wait": 10}, "key": "a"},
)
SET: tuple[dict[str, Any], ...] = (
    {"concurrency": 1}, {"per_key": 1}, {"per_instance": 1}, {"rate": {"n": 1, "per": 1}},
    {"rate_per_key": {"n": 1, "per": 1}}, {"weight": {}}, {"weight": {"a": 2}}, {"max_backlog": 1},
    {"start_within": 1}, {"start_within": 1.5}, {"start_within": 2.0}, {"start_within": 1e-6},
    {"start_within": 60},
)  # fmt: skip


@pytest.mark.parametrize("base", BASES, ids=json.dumps)
def test_what_code_may_not_declare_together_cannot_be_set(
    base: dict[str, Any], connection: Connection[Any]
) -> None:
    check_together(base)
    connection.execute("update outlast.queues set base = %s where name = 'mail'", (json.dumps(base),))
    for each in SET:
        try:
            check_together({**base, **each})
        except ValueError:
            with pytest.raises(errors.InvalidParameterValue, match=next(iter(each))):
                change(connection, each)
        else:
            change(connection, each)


@pytest.mark.parametrize("per", ["1e-400", "1e400", "1e-20", "-1"])
@pytest.mark.parametrize("option", ["rate", "start_within"])
def test_what_is_no_number_to_who_reads_it_is_refused(
    option: str, per: str, connection: Connection[Any]
) -> None:
    value = f'{{"n": 1, "per": {per}}}' if option == "rate" else per
    query = "select outlast.set_queue('mail', %s::jsonb)"
    with pytest.raises(errors.InvalidParameterValue):
        connection.execute(query, (f'{{"{option}": {value}}}',))


NUMBERS = st.one_of(
    st.integers(-1, 20_000_000),
    st.floats(-1, 3e6),
    st.sampled_from([1, 10_000, 10_001, 2678400, 1e-6, 5e-324]),
)
RATES = st.fixed_dictionaries(
    {"n": NUMBERS, "per": NUMBERS},
    optional={"smooth": st.one_of(st.booleans(), st.integers(0, 1)), "x": NUMBERS},
)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3)
VALUES = st.one_of(
    NUMBERS, RATES, st.booleans(), TEXTS, st.lists(NUMBERS, max_size=2),
    st.dictionaries(st.sampled_from(["a", "n", "per"]), st.one_of(NUMBERS, st.floats(0.001, 100))),
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(option=st.sampled_from([each.name for each in SET_QUEUE.arguments if each.setting]), value=VALUES)
def test_sql_takes_what_code_may_declare(option: str, value: Any, connection: Connection[Any]) -> None:
    try:
        check_option(option, value)
        fits = True
    except ValueError:
        fits = False
    checked = "select outlast.check_queue_settings(%s::jsonb)"
    try:
        connection.execute(checked, (json.dumps({option: value}),))
        taken = True
    except errors.InvalidParameterValue:
        taken = False
    assert taken == fits


def test_what_can_be_set_is_what_may_be_overridden() -> None:
    settable = {each.name: each for each in SET_QUEUE.arguments if each.setting}
    assert settable.keys() <= OPTIONS.keys()
    for name, each in settable.items():
        for bound, beyond in ((each.minimum, -1), (each.maximum, 1)):
            if bound is not None:
                check_option(name, bound)
                with pytest.raises(ValueError, match=name):
                    check_option(name, bound + beyond)


# --- pause, resume, drain -----------------------------------------------------------------------------


def test_pause_says_who_and_why_and_resume_forgets_it(connection: Connection[Any]) -> None:
    connection.execute("select outlast.pause_queue('mail', why => 'bounces', by => 'ada')")
    first = queue(connection)
    assert (first["paused_by"], first["paused_why"]) == ("ada", "bounces")
    connection.execute("select outlast.pause_queue('mail', by => 'bob')")
    again = queue(connection)
    assert (again["paused_by"], again["paused_why"]) == ("bob", None)
    assert again["paused_at"] == first["paused_at"] is not None
    for _ in range(2):
        connection.execute("select outlast.resume_queue('mail')")
        found = queue(connection)
        assert [found[each] for each in found if each.startswith("paused")] == [None] * 3


def test_a_key_is_paused_by_itself(connection: Connection[Any]) -> None:
    connection.execute("select outlast.pause_queue('mail', key => 'acme', why => 'w', by => 'ada')")
    assert queue(connection)["paused_at"] is None
    connection.execute("select outlast.resume_queue('mail')")
    keys = "select key, paused_by, paused_why from outlast.queue_keys where queue = 'mail'"
    assert connection.execute(keys).fetchall() == [("acme", "ada", "w")]
    for key in ("acme", "unknown"):
        connection.execute("select outlast.resume_queue('mail', key => %s)", (key,))
    assert connection.execute(keys).fetchall() == []
    with pytest.raises(errors.InvalidParameterValue, match="key can't be paused alone"):
        connection.execute("select outlast.pause_queue('plain', key => 'acme')")


def test_a_paused_queue_begins_nothing(connection: Connection[Any]) -> None:
    add(connection, "a")
    add(connection, "b", queue_key="other")
    claim = (
        "select claimed from outlast.claim_queue('mail', 'me', '{f}', 9, 9, 3, 99999, true, 99, 99999, true)"
    )
    connection.execute("select outlast.pause_queue('mail')")
    assert one(connection, claim) == []
    connection.execute("select outlast.resume_queue('mail'), outlast.pause_queue('mail', key => 'acme')")
    assert [each["workflow_id"] for each in one(connection, claim)] == ["b"]
    connection.execute("select outlast.resume_queue('mail', key => 'acme')")
    assert [each["workflow_id"] for each in one(connection, claim)] == ["a"]


def test_drain_cancels_what_has_not_begun(connection: Connection[Any]) -> None:
    add(connection, "waits")
    add(connection, "later", claimable_at="2126-01-01T00:00:00Z", rank=None)
    add(connection, "other", queue_key="other")
    add(connection, "runs", status="PENDING", owner="me", claimable_at=None, rank=None)
    add(connection, "sleeps", status="PENDING", claimable_at="2126-01-01T00:00:00Z", rank=None)
    add(connection, "elsewhere", queue="plain")
    assert one(connection, "select * from outlast.drain_queue('mail', key => 'other')") == (1, False)
    assert one(connection, "select * from outlast.drain_queue('mail')") == (2, False)
    assert one(connection, "select * from outlast.drain_queue('mail')") == (0, False)
    live = {name for name, status in statuses(connection).items() if status != "CANCELLED"}
    assert live == {"runs", "sleeps", "elsewhere"}
    row = one(connection, "select to_json(w) from outlast.workflow_status w where workflow_id = 'waits'")
    assert row["error"] == {"code": "workflow_cancelled", "message": "the workflow was cancelled"}
    assert (row["epoch"], row["claimable_at"], row["rank"]) == (1, None, None)
    assert row["completed_at"] is not None


def test_drain_leaves_what_was_begun_once(connection: Connection[Any]) -> None:
    """It was retried, say: it may have something to undo."""
    for each in ("new", "retried", "forked"):
        add(connection, each)
    connection.execute("update outlast.workflow_status set generation = 2 where workflow_id = 'retried'")
    connection.execute("update outlast.workflow_status set forked_from = 'x' where workflow_id = 'forked'")
    assert one(connection, "select * from outlast.drain_queue('mail')") == (1, False)
    assert statuses(connection) == {"new": "CANCELLED", "retried": "ENQUEUED", "forked": "ENQUEUED"}


def test_drain_says_whether_more_may_wait(connection: Connection[Any]) -> None:
    connection.execute(
        "insert into outlast.workflow_status (workflow_id, function, status, queue, claimable_at)"
        " select 'w' || n, 'f', 'ENQUEUED', 'mail', now() from generate_series(1, 10001) n"
    )
    assert one(connection, "select * from outlast.drain_queue('mail')") == (10_000, True)
    assert one(connection, "select * from outlast.drain_queue('mail')") == (1, False)


# --- what is shown ------------------------------------------------------------------------------------


async def test_a_queue_is_shown_with_limits_and_counts(
    connection: Connection[Any], workflows: PostgresWorkflows
) -> None:
    add(connection, "waits")
    add(connection, "waits too", claimable_at="2026-01-02T00:00:00Z")
    add(connection, "later", claimable_at="2126-01-01T00:00:00Z", rank=None)
    add(connection, "runs", status="PENDING", owner="me", claimable_at=None, rank=None)
    add(connection, "over", status="SUCCESS", claimable_at=None, rank=None)
    change(connection, {"concurrency": 1}, by="ada", why="because")
    connection.execute("select outlast.pause_queue('mail', key => 'acme', by => 'bob')")
    (row,), more = await workflows.listing(QUEUES, {"name": "mail"}, None, 1)
    assert (row["name"], row["running"], row["ready"], row["waiting"], more) == ("mail", 1, 2, 3, False)
    assert row["ready_since"].isoformat().startswith("2026-01-01")
    assert json.loads(row["base"]) == BASE
    assert json.loads(row["limits"]) == {**BASE, "concurrency": 1}
    assert (json.loads(row["override"]), row["override_by"]) == ({"concurrency": 1}, "ada")
    (key,) = json.loads(row["paused_keys"])
    assert (key["key"], key["paused_by"]) == ("acme", "bob")


async def test_queues_are_listed_by_pages_and_whether_they_are_paused(
    connection: Connection[Any], workflows: PostgresWorkflows
) -> None:
    connection.execute("insert into outlast.queues (name, paused_at) values ('night', now())")
    rows, more = await workflows.listing(QUEUES, {}, None, 2)
    assert ([each["name"] for each in rows], more) == (["mail", "night"], True)
    rows, more = await workflows.listing(QUEUES, {}, ("night",), 2)
    assert ([each["name"] for each in rows], more) == (["plain", "step:api"], False)
    for paused, names in ((True, ["night"]), (False, ["mail", "plain", "step:api"])):
        rows, _ = await workflows.listing(QUEUES, {"paused": paused}, None, 9)
        assert [each["name"] for each in rows] == names


async def test_counts_stop_at_a_thousand(connection: Connection[Any], workflows: PostgresWorkflows) -> None:
    connection.execute(
        "insert into outlast.workflow_status (workflow_id, function, status, queue, claimable_at)"
        " select 'w' || n, 'f', 'ENQUEUED', 'mail', now() from generate_series(1, 1200) n"
    )
    (row,), _ = await workflows.listing(QUEUES, {"name": "mail"}, None, 1)
    assert (row["ready"], row["waiting"], row["running"]) == (COUNTED_MAX, COUNTED_MAX, 0)


async def test_of_a_limit_its_steps_are_counted(
    connection: Connection[Any], workflows: PostgresWorkflows
) -> None:
    take = "select outlast.take_limit('api', '{\"concurrency\": 2}', 'w', 1, %s)"
    add(connection, "w", status="PENDING", owner="me", epoch=1, claimable_at=None, rank=None)
    for step_id in ("1", "2"):
        assert one(connection, take, step_id) is None
    assert one(connection, take, "3") > 0
    (row,), _ = await workflows.listing(QUEUES, {"name": "step:api"}, None, 1)
    assert (row["running"], row["ready"], row["waiting"]) == (2, 0, 1)
    connection.execute("select outlast.set_queue('step:api', '{\"concurrency\": 3}')")
    assert one(connection, take, "3") is None


async def test_a_list_of_queues_reads_what_is_live_alone(connection: Connection[Any]) -> None:
    connection.execute(
        "insert into outlast.workflow_status (workflow_id, function, status, queue, claimable_at)"
        " select 'w' || n, 'f', case when n % 50 = 0 then 'ENQUEUED' else 'SUCCESS' end, 'mail',"
        " case when n % 50 = 0 then now() end from generate_series(1, 20000) n"
    )
    connection.execute("analyze outlast.workflow_status")
    query = load("resources.sql")[QUEUES.name].as_string(None)
    parameters = dict.fromkeys(re.findall(r"%\((\w+)\)s", query))
    plan = connection.execute(b"explain " + query.encode(), parameters).fetchall()
    text = "\n".join(line for (line,) in plan)
    assert "workflow_status_queue" in text
    assert "Seq Scan on workflow_status" not in text, text
