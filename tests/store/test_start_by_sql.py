"""`outlast.start`: the ids, fingerprints and callers that Python makes, in the caller's own transaction."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import AsyncConnection, Connection, IsolationLevel, errors
from psycopg.types.json import Json, Jsonb

from outlast.core.callers import Caller
from outlast.core.names import WORKFLOW_ID_BYTES_MAX, workflow_id_of
from tests.callers import as_user, one, row_of, start
from tests.store.harness import WAIT_S, waits_for_a_lock

FIXTURE = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
USER = {"sub": "7d0c8b62-0a48-4a4e-9b7e-2a8f0d0e6c11", "role": "authenticated", "email": "ada@example.com"}
UUID = "0c9a52f2-6a3f-4c0e-8a55-3c6a0d2f9b10"

functions = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,10}(/[a-z_]{1,5})?", fullmatch=True)
keys = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=255)
subjects = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=300
)
tight = st.text(":%/23AF5a-", min_size=1, max_size=6)


@pytest.fixture
def connection(supabase_database: str) -> Iterator[Connection[Any]]:
    with psycopg.connect(supabase_database, autocommit=True) as connection:
        yield connection


# --- ids and fingerprints -----------------------------------------------------------------------------


@FIXTURE
@given(functions, st.none() | tight | subjects, tight | keys)
@example("f", None, "k/3")
@example("f", "a%3Ab", "%:/")
@example("f", "a~1", "b~2~3")
@example("f", ":" * 200, ":" * 255)
@example("f" * 255, "ä" * 252, "k" * 3)
@example("f", "s" * 254, "k" * (WORKFLOW_ID_BYTES_MAX - 257))
def test_ids_are_those_of_python(
    connection: Connection[Any], function: str, subject: str | None, key: str
) -> None:
    made = one(connection, "select outlast.workflow_id_of(%s, %s, %s)", function, subject, key)
    assert made == workflow_id_of(function, subject, key)


@FIXTURE
@given(functions, keys, st.none() | subjects)
def test_start_uses_them(connection: Connection[Any], function: str, key: str, subject: str | None) -> None:
    claims = {"sub": subject, "role": "authenticated"} if subject else ""
    with as_user(connection, claims):
        assert start(connection, function, key=key) == workflow_id_of(function, subject, key)


def test_without_a_key_ids_are_fresh_and_in_the_order_of_time(connection: Connection[Any]) -> None:
    ids = [start(connection) for _ in range(50)]
    numbers = [uuid.UUID(each.removeprefix("f:")) for each in ids]
    assert {(each.version, each.variant) for each in numbers} == {(7, uuid.RFC_4122)}
    assert len(set(ids)) == 50
    stamps = [each.int >> 80 for each in numbers]
    assert stamps == sorted(stamps)


# --- what is given ------------------------------------------------------------------------------------


def test_literals_json_and_jsonb_are_taken_and_the_same_payload(connection: Connection[Any]) -> None:
    texts = [
        """outlast.start('f', '{"b":1, "long": [1,2]}', idempotency_key => 'k')""",
        """outlast.start('f', '{"long":[1, 2],"b":1}'::json, 'k')""",
        """outlast.start('f', jsonb_build_object('long', jsonb '[1,2]', 'b', 1), queue => 'mail',
                         idempotency_key => 'k')""",
        """outlast.start(function => 'f', input => json_build_object('b', 1, 'long', array[1,2]),
                         idempotency_key => 'k')""",
    ]
    assert {one(connection, f"select {text}") for text in texts} == {"f:k"}
    assert one(connection, "select count(*) from outlast.workflow_status") == 1
    query = "select input::text from outlast.workflow_status"
    assert one(connection, query) == '{"b":1, "long": [1,2]}'  # as it was written


def test_the_row_waits_to_be_claimed(connection: Connection[Any]) -> None:
    with connection.transaction():
        workflow_id = one(connection, "select outlast.start('mail/send_one', queue => 'mail')")
    row = row_of(connection, workflow_id)
    expected: dict[str, Any] = {
        "function": "mail/send_one", "status": "ENQUEUED", "queue": "mail", "owner": None, "epoch": 0,
        "input": {}, "version": None, "request": None, "deadline": None, "subject": None,
        "idempotency_key": None,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected
    assert one(connection, "select claimable_at <= now() from outlast.workflow_status")


def test_rollback_starts_nothing(connection: Connection[Any]) -> None:
    with pytest.raises(ZeroDivisionError), connection.transaction():
        start(connection, key="k")
        raise ZeroDivisionError
    assert one(connection, "select count(*) from outlast.workflow_status") == 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("null", "not null"),
        ("''", "not ''"),
        ("'a b'", "not 'a b'"),
        ("'1f'", "name"),
        ("'f/'", "name"),
        ("'f/g/h'", "name"),
        (r"E'f\n'", "name"),
        ("'é'", "name"),
        ("repeat('f', 256)", "name"),
        ("$$f'); drop table outlast.workflow_status; --$$", "name"),
        ("'f', null", "the input is null"),
        ("'f', null::jsonb", "the input is null"),
        ("'f', ''", "no JSON"),
        ("'f', '{'", "no JSON"),
        ("'f', '{\"a\": NaN}'", "no JSON"),
        (r"""'f', '"\u0000"'::json""", "no JSON"),
        ("'f', repeat('[', 100000) || repeat(']', 100000)", "no JSON"),
        ("'f', to_json(repeat('x', 16777216))", "16777218 bytes, and at most 16777216"),
        ("'f', '{}', ''", "1 to 255"),
        ("'f', '{}', repeat('k', 256)", "1 to 255"),
        ("'f', '{}', 'ключ'", "printable ASCII"),
        (r"'f', '{}', E'k\n'", "printable ASCII"),
        ("'f', queue => ''", "queue"),
        ("'f', queue => 'a b'", "queue"),
        ("'f', queue => repeat('q', 256)", "queue"),
    ],
)
def test_what_is_refused(untouched: Connection[Any], arguments: str, why: str) -> None:
    with pytest.raises(errors.InvalidParameterValue, match=why):
        untouched.execute(f"select outlast.start({arguments})".encode())
    assert one(untouched, "select count(*) from outlast.workflow_status") == 0


def test_any_json_may_be_an_input(connection: Connection[Any]) -> None:
    for value in ("null", "[1]", '"x"', "17", "{}"):
        workflow_id = start(connection, body=value)
        assert row_of(connection, workflow_id)["input"] == json.loads(value)


def test_hostile_texts_are_texts(connection: Connection[Any]) -> None:
    hostile = """'; drop table outlast.workflow_status; --"$$%s\\"""
    workflow_id = one(connection, "select outlast.start('f', %s, %s)", Jsonb({hostile: hostile}), hostile)
    row = row_of(connection, workflow_id)
    assert (row["input"], row["idempotency_key"]) == ({hostile: hostile}, hostile)


def test_a_callers_search_path_changes_nothing(connection: Connection[Any]) -> None:
    connection.execute(
        """
        create schema evil;
        create function evil.sha256(bytea) returns bytea language sql as $$ select '\\x00'::bytea $$;
        create function evil.length(text) returns int language sql as $$ select 1 / 0 $$;
        create table evil.workflow_status ();
        set search_path = evil, pg_catalog
        """
    )
    expected = workflow_id_of("f", None, ":" * 255)
    assert start(connection, key=":" * 255) == expected


# --- the same key again -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["ENQUEUED", "PENDING", "SUCCESS", "ERROR", "CANCELLED", "EXHAUSTED"])
def test_the_same_key_is_the_same_workflow_however_it_stands(
    connection: Connection[Any], status: str
) -> None:
    assert start(connection, key="k") == "f:k"
    connection.execute("update outlast.workflow_status set status = %s, output = '\"secret\"'", (status,))
    before = row_of(connection, "f:k")
    assert start(connection, body=" { } ", key="k") == "f:k"
    assert row_of(connection, "f:k") == before
    with pytest.raises(psycopg.Error) as refused:
        start(connection, body='{"a": 1}', key="k")
    assert refused.value.sqlstate == "PT422"
    told = f"{refused.value.diag.message_primary}{refused.value.diag.message_detail}"
    assert "another payload" in told
    assert not any(word in told for word in ("secret", status, "{}"))


def test_a_key_that_http_used_is_refused_the_same_way(connection: Connection[Any]) -> None:
    connection.execute(
        "insert into outlast.workflow_status (workflow_id, function, status, fingerprint) "
        "values ('f:k', 'f', 'PENDING', null)"
    )
    with pytest.raises(psycopg.Error, match="another payload"):
        start(connection, key="k")


@contextlib.asynccontextmanager
async def open_at(url: str, level: IsolationLevel) -> AsyncIterator[AsyncConnection[Any]]:
    async with await AsyncConnection.connect(url) as connection:
        await connection.set_isolation_level(level)
        await connection.execute("select 1 from outlast.workflow_status")  # its snapshot
        yield connection


@pytest.mark.parametrize("level", list(IsolationLevel)[1:])
@pytest.mark.parametrize("kept", [True, False])
async def test_two_transactions_with_one_key_at_once(
    supabase_database: str, level: IsolationLevel, kept: bool
) -> None:
    query = "select outlast.start('f', '{}', 'k')"
    async with open_at(supabase_database, level) as first, open_at(supabase_database, level) as second:
        await first.execute(query)
        waiting = asyncio.create_task(second.execute(query))
        await waits_for_a_lock(supabase_database, waiting)
        assert not waiting.done()
        await (first.commit() if kept else first.rollback())
        async with asyncio.timeout(WAIT_S):
            if kept and level is not IsolationLevel.READ_COMMITTED:
                with pytest.raises(errors.SerializationFailure):
                    await waiting
                await second.rollback()
                cursor = await second.execute(query)
            else:
                cursor = await waiting
        assert await cursor.fetchall() == [("f:k",)]
        await second.commit()
        cursor = await first.execute("select count(*) from outlast.workflow_status")
        assert await cursor.fetchall() == [(1,)]


@pytest.mark.parametrize("level", list(IsolationLevel)[1:])
async def test_every_isolation_level_starts_and_attaches(
    supabase_database: str, level: IsolationLevel
) -> None:
    async with open_at(supabase_database, level) as connection:
        for body in ("{}", " {} "):
            cursor = await connection.execute("select outlast.start('f', %s, 'k')", (Json({}),))
            assert await cursor.fetchall() == [("f:k",)], body
            await connection.commit()


# --- who calls ----------------------------------------------------------------------------------------


def stored_caller(connection: Connection[Any], workflow_id: str) -> tuple[str | None, Caller]:
    query = "select subject, claims::text from outlast.workflow_status where workflow_id = %s"
    subject, claims = one(connection, query, workflow_id)
    return subject, Caller.from_record(claims)


def test_a_user_owns_what_is_started_for_them(connection: Connection[Any]) -> None:
    with as_user(connection, {**USER, "outlast": {"mode": "secret", "key": "default"}}):
        workflow_id = start(connection, key="k")
    assert workflow_id == f"f:{USER['sub']}:k"
    subject, caller = stored_caller(connection, workflow_id)
    assert (subject, caller) == (USER["sub"], Caller("user", USER))
    assert (caller.id, caller.role, caller.email) == (USER["sub"], "authenticated", "ada@example.com")


@pytest.mark.parametrize("claims", ["", None])
def test_sql_without_claims_is_the_service(connection: Connection[Any], claims: str | None) -> None:
    if claims is None:
        workflow_id = start(connection, key="k")
    else:
        with as_user(connection, claims):
            workflow_id = start(connection, key="k")
    assert workflow_id == "f:k"
    subject, caller = stored_caller(connection, workflow_id)
    assert (subject, caller.mode, caller.role, caller.key_name) == (None, "sql", "service_role", None)


def test_the_service_role_has_no_subject(connection: Connection[Any]) -> None:
    with as_user(connection, {"role": "service_role", "iss": "supabase"}, "service_role"):
        workflow_id = start(connection, key="k")
    assert workflow_id == "f:k"
    subject, caller = stored_caller(connection, workflow_id)
    assert (subject, caller.mode, caller.role, caller.id) == (None, "secret", "service_role", None)


@pytest.mark.parametrize(
    "claims",
    [
        {"role": "anon"},
        {"role": "authenticated"},
        {},
        {"role": "anon", "sub": ""},
        {"sub": 7},
        {"role": ["service_role"]},
    ],
)
def test_who_has_no_subject_shares_keys_that_must_be_uuids(connection: Connection[Any], claims: Any) -> None:
    with as_user(connection, claims), pytest.raises(errors.InvalidParameterValue, match="UUID"):
        start(connection, key="k")
    with as_user(connection, claims):
        assert start(connection, key=UUID) == workflow_id_of("f", "anon", UUID)
        assert start(connection).startswith("f:0")
    subject, caller = stored_caller(connection, workflow_id_of("f", "anon", UUID))
    assert (subject, caller.id, dict(caller.claims)) == (None, None, claims)
    assert caller.role != "service_role"


@pytest.mark.parametrize("claims", ["{", "[]", "7", '"x"', "null"])
def test_claims_that_are_none_are_refused(untouched: Connection[Any], claims: str) -> None:
    with (
        pytest.raises(errors.InvalidParameterValue, match=r"request\.jwt\.claims"),
        as_user(untouched, claims),
    ):
        start(untouched)


# --- who may ------------------------------------------------------------------------------------------

GRANT = """
grant execute on function
  outlast.start(text, text, text, text, integer, interval, jsonb), outlast.start_own
  to authenticated, anon;
grant usage on schema outlast to anon;
"""


@pytest.mark.parametrize("role", ["anon", "authenticated", "authenticator"])
def test_nobody_may_by_themselves(untouched: Connection[Any], role: str) -> None:
    calls = [
        "start('f')", "start('f', json '{}')", "start('f', jsonb '{}')", "cancel('f:k')", "cancel_any('f:k')",
        "cancel_own('f:k')", "start_any('f', '{}', null, null)", "start_own('f', '{}', null, null)",
        "start_as('f', '{}', null, null, null, null, null, null)", "claims()", "subject('{}')",
        "workflow_id_of('f', null, 'k')",
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(errors.InsufficientPrivilege), as_user(untouched, USER, role):
            untouched.execute(f"select outlast.{call}".encode())


def test_the_service_role_may_in_every_form(connection: Connection[Any]) -> None:
    for body in ("'{}'", "json '{}'", "jsonb '{}'"):
        with as_user(connection, {"role": "service_role"}, "service_role"):
            assert one(connection, f"select outlast.start('f', {body}, 'k')") == "f:k"
    with as_user(connection, {"role": "service_role"}, "service_role"):
        assert one(connection, "select outlast.cancel('f:k')") is True


def test_users_who_may_start_can_forge_nobody_else(connection: Connection[Any]) -> None:
    connection.execute(GRANT.encode())
    with as_user(connection, USER, "authenticated"):
        assert start(connection, key="k") == f"f:{USER['sub']}:k"
        assert start(connection, key="other:k") == f"f:{USER['sub']}:other%3Ak"
    with as_user(connection, "", "authenticated"), pytest.raises(errors.InvalidParameterValue, match="UUID"):
        start(connection, key="k")
    with as_user(connection, "", "anon"):
        workflow_id = start(connection, key=UUID)
    assert stored_caller(connection, workflow_id)[1] == Caller("publishable", {"role": "anon"})
    assert one(connection, "select count(*) from outlast.workflow_status where workflow_id = 'f:k'") == 0


def test_a_definer_function_may_start_what_belongs_to_nobody(connection: Connection[Any]) -> None:
    connection.execute(
        """
        create function public.tidy_up() returns text
        language sql security definer set search_path = '' set request.jwt.claims = ''
        as $$ select outlast.start('f', idempotency_key => 'k') $$
        """
    )
    with as_user(connection, USER, "authenticated"):
        assert one(connection, "select public.tidy_up()") == "f:k"
    assert stored_caller(connection, "f:k")[1].mode == "sql"


def test_what_a_project_grants_outlasts_a_second_run_of_the_migration(connection: Connection[Any]) -> None:
    from outlast.store.migrations import migrations

    connection.execute(GRANT.encode())
    for migration in migrations():
        connection.execute(migration.text().encode())
    with as_user(connection, USER, "authenticated"):
        assert start(connection, key="k") == f"f:{USER['sub']}:k"
