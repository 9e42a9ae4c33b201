"""Transactions as the caller: row-level security holds in all of the body, and nothing of it stays behind."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from outlast import UsageError, WorkflowFailed, context, step, transaction, workflow
from outlast.core.callers import NOBODY, Caller
from outlast.store.connections import Database
from outlast.store.postgres import PostgresStore
from tests.engine.harness import Bench, engine_on
from tests.pooler import Pooler, program

SCHEMA = """
create table public.notes (id serial primary key, owner uuid default auth.uid(), text text unique);
alter table public.notes enable row level security;
create policy own on public.notes to authenticated using (owner = auth.uid()) with check (owner = auth.uid());
create table public.private (n int);
revoke all on public.private from anon, authenticated;
"""
WHO = """
select current_user::text, session_user::text, current_setting('role'),
       coalesce(current_setting('request.jwt.claims', true), '')
"""
ADA, EVE = "0b29ad4e-6d0f-4b7a-9d5e-a1a1a1a1a1a1", "7c1f0c52-1f0b-4d3e-8f0a-e0e0e0e0e0e0"


def user(subject: str, **claims: Any) -> Caller:
    return Caller("user", {"sub": subject, "role": "authenticated", "aud": "authenticated", **claims})


async def start_as(bench: Bench, caller: Caller, flow: Any, *args: Any) -> str:
    """Start a workflow as the web does for a caller."""
    definition = flow.definition
    new = bench.new(definition, args, subject=caller.id, claims=caller.record())
    await bench.engine.starts.start_new(new, definition, None)
    return new.workflow_id


async def run_as(bench: Bench, caller: Caller, flow: Any, *args: Any) -> Any:
    return await bench.result(await start_as(bench, caller, flow, *args))


@transaction(role="caller")
async def who(tx: Any) -> list[str]:
    return list(await (await tx.execute(WHO)).fetchone())


@transaction
async def who_after(tx: Any) -> list[str]:
    return list(await (await tx.execute(WHO)).fetchone())


@transaction(role="caller")
async def note(tx: Any, text: str, owner: str | None = None) -> list[str]:
    if owner is None:
        await tx.execute("insert into public.notes (text) values (%s)", (text,))
    else:
        await tx.execute("insert into public.notes (text, owner) values (%s, %s)", (text, owner))
    return [
        row[0] for row in await (await tx.execute("select text from public.notes order by id")).fetchall()
    ]


@transaction(role="caller")
def note_def(tx: Any, text: str) -> list[str]:
    tx.execute("insert into public.notes (text) values (%s)", (text,))
    return [row[0] for row in tx.execute("select text from public.notes order by id").fetchall()]


@transaction(role="caller")
async def run_sql(tx: Any, *statements: str) -> None:
    for statement in statements:
        await tx.execute(statement.encode())


@workflow
async def noting(text: str, owner: str | None = None) -> list[str]:
    return await note(text, owner)


@workflow
async def noting_def(text: str) -> list[str]:
    return await note_def.aio(text)


@workflow
async def asking() -> list[list[str]]:
    return [await who(), await who_after()]


@workflow
async def running(statements: list[str]) -> None:
    await run_sql(*statements)


FLOWS = (noting, noting_def, asking, running)


async def test_each_caller_has_rows_of_their_own(supabase_database: str) -> None:
    async with engine_on(supabase_database, *FLOWS) as bench:
        await bench.rows(SCHEMA)
        assert await run_as(bench, user(ADA), noting, "one") == ["one"]
        assert await run_as(bench, user(EVE), noting, "two") == ["two"]
        assert await run_as(bench, user(ADA), noting_def, "three") == ["one", "three"]
        owners = await bench.rows("select owner::text, text from public.notes order by id")
        assert [(row["owner"], row["text"]) for row in owners] == [(ADA, "one"), (EVE, "two"), (ADA, "three")]


async def test_effects_and_record_are_one_commit_and_the_record_is_the_engines(
    supabase_database: str,
) -> None:
    async with engine_on(supabase_database, *FLOWS) as bench:
        await bench.rows(SCHEMA)
        await run_as(bench, user(ADA), noting, "one")
        query = (
            "select xmin::text from public.notes union select xmin::text from outlast.operation_outputs"
            " where name = 'note'"
        )
        assert len(await bench.rows(query)) == 1


async def test_what_the_policy_refuses_is_the_steps_error(supabase_database: str) -> None:
    async with engine_on(supabase_database, *FLOWS) as bench:
        await bench.rows(SCHEMA)
        for caller, owner in [(user(ADA), EVE), (NOBODY, ADA), (Caller("publishable"), ADA)]:
            failure = await bench.failure(await start_as(bench, caller, noting, "forged", owner))
            assert failure["failure"]["type"] == "InsufficientPrivilege", failure
        failure = await bench.failure(
            await start_as(bench, user(ADA), running, ["insert into public.private values (1)"])
        )
        assert failure["failure"]["type"] == "InsufficientPrivilege", failure
        assert await bench.rows("select * from public.notes") == []


@pytest.mark.postgres
async def test_who_one_is_in_it_and_after_it(supabase_database: str) -> None:
    """Two transactions over the instance's one pooled connection."""
    async with engine_on(supabase_database, *FLOWS, connections=3) as bench:
        await bench.rows(SCHEMA)
        (me,) = await bench.rows("select current_user::text as name")
        caller = user(ADA, email="a@example.com")
        inside, after = await run_as(bench, caller, asking)
        assert inside[:3] == ["authenticated", me["name"], "authenticated"]
        assert json.loads(inside[3]) == dict(caller.claims)
        assert after == [me["name"], me["name"], "none", ""]
        for caller, role in [
            (NOBODY, "anon"),
            (Caller("publishable", {}, "default"), "anon"),
            (Caller("secret", {}, "default"), "service_role"),
            (Caller("sql"), "service_role"),
        ]:
            inside, after = await run_as(bench, caller, asking)
            assert inside[0] == role
            assert json.loads(inside[3])["role"] == role
            assert after == [me["name"], me["name"], "none", ""]


HOSTILE = [
    "'; reset role; --",
    '"; drop table public.notes; --',
    "$$; set role postgres; $$",
    "\\'; select 1; \\",
    "%s %(role)s %%",
    "ü € 𝄞 \u2028 \x01",
]


@pytest.mark.parametrize("text", HOSTILE)
async def test_claims_are_data(supabase_database: str, text: str) -> None:
    async with engine_on(supabase_database, *FLOWS) as bench:
        await bench.rows(SCHEMA)
        caller = user(ADA, email=text, user_metadata={text: [text]})
        inside, _ = await run_as(bench, caller, asking)
        assert json.loads(inside[3]) == dict(caller.claims)
        assert await run_as(bench, caller, noting, text) == [text]


NOT_THEIRS = [
    *HOSTILE,
    "postgres",
    "POSTGRES",
    "none",
    "authenticator",
    "pg_read_all_data",
    "pg_monitor",
    "no_such_role",
    "authenticated ",
    '"authenticated"',
]


@pytest.mark.postgres
async def test_a_role_that_callers_cannot_have_is_refused(supabase_database: str) -> None:
    async with engine_on(supabase_database, *FLOWS) as bench:
        await bench.rows(SCHEMA)
        for role in NOT_THEIRS:
            failure = await bench.failure(await start_as(bench, user(ADA, role=role), noting, "x"))
            assert failure["failure"]["type"] == "UsageError", (role, failure)
            assert "authenticator" in failure["failure"]["message"], role
            assert await bench.rows("select * from public.notes") == [], role


async def test_a_custom_role_with_a_timeout_of_its_own(supabase_database: str) -> None:
    name = f"reader_{uuid.uuid4().hex[:8]}"  # roles are all databases'
    with psycopg.connect(supabase_database, autocommit=True) as connection:
        connection.execute(f"create role {name}; grant {name} to authenticator")
        connection.execute(f"alter role {name} set statement_timeout = '120s'")
    try:

        @transaction(role="caller")
        async def look(tx: Any) -> list[str]:
            query = "select current_user::text, current_setting('statement_timeout')"
            return list(await (await tx.execute(query)).fetchone())

        @transaction
        async def look_after(tx: Any) -> list[str]:
            return list(await (await tx.execute("select current_setting('statement_timeout')")).fetchone())

        @workflow
        async def flow() -> Any:
            before = await look_after()
            return [await look(), before == await look_after()]

        async with engine_on(supabase_database, flow, connections=3) as bench:
            assert await run_as(bench, user(ADA, role=name), flow) == [[name, "2min"], True]
    finally:
        with psycopg.connect(supabase_database, autocommit=True) as connection:
            connection.execute(f"drop role {name}")


BECOMING = [
    ["reset role"],
    ["set role none"],
    ["set role service_role"],
    ["set local role service_role"],
    ["select set_config('role', 'none', false)"],
    ["set session authorization default"],
    ["commit"],
    ["set request.jwt.claims = '{}'"],
    [f"select set_config('request.jwt.claims', '{{\"sub\": \"{EVE}\"}}', false)"],
]


@pytest.mark.postgres
async def test_a_body_that_becomes_somebody_else_is_undone(supabase_database: str) -> None:
    async with engine_on(supabase_database, *FLOWS, connections=3) as bench:
        await bench.rows(SCHEMA)
        for statements in BECOMING:
            before = ["insert into public.notes (text) values ('mine')"] if statements != ["commit"] else []
            workflow_id = await start_as(bench, user(ADA), running, [*before, *statements])
            failure = (await bench.failure(workflow_id))["failure"]
            assert failure["type"] in ("RoleChanged", "UsageError"), (statements, failure)
            assert await bench.rows("select * from public.notes") == [], statements
            inside, after = await run_as(bench, user(ADA), asking)
            assert (inside[0], after[2:]) == ("authenticated", ["none", ""]), statements


async def test_older_settings_of_claims_do_not_count(supabase_database: str) -> None:
    """Policies may read `request.jwt.claim.sub` first: what a body left there for good is nobody's."""

    @transaction(role="caller")
    async def older(tx: Any) -> str:
        cursor = await tx.execute("select coalesce(current_setting('request.jwt.claim.sub', true), '')")
        return str((await cursor.fetchone())[0])

    @workflow
    async def flow() -> str:
        return await older()

    async with engine_on(supabase_database, flow, *FLOWS, connections=3) as bench:
        await run_as(bench, user(EVE), running, [f"set request.jwt.claim.sub = '{EVE}'"])
        assert await run_as(bench, user(ADA), flow) == ""


@pytest.mark.postgres
async def test_deferred_triggers_run_as_the_caller(supabase_database: str) -> None:
    trigger = """
        create table public.seen (who text);
        grant insert on public.seen to authenticated;
        create function public.look() returns trigger language plpgsql as
          $$ begin insert into public.seen values (current_user); return null; end $$;
        create constraint trigger late after insert on public.notes
          deferrable initially deferred for each row execute function public.look();
        alter table public.notes add constraint once unique (owner) deferrable initially deferred;
    """
    async with engine_on(supabase_database, *FLOWS) as bench:
        await bench.rows(SCHEMA)
        await bench.rows(trigger)
        await run_as(bench, user(ADA), noting, "one")
        assert await bench.rows("select who from public.seen") == [{"who": "authenticated"}]
        # And a deferred constraint is the step's error, as any other is.
        failure = await bench.failure(await start_as(bench, user(ADA), noting, "two"))
        assert failure["failure"]["type"] == "UniqueViolation", failure


DEFERS_AGAIN = """
    create table public.seen (depth int, who text, claims text);
    grant select, insert on public.seen to authenticated;
    create function public.look() returns trigger language plpgsql as $$
    begin
      set constraints all deferred;
      perform set_config('search_path', 'nowhere', false), pg_advisory_lock(4711);
      if new.depth < 3 then
        insert into public.seen
        values (new.depth + 1, current_user || ', ' || current_setting('role'),
                current_setting('request.jwt.claims')::json ->> 'sub');
      end if;
      if new.depth = %s then
        raise exception 'at the end';
      end if;
      return null;
    end $$;
    create constraint trigger late after insert on public.seen
      deferrable initially deferred for each row execute function public.look();
"""

ADVISORY_LOCKS = """
    select 1 from pg_locks join pg_database d on d.oid = database
    where locktype = 'advisory' and datname = current_database()
"""


async def test_triggers_that_defer_again_run_as_the_caller_too(supabase_database: str) -> None:
    """Up to the COMMIT, and what they set in the session is gone after it."""
    async with engine_on(supabase_database, *FLOWS) as bench:
        await bench.rows(DEFERS_AGAIN.replace("%s", "99"))
        await run_as(bench, user(ADA), running, ["insert into public.seen values (0, 'authenticated')"])
        seen = await bench.rows("select depth, who, claims from public.seen where depth > 0 order by depth")
        assert seen == [
            {"depth": depth, "who": "authenticated, authenticated", "claims": ADA} for depth in (1, 2, 3)
        ]
        assert await bench.rows(ADVISORY_LOCKS) == []
        (_, after) = await run_as(bench, user(ADA), asking)
        assert after[0] == after[1]


async def test_what_fails_at_the_commit_undoes_the_step(supabase_database: str) -> None:
    async with engine_on(supabase_database, *FLOWS) as bench:
        await bench.rows(DEFERS_AGAIN.replace("%s", "2"))
        flow = await start_as(
            bench, user(ADA), running, ["insert into public.seen values (0, 'authenticated')"]
        )
        failure = await bench.failure(flow)
        assert "at the end" in str(failure), failure
        assert await bench.rows("select * from public.seen") == []
        assert await bench.rows(ADVISORY_LOCKS) == []
        (_, after) = await run_as(bench, user(ADA), asking)
        assert after[0] == after[1]


async def test_a_recovered_workflow_acts_for_the_same_caller(supabase_database: str) -> None:
    reached, gate = asyncio.Event(), asyncio.Event()

    @step
    async def hold() -> None:
        reached.set()
        await gate.wait()

    @workflow
    async def flow(text: str) -> list[Any]:
        await hold()
        return [context().caller.id, context().caller.claims["email"], await note(text)]

    caller = user(ADA, email="ada@example.com")
    async with engine_on(supabase_database, flow) as lost:
        await lost.rows(SCHEMA)
        workflow_id = await start_as(lost, caller, flow, "after")
        await asyncio.wait_for(reached.wait(), 20)
        await lost.abandon()
        gate.set()
        async with engine_on(supabase_database, flow) as other:
            assert await other.result(workflow_id) == [ADA, "ada@example.com", ["after"]]
            (row,) = await other.rows("select owner::text from public.notes")
            assert row["owner"] == ADA


@pytest.mark.postgres
async def test_without_the_roles_it_says_what_is_missing(database: str) -> None:
    """A plain Postgres. Roles are all databases', so a name that nobody has."""
    async with engine_on(database, *FLOWS) as bench:
        workflow_id = await start_as(bench, user(ADA, role=f"no_{uuid.uuid4().hex}"), noting, "x")
        with pytest.raises(WorkflowFailed):
            await bench.result(workflow_id)
        assert "authenticated" in (await bench.failure(workflow_id))["failure"]["message"]


def test_options_that_cannot_work() -> None:
    with pytest.raises(UsageError, match=r"transaction\(role\)"):
        transaction(role="postgres")(lambda tx: None)  # type: ignore[call-overload]


# --- through a pooler ---------------------------------------------------------------------------------------

BINARY = program()


@pytest.fixture
def pooler(supabase_database: str) -> Iterator[Pooler]:
    if BINARY is None:
        pytest.skip("SKIPPED LOUDLY: there is no pgbouncer here")
    pooler = Pooler(BINARY, supabase_database, 2)
    pooler.start()
    yield pooler
    print(f"--- pooler\n{pooler.said()}")  # noqa: T201 - captured
    pooler.close()


async def test_nothing_leaks_through_a_transaction_pooler(supabase_database: str, pooler: Pooler) -> None:
    """Two server sessions for callers and strangers alike, used by turns."""
    async with engine_on(supabase_database, *FLOWS) as bench:
        await bench.rows(SCHEMA)
        database = Database.at(pooler.url, "tests", sessions=False)
        plain = PostgresStore(database, bench.instance_id, "test", 6, bench.store.instances._limits)
        bench.engine._executor._services.transactions = plain.transactions

        async def stranger() -> None:
            """Whoever gets the server session next, over the same pooler."""
            for _ in range(20):
                async with await psycopg.AsyncConnection.connect(
                    pooler.url, autocommit=True, prepare_threshold=None
                ) as connection:
                    row = await (await connection.execute(WHO.encode())).fetchone()
                    assert row is not None
                    assert row[0] == row[1]
                    assert row[2:] == ("none", "")

        async def mine(caller: Caller, name: str) -> None:
            for number in range(10):
                texts = await run_as(bench, caller, noting, f"{name}-{number}")
                assert texts == [f"{name}-{n}" for n in range(number + 1)]

        async with asyncio.TaskGroup() as group:
            group.create_task(mine(user(ADA), "ada"))
            group.create_task(mine(user(EVE), "eve"))
            for statements in BECOMING:
                group.create_task(bench.failure(await start_as(bench, user(ADA), running, statements)))
            for _ in range(3):
                group.create_task(stranger())
        await stranger()
        await plain.close()
