"""Verbs that are functions of the database: how the store calls them, and that they are as the table says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import Connection, errors, sql
from psycopg.types.json import Jsonb

from outlast.core.ports import NoSuchRow, NotNow, Unacceptable
from outlast.core.resources import Kind
from outlast.core.status import TRANSITIONS, Change, Status
from outlast.core.verbs import CANCEL, SEND, SETTLE, VERBS, Argument, Verb
from outlast.store.workflows import PostgresWorkflows
from tests.callers import as_user
from tests.rows import CHANGE, FILL, MAKE
from tests.store.harness import store_of

FUNCTIONS = """
create function outlast.fill_box(
  name text, by text, count integer, what text default 'sand', weight double precision default 1,
  within interval default '1 minute', since timestamptz default null, gently boolean default false,
  label jsonb default null, key text default null
)
returns table (told text) language plpgsql as $$
begin
  if name = 'none' then raise exception 'outlast.fill_box: no such box' using errcode = 'P0002'; end if;
  if name = 'shut' then raise exception 'outlast.fill_box: it is shut' using errcode = '55000'; end if;
  if count > 9 then
    raise exception 'outlast.fill_box: count: too much' using errcode = '22023', hint = 'take 9';
  end if;
  return query select
    concat_ws(' ', name, by, count, what, weight, within, since at time zone 'UTC', gently, label);
end $$;
create function outlast.set_box(name text, settings jsonb, by text, why text default 'because')
returns table (told text) language sql as $$ select concat_ws(' ', name, settings, by, why) $$;
create function outlast.make_box(name text, by text) returns table (number integer)
language sql as $$ select length(name) $$;
"""


@pytest.fixture
async def workflows(database: str) -> AsyncIterator[PostgresWorkflows]:
    """Over a database with the functions of the tests' verbs."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(FUNCTIONS)
    async with store_of(database) as store:
        yield store.workflows


async def test_arguments_are_given_by_name(workflows: PostgresWorkflows) -> None:
    row = await workflows.act(FILL, "a", {"count": 3}, "me")
    assert row == {"told": "a me 3 sand 1 00:01:00 f"}
    since = datetime(2026, 1, 31, 7, 30, tzinfo=UTC)
    given = {"count": 3, "what": "x'", "weight": 1.5, "within": timedelta(seconds=90), "since": since}
    row = await workflows.act(FILL, "a", {**given, "gently": True, "label": {"b": [None]}}, "me")
    assert row == {"told": """a me 3 x' 1.5 00:01:30 2026-01-31 07:30:00 t {"b": [null]}"""}


async def test_settings_go_together_and_null_is_no_absence(workflows: PostgresWorkflows) -> None:
    row = await workflows.act(CHANGE, "a", {"room": None, "lasts": 2}, "me")
    assert row == {"told": 'a {"room": null, "lasts": 2} me because'}
    assert await workflows.act(CHANGE, "a", {"why": "x"}, "me") == {"told": "a {} me x"}


async def test_a_verb_of_no_row_in_particular(workflows: PostgresWorkflows) -> None:
    assert await workflows.act(MAKE, None, {"name": "abc"}, "me") == {"number": 3}


async def test_what_functions_refuse(workflows: PostgresWorkflows) -> None:
    with pytest.raises(NoSuchRow):
        await workflows.act(FILL, "none", {"count": 1}, "me")
    with pytest.raises(NotNow, match=r"^it is shut$"):
        await workflows.act(FILL, "shut", {"count": 1}, "me")
    with pytest.raises(Unacceptable, match=r"^count: too much; take 9$"):
        await workflows.act(FILL, "a", {"count": 10}, "me")


# --- those there are ----------------------------------------------------------------------------------

ACTS = [each for each in VERBS if each is not SEND]
TYPES = {
    Kind.TEXT: "text",
    Kind.COUNT: "integer",
    Kind.INTEGER: "integer",
    Kind.NUMBER: "double precision",
    Kind.DURATION: "interval",
    Kind.TIMESTAMP: "timestamp with time zone",
    Kind.FLAG: "boolean",
    Kind.OBJECT: "jsonb",
    Kind.JSON: "jsonb",
}
SIGNATURE = """
select p.oid::regprocedure::text, p.proargnames[:p.pronargs], p.pronargdefaults,
  array(select format_type(t, null) from unnest(p.proargtypes) with ordinality a (t, n) order by n)
from pg_proc p where p.pronamespace = 'outlast'::regnamespace and p.proname = %s
"""

each_act = pytest.mark.parametrize("verb", ACTS, ids=lambda each: each.function)


@each_act
def test_a_function_takes_what_its_verb_does(verb: Verb, untouched: Connection[Any]) -> None:
    ((_, names, defaults, types),) = untouched.execute(SIGNATURE, (verb.function,)).fetchall()
    settings = {"settings": "jsonb"} if any(each.setting for each in verb.arguments) else {}
    key = {verb.noun.key: "text"} if verb.of_one else {}
    needed = {each.name: TYPES[each.kind] for each in verb.arguments if each.required} | settings
    left = {each.name: TYPES[each.kind] for each in verb.arguments if not (each.required or each.setting)}
    assert dict(zip(names, types, strict=True)) == {**key, **needed, **left, "by": "text"}
    assert set(names[: len(names) - defaults]) == {*key, *needed}


@each_act
def test_only_the_service_may_call_it(verb: Verb, untouched: Connection[Any]) -> None:
    ((signature, *_),) = untouched.execute(SIGNATURE, (verb.function,)).fetchall()
    may = "select has_function_privilege(%s, %s, 'execute')"
    for role, expected in (("service_role", True), ("authenticated", False), ("anon", False)):
        assert untouched.execute(may, (role, signature)).fetchone() == (expected,), role


def call(connection: Connection[Any], verb: Verb, given: dict[str, Any]) -> None:
    """Call the function of a verb as the service does, to a row that isn't there."""
    settings = {each.name for each in verb.arguments if each.setting}
    arguments = {name: value for name, value in given.items() if name not in settings}
    if settings:
        arguments["settings"] = Jsonb({name: value for name, value in given.items() if name in settings})
    arguments = {name: Jsonb(each) if isinstance(each, dict) else each for name, each in arguments.items()}
    named = sql.SQL(", ").join(
        sql.SQL("{} => {}").format(sql.Identifier(each), sql.Placeholder(each)) for each in arguments
    )
    query = sql.SQL("select * from outlast.{}({})").format(sql.Identifier(verb.function), named)
    with as_user(connection, {"role": "service_role"}, "service_role"):
        connection.execute(query, arguments)


def of_size(each: Argument, size: float) -> Any:
    if each.kind is Kind.TIMESTAMP:
        return datetime(2026, 1, 31, 7, 30, tzinfo=UTC)
    if each.kind is Kind.TEXT:
        return "x" * int(size)
    if each.kind is Kind.OBJECT and not each.setting:
        return {}
    return timedelta(seconds=size) if each.kind is Kind.DURATION and not each.setting else size


def usual(verb: Verb) -> dict[str, Any]:
    """What the verb needs at least."""
    key = {verb.noun.key: "none"} if verb.of_one else {}
    return {
        **key,
        **({"output": {}} if verb is SETTLE else {}),  # or an error
        **{each.name: of_size(each, each.minimum or 1) for each in verb.arguments if each.required},
    }


@pytest.mark.parametrize(
    ("verb", "argument"),
    [pytest.param(v, a, id=f"{v.function}-{a.name}") for v in ACTS if v.of_one for a in v.arguments],
)
def test_a_function_has_the_bounds_of_its_verb(
    verb: Verb, argument: Argument, untouched: Connection[Any]
) -> None:
    given = usual(verb)
    if (verb, argument.name) == (SETTLE, "error"):
        del given["output"]
    for choice in argument.choices or ():
        with pytest.raises(errors.NoDataFound):
            call(untouched, verb, {**given, argument.name: choice})
    for bound, beyond in ((argument.minimum, -1), (argument.maximum, 1)):
        if bound is None or argument.choices:
            continue
        with pytest.raises(errors.NoDataFound):
            call(untouched, verb, {**given, argument.name: of_size(argument, bound)})
        if argument.kind is Kind.TEXT and bound + beyond < 0:
            continue
        with pytest.raises(errors.InvalidParameterValue, match=argument.name):
            call(untouched, verb, {**given, argument.name: of_size(argument, bound + beyond)})
    if argument.nullable:
        with pytest.raises(errors.NoDataFound):
            call(untouched, verb, {**given, argument.name: None})
    elif argument.setting or argument.required:
        with pytest.raises(errors.InvalidParameterValue, match=argument.name):
            call(untouched, verb, {**given, argument.name: None})


@each_act
def test_a_function_takes_no_other_setting(verb: Verb, untouched: Connection[Any]) -> None:
    if any(each.setting for each in verb.arguments):
        others: tuple[Any, ...] = ({"else": 1}, [], None)
        for settings in others:
            given = sql.SQL("select outlast.{}('none', settings => %s)").format(sql.Identifier(verb.function))
            with pytest.raises(errors.InvalidParameterValue):
                untouched.execute(given, (Jsonb(settings),))


# --- the one that a workflow's owner may do, too -------------------------------------------------------


@pytest.fixture
def connection(supabase_database: str) -> Iterator[Connection[Any]]:
    with psycopg.connect(supabase_database, autocommit=True) as connection:
        yield connection


def test_a_cancel_by_sql_changes_what_the_table_says(connection: Connection[Any]) -> None:
    ((signature, names, _, _),) = connection.execute(SIGNATURE, (CANCEL.name,)).fetchall()
    assert names == ["workflow_id"]
    may = "select has_function_privilege(%s, %s, 'execute')"
    for role, expected in (("service_role", True), ("authenticated", False), ("anon", False)):
        assert connection.execute(may, (role, signature)).fetchone() == (expected,), role
    insert = "insert into outlast.workflow_status (workflow_id, function, status) values (%s, 'f', %s)"
    for status in Status:
        connection.execute(insert, (status, status))
        with as_user(connection, {"role": "service_role"}, "service_role"):
            changed = connection.execute("select outlast.cancel(%s)", (status,)).fetchone()
            assert changed == (status in CANCEL.statuses,), status
    query = "select workflow_id, status from outlast.workflow_status"
    for before, after in connection.execute(query).fetchall():
        changed = TRANSITIONS.get((Status(before), Change.CANCEL), before)
        assert after == changed
