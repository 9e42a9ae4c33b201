"""What a transaction leaves in its session: nothing, however it ends, and whoever comes next."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from outlast import transaction, workflow
from outlast.store.connections import Database
from outlast.store.postgres import PostgresStore
from tests.engine.harness import Bench, engine_on
from tests.engine.test_callers import ADA, EVE, SCHEMA, run_as, start_as, user
from tests.pooler import Pooler, program

FOUND = """
select json_build_object(
  'session', session_user, 'role', current_setting('role'),
  'claims', coalesce(current_setting('request.jwt.claims', true), ''),
  'app', coalesce(current_setting('app.tenant', true), ''), 'path', current_setting('search_path'),
  'jit', current_setting('jit'), 'statement_timeout', current_setting('statement_timeout'),
  'lock_timeout', current_setting('lock_timeout'),
  'idle', current_setting('idle_in_transaction_session_timeout'),
  'application_name', current_setting('application_name'), 'zone', current_setting('TimeZone'),
  'temporary', (select count(*) from pg_class where relnamespace = pg_my_temp_schema()),
  'locks', (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),
  'channels', (select count(*) from pg_listening_channels()),
  'cursors', (select count(*) from pg_cursors where name <> ''),
  'read_only', current_setting('default_transaction_read_only'),
  'isolation', current_setting('default_transaction_isolation'), 'dates', current_setting('DateStyle'),
  'encoding', current_setting('client_encoding'),
  'prepared', (select count(*) from pg_prepared_statements where from_sql)
)
"""
LEAVING = [
    "set app.tenant = 'ada'",
    "select set_config('app.tenant', 'ada', false)",
    "set search_path = pg_temp, public",
    "set statement_timeout = '7s'",
    "set lock_timeout = '7s'",
    "set jit = on",
    "set idle_in_transaction_session_timeout = 0",
    "set application_name = 'ada'",
    "set timezone = 'Asia/Tokyo'",
    "set standard_conforming_strings = off",
    "create temporary table mine (n int)",
    "create temporary view mine as select 1 as n",
    "create function pg_temp.mine() returns int language sql as 'select 1'",
    "select pg_advisory_lock(4711)",
    "listen ada",
    "declare mine cursor with hold for select 1 as n",
    "prepare mine as select 1",
    "select set_config('app.tenant', 'ada', false), pg_advisory_lock_shared(1, 2)",
    "do $$ begin perform set_config('app.tenant', 'ada', false); execute 'listen ada'; end $$",
    "set role authenticated",
    "set session authorization authenticator; set role authenticated",
    "create temporary sequence mine; select nextval('mine')",
]


@transaction
async def look(tx: Any) -> Any:
    return (await (await tx.execute(FOUND)).fetchone())[0]


@transaction(role="caller")
async def seen(tx: Any) -> Any:
    return (await (await tx.execute(FOUND)).fetchone())[0]


@transaction(role="caller")
async def leave(tx: Any, statement: str, fails: bool) -> None:
    await tx.execute(statement.encode())
    if fails:
        raise ValueError("after all")


@transaction
async def leave_plain(tx: Any, statement: str, fails: bool) -> None:
    await tx.execute(statement.encode())
    if fails:
        raise ValueError("after all")


@transaction(timeout=0.1)
async def overrun_plain(tx: Any, statement: str) -> None:
    await tx.execute(statement.encode())
    await tx.execute("select pg_sleep(60)")


@transaction(role="caller", timeout=0.1)
async def overrun(tx: Any, statement: str) -> None:
    await tx.execute(statement.encode())
    await tx.execute("select pg_sleep(60)")


@workflow
async def leaving(statement: str, how: str) -> None:
    for _ in range(2):  # the second finds what the first has left
        try:
            await (overrun(statement) if how == "overruns" else leave(statement, how == "fails"))
        except (ValueError, TimeoutError):
            continue
        assert how == "ends"


@workflow
async def looking() -> Any:
    return await look()


@workflow
async def leaving_plain(statement: str, how: str) -> None:
    for _ in range(2):
        try:
            await (overrun_plain(statement) if how == "overruns" else leave_plain(statement, how == "fails"))
        except (ValueError, TimeoutError):
            continue
        assert how == "ends"


FLOWS = (leaving, leaving_plain, looking)
PLAINLY = [
    *[each for each in LEAVING if "role" not in each],  # by which the record could not be written
    "set session characteristics as transaction read only",
    "set default_transaction_isolation = 'serializable'",
    "set datestyle = 'SQL, DMY'; set client_encoding = 'LATIN1'",
    "select pg_advisory_lock(n) from generate_series(1, 10) as n",
]


@pytest.mark.postgres
@pytest.mark.parametrize("how", ["ends", "fails", pytest.param("overruns", marks=pytest.mark.slow)])
async def test_nothing_is_left_in_the_session(supabase_database: str, how: str) -> None:
    """Over the one pooled connection of the instance."""
    async with engine_on(supabase_database, *FLOWS, connections=3) as bench:
        before = await bench.run(looking)
        for statement in LEAVING:
            await run_as(bench, user(ADA), leaving, statement, how)
            assert await bench.run(looking) == before, statement


@pytest.mark.postgres
@pytest.mark.parametrize("how", ["ends", "fails", pytest.param("overruns", marks=pytest.mark.slow)])
async def test_nothing_is_left_by_the_services_own(database: str, how: str) -> None:
    async with engine_on(database, *FLOWS, connections=3) as bench:
        before = await bench.run(looking)
        for statement in PLAINLY:
            await bench.run(leaving_plain, statement, how)
            assert await bench.run(looking) == before, statement


@pytest.mark.postgres
async def test_bodies_wait_for_locks_as_the_server_says_and_not_as_the_engine(supabase_database: str) -> None:
    @workflow
    async def flow() -> Any:
        return [(await each())["lock_timeout"] for each in (look, seen, look)]

    async with engine_on(supabase_database, flow, connections=3) as bench:
        assert await run_as(bench, user(EVE), flow) == ["0", "0", "0"]
    with psycopg.connect(supabase_database, autocommit=True) as connection:
        database = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("alter database {} set lock_timeout = '7s'").format(database))
    async with engine_on(supabase_database, flow, connections=3) as bench:
        assert await run_as(bench, user(EVE), flow) == ["7s", "7s", "7s"]


async def test_callers_find_nothing_of_a_service_transaction(supabase_database: str) -> None:

    @transaction
    async def careless(tx: Any) -> None:
        await tx.execute("set app.tenant = 'ada'; create temporary table mine (n int)")

    @workflow
    async def flow() -> Any:
        await careless()
        return await seen()

    async with engine_on(supabase_database, flow, connections=3) as bench:
        found = await run_as(bench, user(EVE), flow)
        assert (found["app"], found["temporary"]) == ("", 0)


@pytest.mark.postgres
async def test_the_engine_runs_nothing_of_a_body_under_its_own_role(supabase_database: str) -> None:
    """What a body put in the way, or put off to the commit, would act with the rights of the engine."""
    traps = """
        create table public.ran (who text);
        grant insert on public.ran to authenticated;
        create schema traps authorization authenticated;
    """
    trap = "language plpgsql as $$ begin insert into public.ran values (current_user); return {}; end $$"
    statements = [
        f"create function traps.set_config(text, text, boolean) returns text {trap.format('$2')}",
        f"create function traps.current_setting(text, boolean) returns text {trap.format('null')}",
        f"create function traps.later() returns int {trap.format(1)}",
        "declare c cursor with hold for select traps.later()",
        "set search_path = traps, pg_catalog, public",
    ]

    @transaction(role="caller")
    async def lay(tx: Any) -> None:
        for statement in statements:
            await tx.execute(statement.encode())

    @workflow
    async def flow() -> None:
        await lay()

    async with engine_on(supabase_database, flow) as bench:
        await bench.rows(traps)
        await run_as(bench, user(ADA), flow)
        assert await bench.rows("select distinct who from public.ran where who <> 'authenticated'") == []


ENDING = [
    "commit",
    "rollback",
    "commit; begin",
    "rollback; begin",
    "commit and chain",
    "rollback and chain",
    "commit; set role none; begin",
    "commit; select set_config('app.tenant', 'ada', false); begin",
    "prepare transaction 'mine'",
    "do $$ begin commit; end $$",
    "savepoint mine; rollback to mine; release mine; select 1/0",
]


async def test_a_body_that_ends_its_transaction_leaves_nothing_either(supabase_database: str) -> None:
    before = "set app.tenant = 'ada'; select pg_advisory_lock(4711); prepare mine as select 1; listen ada"

    @transaction(role="caller")
    async def ends(tx: Any, ending: str) -> None:
        for statement in (before, ending):
            await tx.execute(statement.encode())

    @workflow
    async def flow(ending: str) -> None:
        await ends(ending)

    async with engine_on(supabase_database, *FLOWS, flow, connections=3) as bench:
        found = await bench.run(looking)
        for ending in ENDING:
            failure = await bench.failure(await start_as(bench, user(ADA), flow, ending))
            assert failure["failure"]["type"] != "WorkflowCancelled", (ending, failure)
            assert await bench.run(looking) == found, ending


# --- those that don't let go of their connection ------------------------------------------------------------

SLEEPING = """
select query from pg_stat_activity
where datname = current_database() and state = 'active' and pid <> pg_backend_pid()
  and position('pg_sleep(60)' in query) > 0
"""
COUNT = "insert into public.effects values (%s)"
TABLE = "create table public.effects (n int); grant insert on public.effects to public"


@workflow
async def following() -> Any:
    """Another user's transaction, over the same connection."""
    return await note_effect()


@transaction(role="caller")
async def note_effect(tx: Any) -> None:
    await tx.execute(COUNT, (2,))


@pytest.mark.postgres
@pytest.mark.parametrize("role", ["caller", "service"])
async def test_a_thread_whose_attempt_is_over_has_no_connection(supabase_database: str, role: Any) -> None:
    going, over = threading.Event(), threading.Event()
    raised: list[BaseException] = []

    @transaction(role=role, timeout=0.3)
    def overrun_def(tx: Any) -> None:
        going.wait(20)
        try:
            tx.execute(COUNT, (1,))
        except BaseException as error:
            raised.append(error)
            raise
        finally:
            over.set()

    @workflow
    async def flow() -> None:
        await overrun_def.aio()

    async with engine_on(supabase_database, flow, following, connections=3) as bench:
        await bench.rows(TABLE)
        failure = await bench.failure(await start_as(bench, user(ADA), flow))
        assert failure["failure"]["type"] == "TimeoutError", failure
        going.set()
        assert await asyncio.to_thread(over.wait, 20)
        assert raised, "the thread used a connection that may be somebody else's"
        await run_as(bench, user(EVE), following)
        assert await bench.rows("select n from public.effects") == [{"n": 2}]


@pytest.mark.postgres
@pytest.mark.parametrize("role", ["caller", "service"])
async def test_a_statement_of_a_thread_is_cut_off_with_its_attempt(supabase_database: str, role: Any) -> None:
    @transaction(role=role, timeout=0.3)
    def overrun_def(tx: Any) -> None:
        tx.execute("select pg_advisory_lock(1), pg_sleep(60)")

    @workflow
    async def flow() -> None:
        await overrun_def.aio()

    async with engine_on(supabase_database, flow, following, looking, connections=3) as bench:
        await bench.rows(TABLE)
        failure = await bench.failure(await start_as(bench, user(ADA), flow))
        assert failure["failure"]["type"] == "TimeoutError", failure
        await run_as(bench, user(EVE), following)
        assert await bench.rows(SLEEPING) == []
        assert (await bench.run(looking))["locks"] == 0


@pytest.mark.postgres
@pytest.mark.parametrize("role", ["caller", "service"])
async def test_what_a_body_leaves_running_has_no_connection(supabase_database: str, role: Any) -> None:
    going = asyncio.Event()
    left: list[asyncio.Task[None]] = []

    async def later(tx: Any) -> None:
        await going.wait()
        await tx.execute(COUNT, (1,))

    @transaction(role=role)
    async def careless(tx: Any) -> None:
        left.append(asyncio.create_task(later(tx)))

    @workflow
    async def flow() -> None:
        await careless()

    async with engine_on(supabase_database, flow, following, connections=3) as bench:
        await bench.rows(TABLE)
        await run_as(bench, user(ADA), flow)
        going.set()
        (outcome,) = await asyncio.wait_for(asyncio.gather(*left, return_exceptions=True), 20)
        assert "after its end" in str(outcome)
        await run_as(bench, user(EVE), following)
        assert await bench.rows("select n from public.effects") == [{"n": 2}]


HALVES = ["pipeline", "copy", "threshold"]


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("role", ["caller", "service"])
async def test_a_body_that_ends_in_the_midst_of_something(
    supabase_database: str, half: str, role: Any
) -> None:
    @transaction(role=role)
    async def careless(tx: Any) -> None:
        await tx.execute(COUNT, (1,))
        if half == "pipeline":
            await tx.pipeline().__aenter__()
        elif half == "copy":
            await tx.cursor().copy("copy public.effects from stdin").__aenter__()
        else:
            tx.prepare_threshold = 0

    @workflow
    async def flow() -> None:
        await careless()

    async with engine_on(supabase_database, flow, following, connections=3) as bench:
        await bench.rows(TABLE)
        failure = await bench.failure(await start_as(bench, user(ADA), flow))
        assert failure["failure"]["type"] == "UsageError", failure
        await run_as(bench, user(EVE), following)
        assert await bench.rows("select n from public.effects") == [{"n": 2}]


# --- through a pooler ---------------------------------------------------------------------------------------

BINARY = program()


@pytest.fixture
def pooler(supabase_database: str) -> Iterator[Pooler]:
    if BINARY is None:
        pytest.skip("SKIPPED LOUDLY: there is no pgbouncer here")
    pooler = Pooler(BINARY, supabase_database, 1)
    pooler.start()
    yield pooler
    print(f"--- pooler\n{pooler.said()}")  # noqa: T201 - captured
    pooler.close()


def lend(bench: Bench, store: PostgresStore) -> None:
    """Let the engine's transactions go by `store`."""
    bench.engine._executor._services.transactions = store.transactions


@pytest.mark.parametrize("how", ["ends", "fails", pytest.param("overruns", marks=pytest.mark.slow)])
async def test_nothing_is_left_in_the_session_of_a_transaction_pooler(
    supabase_database: str, pooler: Pooler, how: str
) -> None:
    """Its one server session is a stranger's the moment after."""
    async with engine_on(supabase_database, *FLOWS) as bench:
        await bench.rows(SCHEMA)
        database = Database.at(pooler.url, "tests", sessions=False)
        store = PostgresStore(database, bench.instance_id, "test", 6, bench.store.instances._limits)
        lend(bench, store)

        async def found() -> Any:
            async with await psycopg.AsyncConnection.connect(
                pooler.url, autocommit=True, prepare_threshold=None, application_name="stranger"
            ) as stranger:
                row = await (await stranger.execute(FOUND.encode())).fetchone()
                assert row is not None
                return row[0]

        await bench.run(looking)
        before, mine = await found(), await bench.run(looking)
        for statement in LEAVING:
            await run_as(bench, user(ADA), leaving, statement, how)
            assert await found() == before, statement
            assert await bench.run(looking) == mine, statement
        await store.close()
