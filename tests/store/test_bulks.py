"""Bulks: which workflows they are done to is fixed first; a block and what came of it are one commit."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from psycopg import Connection, errors, sql
from psycopg.types.json import Jsonb

from outlast.core.resources import FOUND_BY, WORKFLOWS
from outlast.core.verbs import BULK, SEND, VERBS
from tests.callers import as_user

FILL = """
insert into outlast.workflow_status (workflow_id, function, status, created_at)
select 'f:' || lpad(n::text, 5, '0'), 'f', %s, now() - interval '1 hour' + n * interval '1 ms'
from generate_series(%s::int, %s::int) n
"""


@pytest.fixture
def connection(database: str) -> Any:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def fill(connection: Connection[Any], count: int, status: str = "PENDING", first: int = 1) -> None:
    connection.execute(FILL, (status, first, first + count - 1))


def bulk(connection: Connection[Any], verb: str = "cancel", filter: Any = None, **given: Any) -> Any:
    """What `outlast.bulk` answers: an id, a count and samples."""
    filter = {"function": "f"} if filter is None else filter
    arguments = {"verb": verb, "filter": filter, **given}
    arguments = {
        name: Jsonb(each) if name in ("filter", "arguments") else each for name, each in arguments.items()
    }
    named = sql.SQL(", ").join(
        sql.SQL("{} => {}").format(sql.Identifier(each), sql.Placeholder(each)) for each in arguments
    )
    query = sql.SQL("select workflow_id, count, samples from outlast.bulk({})").format(named)
    return connection.execute(query, arguments).fetchone()


def run(connection: Connection[Any], most: int = 10_000) -> Any:
    """One block, whatever the rate says."""
    connection.execute("update outlast.bulks set next_at = now() where not over")
    return connection.execute("select ran from outlast.run_bulk(%s)", (most,)).fetchone()[0]  # type: ignore[index]


def run_all(connection: Connection[Any]) -> int:
    """How many blocks there were."""
    blocks = 0
    while run(connection) is not None:
        blocks += 1
        assert blocks < 1_000
    return blocks


def items(connection: Connection[Any]) -> list[Any]:
    query = "select workflow_id, outcome, reason from outlast.bulk_items order by bulk_id, place"
    return connection.execute(query).fetchall()


def statuses(connection: Connection[Any], function: str = "f") -> dict[str, int]:
    query = "select status, count(*)::int from outlast.workflow_status where function = %s group by status"
    return dict(connection.execute(query, (function,)).fetchall())


def ended(connection: Connection[Any], bulk_id: str) -> Any:
    query = "select status, output, error from outlast.workflow_status where workflow_id = %s"
    return connection.execute(query, (bulk_id,)).fetchone()


def test_a_verb_is_done_to_each_once_and_what_came_of_it_is_kept(connection: Connection[Any]) -> None:
    fill(connection, 25)
    fill(connection, 1, "SUCCESS", 26)
    bulk_id, count, samples = bulk(connection, why="a bad deploy", by="ada", rate=50)
    assert (count, samples) == (26, None)
    assert bulk_id.startswith("outlast:bulk:")
    assert run(connection) == bulk_id
    assert (len(items(connection)), statuses(connection)) == (26, {"PENDING": 25, "SUCCESS": 1})
    assert run_all(connection) == 3  # ten of fifty a second at once
    assert statuses(connection) == {"CANCELLED": 25, "SUCCESS": 1}
    assert items(connection)[24][:2] == ("f:00025", "done")
    workflow_id, outcome, reason = items(connection)[25]
    assert (workflow_id, outcome) == ("f:00026", "refused")
    assert "SUCCESS" in reason
    total = {"verb": "cancel", "total": 26, "done": 25, "refused": 1, "failed": 0}
    assert ended(connection, bulk_id) == ("SUCCESS", total, None)
    acts = "select count(*)::int, min(by), max(why) from outlast.acts where verb = 'cancel'"
    assert connection.execute(acts).fetchone() in [(25, "ada", "a bad deploy"), (0, None, None)]
    acts = "select name, by, why from outlast.acts where verb = 'bulk cancel'"
    assert connection.execute(acts).fetchall() == [(bulk_id, "ada", "a bad deploy")]


def test_which_are_fixed_in_blocks_and_what_comes_later_is_none_of_them(connection: Connection[Any]) -> None:
    fill(connection, 25)
    bulk_id, _, _ = bulk(connection)
    fill(connection, 5, first=90)
    later = "update outlast.workflow_status set created_at = now() + interval '1 s' where workflow_id >= %s"
    connection.execute(later, ("f:00090",))
    seen = []
    for _ in range(3):
        assert run(connection, 10) == bulk_id
        seen.append(len(items(connection)))
    assert seen == [10, 20, 25]
    assert [each[0] for each in items(connection)] == [f"f:{n:05}" for n in range(1, 26)]
    run_all(connection)
    assert statuses(connection) == {"CANCELLED": 25, "PENDING": 5}


def test_a_block_that_is_lost_was_not_done(connection: Connection[Any], database: str) -> None:
    fill(connection, 25)
    bulk(connection)
    while True:
        # A session that dies at its commit, and one that does the block.
        with psycopg.connect(database) as dying:
            dying.execute("update outlast.bulks set next_at = now() where not over")
            (ran,) = dying.execute("select ran from outlast.run_bulk(10)").fetchone() or (None,)
            others = "select ran from outlast.run_bulk(10)"
            connection.execute("set lock_timeout = '2s'")
            assert connection.execute(others).fetchone() == (None,), "two did one block"
            dying.rollback()
        before = items(connection)
        if ran is None:
            break
        assert run(connection, 10) == ran
        after = items(connection)
        assert [each for each in after if each[1]][: len(before)] >= [each for each in before if each[1]]
    assert statuses(connection) == {"CANCELLED": 25}
    assert [each[1] for each in items(connection)] == ["done"] * 25


def test_a_number_that_was_not_expected_does_nothing(connection: Connection[Any]) -> None:
    fill(connection, 3)
    with pytest.raises(
        errors.ObjectNotInPrerequisiteState, match="3 workflows are found, and 4 were expected"
    ):
        bulk(connection, expect=4)
    assert items(connection) == []
    bulk_id, _, _ = bulk(connection, expect=3)
    # One goes before they are fixed.
    connection.execute("delete from outlast.workflow_status where workflow_id = 'f:00002'")
    run_all(connection)
    status, _, error = ended(connection, bulk_id)
    assert (status, error["code"]) == ("ERROR", "bulk_unexpected")
    assert statuses(connection) == {"PENDING": 2}
    assert run(connection) is None


def test_a_dry_run_tries_it_on_ten_and_takes_that_back(connection: Connection[Any]) -> None:
    fill(connection, 8, "SUCCESS")
    fill(connection, 7, first=20)
    bulk_id, count, samples = bulk(connection, dry_run=True)
    assert (bulk_id, count) == (None, 15)
    assert [each["outcome"] for each in samples] == ["refused"] * 8 + ["done"] * 2
    assert (samples[0]["workflow_id"], samples[0]["status"]) == ("f:00001", "SUCCESS")
    assert "SUCCESS" in samples[0]["reason"]
    assert statuses(connection) == {"SUCCESS": 8, "PENDING": 7}
    assert connection.execute("select count(*)::int from outlast.bulks").fetchone() == (0,)
    assert connection.execute("select count(*)::int from outlast.acts").fetchone() == (0,)


def test_a_cancelled_or_paused_bulk_does_no_more(connection: Connection[Any]) -> None:
    fill(connection, 30)
    bulk_id, _, _ = bulk(connection)
    run(connection)
    run(connection)
    assert statuses(connection) == {"CANCELLED": 10, "PENDING": 20}
    held = "update outlast.workflow_status set held = %s where workflow_id = %s"
    connection.execute(held, ('{"reason": "paused"}', bulk_id))
    for _ in range(3):
        run(connection)
    assert statuses(connection) == {"CANCELLED": 10, "PENDING": 20}
    connection.execute(held, (None, bulk_id))
    run(connection)
    assert statuses(connection) == {"CANCELLED": 20, "PENDING": 10}
    connection.execute("select outlast.cancel(%s)", (bulk_id,))
    run_all(connection)
    assert (ended(connection, bulk_id)[0], statuses(connection)) == (
        "CANCELLED",
        {"CANCELLED": 20, "PENDING": 10},
    )
    for verb in (
        "select * from outlast.retry_workflow(%s)",
        "select * from outlast.rewind_workflow(%s, '1')",
    ):
        with pytest.raises(errors.ObjectNotInPrerequisiteState, match="this is a bulk"):
            connection.execute(verb, (bulk_id,))


def test_children_of_what_is_cancelled_are_cancelled_in_the_same_commit(connection: Connection[Any]) -> None:
    fill(connection, 3)
    connection.execute(
        "insert into outlast.workflow_status (workflow_id, function, status, parent, started_at)"
        " select w.workflow_id || '/1', 'child', 'PENDING', w.workflow_id, now()"
        " from outlast.workflow_status w"
    )
    connection.execute("update outlast.workflow_status set started_at = now()")
    bulk(connection, filter={"function": "f", "has_parent": False})
    run(connection)
    assert statuses(connection, "child") == {"PENDING": 3}
    run(connection)
    assert statuses(connection, "child") == {"CANCELLED": 3}


def test_a_rate_is_kept(connection: Connection[Any]) -> None:
    fill(connection, 30)
    bulk(connection, rate=1)
    run(connection)
    # As if it had slept for a minute: it makes up for a second, and no more.
    connection.execute("update outlast.bulks set next_at = clock_timestamp() - interval '1 minute'")
    blocks = 0
    while connection.execute("select ran from outlast.run_bulk()").fetchone() != (None,):
        blocks += 1
        assert blocks < 5
    assert statuses(connection) == {"CANCELLED": blocks, "PENDING": 30 - blocks}


@pytest.mark.parametrize("verb", ["cancel", "set"])
def test_a_row_that_another_holds_is_waited_for_and_comes_later(
    verb: str, connection: Connection[Any], database: str
) -> None:
    fill(connection, 5)
    bulk_id, _, _ = bulk(connection, verb, arguments={"attributes": {"a": 1}} if verb == "set" else {})
    run(connection)
    with psycopg.connect(database) as holder:
        holder.execute("select from outlast.workflow_status where workflow_id = 'f:00003' for update")
        run(connection)
        # What is done to several at once leaves it out; what is done one by one waits for it.
        after = "done" if verb == "cancel" else None
        assert [each[1] for each in items(connection)] == ["done", "done", None, after, after]
        stands = "select place, done, tries from outlast.bulks"
        assert connection.execute(stands).fetchone() == (2, 2, 1)
    run_all(connection)
    assert [each[1] for each in items(connection)] == ["done"] * 5
    assert ended(connection, bulk_id)[1]["done"] == 5


def run_due(connection: Connection[Any]) -> Any:
    """One block of what is due, and what keeps it from being done."""
    return connection.execute("select ran, fault from outlast.run_bulk()").fetchone()


def test_a_bulk_whose_row_somebody_holds_keeps_no_other(connection: Connection[Any], database: str) -> None:
    fill(connection, 3)
    first, _, _ = bulk(connection, "set", arguments={"attributes": {"a": 1}})
    second, _, _ = bulk(connection, "set", arguments={"attributes": {"b": 1}})
    connection.execute("set lock_timeout = '1s'")
    with psycopg.connect(database) as holder:
        holder.execute("select from outlast.workflow_status where workflow_id = %s for update", (first,))
        assert [run_due(connection) for _ in range(3)] == [(first, None), (second, None), (second, None)]
        assert [ended(connection, each)[0] for each in (first, second)] == ["PENDING", "SUCCESS"]
    run_all(connection)
    assert ended(connection, first)[1]["done"] == 3


@pytest.mark.parametrize("on", ["insert", "update"])
def test_a_bulk_that_fails_keeps_no_other(connection: Connection[Any], on: str) -> None:
    """Its items can't be noted, or what came of them."""
    fill(connection, 3)
    first, _, _ = bulk(connection, "set", arguments={"attributes": {"a": 1}})
    second, _, _ = bulk(connection, "set", arguments={"attributes": {"b": 1}})
    connection.execute(f"""
        create function public.refuse() returns trigger language plpgsql as $$
        begin
          if new.bulk_id = '{first}' then raise exception 'not this one'; end if;
          return new;
        end $$;
        create trigger refuse before {on} on outlast.bulk_items for each row execute function public.refuse()
    """)
    found = [run_due(connection) for _ in range(5)]
    assert (first, "not this one") in found
    assert [ended(connection, each)[0] for each in (first, second)] == ["PENDING", "SUCCESS"]
    connection.execute("drop trigger refuse on outlast.bulk_items")
    run_all(connection)
    assert ended(connection, first)[1]["done"] == 3
    acts = "select count(*)::int from outlast.acts where verb = 'set' group by name"
    assert connection.execute(acts).fetchall() == [(2,)] * 3


def test_in_blocks_each_is_done_once(connection: Connection[Any]) -> None:
    fill(connection, 25)
    bulk(connection, "set", arguments={"attributes": {"a": 1}})
    run_all(connection)
    acts = "select count(*)::int from outlast.acts where verb = 'set' group by name"
    assert connection.execute(acts).fetchall() == [(1,)] * 25


def test_what_a_verb_breaks_on_is_one_items_affair(connection: Connection[Any]) -> None:
    fill(connection, 3)
    connection.execute("""
        create function public.refuse() returns trigger language plpgsql as $$
        begin
          if new.workflow_id = 'f:00002' then raise exception 'not this one'; end if;
          return new;
        end $$;
        create trigger refuse before update on outlast.workflow_status
        for each row execute function public.refuse()
    """)
    bulk_id, _, _ = bulk(connection)
    run_all(connection)
    assert [each[1:] for each in items(connection)] == [
        ("done", None),
        ("failed", "P0001: not this one"),
        ("done", None),
    ]
    assert ended(connection, bulk_id)[1]["failed"] == 1


def test_bulks_are_done_to_no_bulk(connection: Connection[Any]) -> None:
    fill(connection, 2)
    first, _, _ = bulk(connection)
    _, count, _ = bulk(connection, filter={"status": "PENDING"})
    assert count == 2
    run_all(connection)
    assert ended(connection, first)[0] == "SUCCESS"


def test_all_filters_of_lists_are_those_of_bulks(connection: Connection[Any]) -> None:
    fill(connection, 1)
    values = {"status": ["PENDING", "ERROR"], "has_parent": False, "since": "2026-01-01", "attribute": "a:b"}
    for each in FOUND_BY:
        value = (
            each.choices[0]
            if each.choices
            else values.get(
                each.name, "2026-01-01T00:00:00Z" if each.name.endswith(("since", "until")) else "x"
            )
        )
        assert bulk(connection, filter={each.name: value}, dry_run=True)[1] in (0, 1)
    assert bulk(connection, filter={"status": "PENDING", "function": "f"}, dry_run=True)[1] == 1
    assert bulk(connection, filter={"status": ["PENDING"], "prefix": "f:"}, dry_run=True)[1] == 1


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"verb": "explode"}, "verb must be one of .*cancel"),
        ({"verb": None}, "verb"),
        ({"filter": {}}, "filter must be an object that names one at least of function"),
        ({"filter": []}, "filter must be an object"),
        ({"filter": {"colour": "red"}}, "filter has no colour; use function"),
        ({"filter": {"status": "DONE"}}, "status must be one of"),
        ({"filter": {"status": 5}}, "status must be one of"),
        ({"filter": {"waiting_on": "foo"}}, "waiting_on must be one of"),
        *(
            ({"filter": {"since": each}}, "since must be a date")
            for each in ("yesterday-ish", "yesterday", "infinity", "now", "2026-01-01T09:30:00", "2026-13-01")
        ),
        *(
            ({"filter": {"function": "f", each.name: None}}, f"{each.name} is null, which lets all pass")
            for each in FOUND_BY
        ),
        ({"filter": {"function": 5}}, "function must be a text"),
        ({"filter": {"function": ""}}, "function must be a text"),
        ({"filter": {"has_parent": "yes"}}, "has_parent must be true or false"),
        *(
            ({"filter": {"attribute": each}}, "attribute must be a key and its value")
            for each in ("x", ":x", [], ["a:b", "x"], [1], [None], {"a": "b"}, 5)
        ),
        ({"arguments": {"colour": 1}}, "arguments has colour, which cancel does not take"),
        ({"arguments": {"workflow_id": "f:1"}}, "arguments has workflow_id"),
        ({"arguments": []}, "arguments must be an object"),
        ({"arguments": {"mode": "soft"}}, "mode is undo or kill"),
        ({"verb": "fork", "arguments": {"children": "some"}}, "children is reuse or new"),
        ({"verb": "fork", "arguments": {"input": {}, "from": "failed"}}, "input goes with from start only"),
        ({"verb": "settle", "arguments": {"step": "1"}}, "output or error must be given"),
        ({"verb": "set"}, "arguments needs attributes, which set takes"),
        ({"verb": "set", "arguments": {"attributes": {"a b": 1}}}, "the key .a b. is none"),
        ({"rate": 0}, "rate must be"),
        ({"rate": 10_001}, "rate must be"),
        ({"expect": -1}, "expect must be"),
        ({"expect": 1_000_001}, "expect must be"),
        ({"why": ""}, "why must be"),
    ],
)
def test_what_is_wrong_is_named_and_leaves_nothing(
    given: Any, named: str, untouched: Connection[Any]
) -> None:
    with pytest.raises(errors.InvalidParameterValue, match=named):
        bulk(untouched, **{"verb": "cancel", **given})
    assert untouched.execute("select count(*)::int from outlast.bulks").fetchone() == (0,)


def test_arguments_of_a_verb_are_given_to_each(connection: Connection[Any]) -> None:
    fill(connection, 3)
    bulk(connection, "set", arguments={"attributes": {"stage": "x'y", "n": 1}})
    run_all(connection)
    found = "select attributes::text from outlast.workflow_status where function = 'f'"
    assert [json.loads(row[0]) for row in connection.execute(found)] == [{"stage": "x'y", "n": 1}] * 3


def test_the_verbs_of_bulks_are_those_of_the_table(connection: Connection[Any]) -> None:
    with pytest.raises(errors.InvalidParameterValue) as refused:
        bulk(connection, "explode")
    named = str(refused.value).partition("one of ")[2].partition(", not")[0].split(", ")
    verbs = {each.name: each for each in VERBS if each.noun is WORKFLOWS and each.of_one and each is not SEND}
    assert named == sorted(verbs)
    # As a command it names a step of one workflow.
    assert {name for name, each in verbs.items() if not each.bulk} == {"settle"}


def test_only_the_service_may(supabase_database: str) -> None:
    with psycopg.connect(supabase_database, autocommit=True) as connection:
        fill(connection, 1)
        with as_user(connection, {"role": "service_role"}, "service_role"):
            assert bulk(connection, dry_run=True)[1] == 1
        for role in ("authenticated", "anon"):
            with (
                as_user(connection, {"role": role, "sub": "x"}, role),
                pytest.raises(errors.InsufficientPrivilege),
            ):
                bulk(connection, dry_run=True)
    assert BULK.secret
