"""Whatever a role or a database was given by ALTER … SET: workflows run, and are listed, as without it."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import sql

from outlast import publish, receive, send, sleep, start, step, transaction, workflow
from outlast.core.resources import EVENTS, STEPS, WORKFLOWS
from outlast.store.connections import RELIED_ON, Database
from tests.engine.harness import engine_on

pytestmark = pytest.mark.postgres

TEXT = 'Zoë, "ю" \\ {NULL} 中 🚲'

# Those that what we send and read could rely on, each at the values that would do most harm. What stands in
# one group is set at once.
RISKY: dict[str, dict[str, str]] = {
    "what is written": {
        "datestyle": "SQL, DMY",
        "intervalstyle": "sql_standard",
        "timezone": "Asia/Kathmandu",
        "client_encoding": "LATIN1",
        "extra_float_digits": "-15",
        "array_nulls": "off",
        "bytea_output": "escape",
        "search_path": "",
        "default_transaction_isolation": "serializable",
    },
    "written otherwise": {
        "datestyle": "German",
        "timezone": "FOO+12:34",
        "client_encoding": "SQL_ASCII",
        "extra_float_digits": "0",
        "search_path": "nowhere",
        "default_transaction_isolation": "repeatable read",
        "default_transaction_deferrable": "on",
        "plpgsql.variable_conflict": "use_column",
    },
    "what is read": {
        "client_encoding": "EUC_JP",
        "standard_conforming_strings": "off",
        "backslash_quote": "off",
        "transform_null_equals": "on",
        "row_security": "off",
        "check_function_bodies": "off",
        "plan_cache_mode": "force_custom_plan",
        "plpgsql.extra_errors": "shadowed_variables",
    },
    "how a session ends": {
        "client_min_messages": "error",
        "exit_on_error": "on",
        "lc_messages": "C",
        "track_activities": "off",
        "statement_timeout": "20s",
        "lock_timeout": "10s",
    },
    "an idle session": {"idle_session_timeout": "20ms"},
}
UNTOUCHED = {
    "default_transaction_read_only": "the project's own brake, as when its disk is full: docs/connections.md",
    "transaction_read_only": "the same",
    "zero_damaged_pages": "destroys data",
    "ignore_system_indexes": "not to be set in a session",
    "ignore_checksum_failure": "reads what is damaged",
    "allow_in_place_tablespaces": "for Postgres's own tests",
    "allow_system_table_mods": "for Postgres's own tests",
    "synchronous_commit": "how durable a commit is says whose database it is: docs/connections.md",
    "session_replication_role": "switches triggers and foreign keys off; superusers' alone",
    "exit_on_error": "in RISKY",
    "transaction_deferrable": "of a transaction",
    "transaction_isolation": "of a transaction",
    "session_authorization": "of a session",
    "role": "of a session",
    "debug_discard_caches": "slow",
    "xmloption": "no XML",
}


@step
async def say(text: str) -> str:
    return text


@transaction
async def stored(tx: Any, text: str) -> list[Any]:
    row = await (
        await tx.execute("select %s::text, array[%s, null]::text[], 0.1::float8", (text, text))
    ).fetchone()
    return list(row)


@workflow
async def child(text: str) -> list[Any]:
    return [await receive(), await say(text)]


@workflow
async def flow(text: str) -> list[Any]:
    other = await start(child, text)
    await send(other.workflow_id, {"text": text})
    said, kept = await say(text), await stored(text)
    await publish("progress", text)
    await sleep(0.3)  # it leaves the memory and comes back
    return [said, kept, await other.result()]


EXPECTED = [TEXT, [TEXT, [TEXT, None], 0.1], [{"text": TEXT}, TEXT]]


async def all_works(url: str, sessions: bool | None) -> None:
    async with engine_on(url, flow, child, sessions=sessions, moment_s=0.05) as bench:
        workflow_id = await bench.start(flow, TEXT)
        assert await bench.result(workflow_id) == EXPECTED
        workflows = bench.store.workflows
        listed, _ = await workflows.listing(WORKFLOWS, {}, limit=10)
        assert {each["status"] for each in listed} == {"SUCCESS"}
        assert (await workflows.listing(STEPS, {"workflow_id": workflow_id})).rows
        assert (await workflows.steps_after(workflow_id, 0, 9)).rows
        assert len((await workflows.listing(EVENTS, {"workflow_id": workflow_id}, (0,), 9)).rows) == 1
        assert (await workflows.show(workflow_id) or {})["status"] == "SUCCESS"


def give(url: str, settings: dict[str, str]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        for key, value in settings.items():
            assignment = sql.SQL("alter database {} set {} = {}")
            connection.execute(assignment.format(name, sql.Identifier(*key.split(".")), sql.Literal(value)))


@pytest.mark.parametrize("sessions", [True, False], ids=["sessions", "no sessions"])
@pytest.mark.parametrize("group", RISKY)
async def test_a_setting_changes_nothing(database: str, group: str, sessions: bool) -> None:
    if group == "an idle session" and not sessions:
        pytest.skip("the sessions of a pooler are its own affair")
    give(database, RISKY[group])
    await all_works(database, sessions)


@pytest.mark.parametrize("sessions", [None, False], ids=["direct", "no sessions"])
async def test_all_the_other_switches_at_once(database: str, sessions: bool | None) -> None:
    """Each setting of Postgres's list that is on or off, or one of a few words, as it usually isn't."""
    query = """
        select name, setting, vartype, enumvals from pg_settings
        where context in ('user', 'superuser') and vartype in ('bool', 'enum') order by name
    """
    with psycopg.connect(database, autocommit=True) as connection:
        found = connection.execute(query).fetchall()
    known = {name for group in RISKY.values() for name in group} | set(UNTOUCHED)
    changed = {
        name: ("off" if now == "on" else "on")
        if kind == "bool"
        else [*[e for e in words if e != now], now][0]
        for name, now, kind, words in found
        if name not in known and not name.startswith(("log_", "debug_", "trace_", "wal_"))
    }
    assert len(changed) > 40
    give(database, changed)
    await all_works(database, sessions)


async def test_an_encoding_that_a_pooler_lost_is_made_in_each_transaction(database: str) -> None:
    """A session whose startup parameters were lost, behind what isn't known to keep sessions."""
    needed = '{"client_encoding": "UTF8", "DateStyle": "ISO"}'
    async with await Database.at(database, "tests", False).connect() as connection:
        await connection.execute("set client_encoding = 'LATIN1'")
        await connection.execute("set datestyle = 'SQL, DMY'")
        connection.needed = needed
        for _ in range(2):
            cursor = await connection.execute("select %s::text, now(), current_setting('datestyle')", (TEXT,))
            row = await cursor.fetchone()
            assert row is not None
            assert (row[0], row[2]) == (TEXT, "ISO, DMY")
        connection.needed = None
        cursor = await connection.execute("select current_setting('client_encoding')")
        assert await cursor.fetchone() == ("LATIN1",)


async def test_what_is_as_relied_on_costs_nothing(database: str) -> None:
    for sessions in (None, False):
        async with await Database.at(database, "tests", sessions).connect() as connection:
            assert connection.needed is None
            assert not set(RELIED_ON) & set(connection.settings) - {
                "client_encoding",
                "DateStyle",
                "IntervalStyle",
            }
