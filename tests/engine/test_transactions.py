"""Transactions: effects and record commit together, exactly once, whatever the body does."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import psycopg
import pytest
from psycopg import errors
from psycopg.rows import dict_row

from outlast import UsageError, WorkflowFailed, context, step, transaction, workflow
from tests.engine.harness import Bench, engine_on

pytestmark = pytest.mark.postgres

TABLE = "create table public.effects (id serial primary key, what text unique, number int)"


async def effects(bench: Bench) -> list[str]:
    return [row["what"] for row in await bench.rows("select what from public.effects order by id")]


@transaction
async def insert(tx: Any, what: str) -> str:
    await tx.execute("insert into public.effects (what) values (%s)", (what,))
    return what


@transaction
def insert_def(tx: Any, what: str) -> str:
    with tx.cursor(row_factory=dict_row) as cursor:
        cursor.execute("insert into public.effects (what) values (%s) returning what", (what,))
        return str(cursor.fetchone()["what"])


async def test_effects_and_record_commit_together(database: str) -> None:
    @workflow
    async def flow() -> list[str]:
        return [await insert("a"), await insert_def.aio("b")]

    @workflow
    def flow_def() -> str:
        return insert_def("c")

    async with engine_on(database, flow, flow_def) as bench:
        await bench.rows(TABLE)
        workflow_id = await bench.start(flow)
        assert await bench.result(workflow_id) == ["a", "b"]
        assert await bench.run(flow_def) == "c"
        assert await effects(bench) == ["a", "b", "c"]
        assert [(r["step_id"], r["output"]) for r in await bench.steps(workflow_id)] == [
            ("1", "a"),
            ("2", "b"),
        ]
        same = await bench.rows(
            "select count(distinct x) n from (select xmin::text x from outlast.operation_outputs"
            " where output::text = '\"a\"'"
            " union all select xmin::text from public.effects where what = 'a') x"
        )
        assert same == [{"n": 1}]


async def test_a_body_that_raises_leaves_nothing_but_its_error(database: str) -> None:
    @transaction
    async def fails(tx: Any) -> None:
        await tx.execute("insert into public.effects (what) values ('gone')")
        raise LookupError("no")

    @transaction
    def fails_def(tx: Any) -> None:
        tx.execute("insert into public.effects (what) values ('gone')")
        raise LookupError("no")

    @transaction
    async def returns_no_json(tx: Any) -> Any:
        await tx.execute("insert into public.effects (what) values ('gone')")
        return {1}

    @workflow
    async def flow() -> list[str]:
        said = []
        for call in (fails(), fails_def.aio(), returns_no_json()):
            try:
                await call
            except Exception as error:
                said.append(type(error).__name__)
        return said

    async with engine_on(database, flow) as bench:
        await bench.rows(TABLE)
        workflow_id = await bench.start(flow)
        assert await bench.result(workflow_id) == ["LookupError", "LookupError", "NotSerializable"]
        assert await effects(bench) == []
        assert [r["error"]["type"] for r in await bench.steps(workflow_id)] == [
            "LookupError",
            "LookupError",
            "NotSerializable",
        ]


async def test_attempts_are_counted_and_each_begins_anew(database: str) -> None:
    @transaction(max_attempts=3, backoff=0)
    async def flaky(tx: Any) -> int:
        await tx.execute("insert into public.effects (what) values (%s)", (f"try {context().attempt}",))
        if context().attempt < 3:
            raise ValueError("again")
        return context().attempt

    @workflow
    async def flow() -> int:
        return await flaky()

    async with engine_on(database, flow) as bench:
        await bench.rows(TABLE)
        workflow_id = await bench.start(flow)
        assert await bench.result(workflow_id) == 3
        assert await effects(bench) == ["try 3"]
        assert [r["attempts"] for r in await bench.steps(workflow_id)] == [3]


ENDINGS = [
    "commit",
    "rollback",
    "close",
    "COMMIT",
    "ROLLBACK",
    "COMMIT; BEGIN",
    "COMMIT AND CHAIN",
    "autocommit",
]


@pytest.mark.parametrize("kind", ["async", "def"])
async def test_a_body_that_ends_the_transaction_is_refused(database: str, kind: str) -> None:
    runs: list[str] = []

    @transaction
    async def ends(tx: Any, how: str) -> str:
        runs.append(how)
        if how == "autocommit":
            await tx.set_autocommit(True)
        elif how.islower():
            await getattr(tx, how)()
        else:
            await tx.execute(how)
        return "done"

    @transaction
    def ends_def(tx: Any, how: str) -> str:
        runs.append(how)
        if how == "autocommit":
            tx.autocommit = True
        elif how.islower():
            getattr(tx, how)()
        else:
            tx.execute(how)
        return "done"

    @workflow
    async def flow(how: str) -> str:
        return await (ends(how) if kind == "async" else ends_def.aio(how))

    async with engine_on(database, flow) as bench:
        await bench.rows(TABLE)
        for how in ENDINGS:
            workflow_id = await bench.start(flow, how)
            failure = (await bench.failure(workflow_id))["failure"]
            assert failure["type"] == "UsageError", (how, failure)
            assert "commits by itself" in failure["message"], how
            (record,) = await bench.steps(workflow_id)
            assert record["output"] is None, how
            # The pooled connections are whole.
            await bench.store.workflows.ended([])
        assert runs == ENDINGS


async def test_conflicts_run_the_body_again(database: str) -> None:
    met = asyncio.Barrier(2)
    runs: list[str] = []

    @transaction(isolation="serializable")
    async def transfer(tx: Any, who: str) -> int:
        runs.append(who)
        cursor = await tx.execute("select coalesce(sum(number), 0) from public.effects")
        (total,) = await cursor.fetchone()
        if runs.count(who) == 1:
            await met.wait()
        await tx.execute("insert into public.effects (what, number) values (%s, 1)", (who,))
        return int(total)

    @workflow
    async def flow(who: str) -> int:
        return await transfer(who)

    async with engine_on(database, flow) as bench:
        await bench.rows(TABLE)
        ids = [await bench.start(flow, who) for who in ("a", "b")]
        assert sorted(await asyncio.gather(*map(bench.result, ids))) == [0, 1]
        assert len(runs) == 3
        assert sorted(await effects(bench)) == ["a", "b"]


async def test_a_deadlock_runs_the_body_again(database: str) -> None:
    met = threading.Barrier(2)
    runs: list[str] = []

    @transaction
    def locks(tx: Any, first: str, second: str) -> str:
        runs.append(first)
        tx.execute("update public.effects set number = number + 1 where what = %s", (first,))
        if runs.count(first) == 1:
            met.wait(20)
        tx.execute("update public.effects set number = number + 1 where what = %s", (second,))
        return first

    @workflow
    async def flow(first: str, second: str) -> str:
        return await locks.aio(first, second)

    async with engine_on(database, flow) as bench:
        await bench.rows(TABLE)
        await bench.rows("insert into public.effects (what, number) values ('x', 0), ('y', 0)")
        ids = [await bench.start(flow, *pair) for pair in (("x", "y"), ("y", "x"))]
        assert await asyncio.gather(*map(bench.result, ids)) == ["x", "y"]
        assert len(runs) == 3
        assert await bench.rows("select sum(number) n from public.effects") == [{"n": 4}]


async def test_the_bodys_own_errors_are_the_steps_errors(database: str) -> None:
    runs: list[str] = []

    @transaction
    async def own(tx: Any, kind: str) -> None:
        runs.append(kind)
        if kind == "unique":
            await tx.execute("insert into public.effects (what) values ('a'), ('a')")
        elif kind == "timeout":
            await tx.execute("set local statement_timeout = '20ms'")
            await tx.execute("select pg_sleep(5)")
        elif kind == "os":
            raise ConnectionResetError("of the bank, not of Postgres")
        elif kind == "time":
            raise TimeoutError("of the bank")
        elif kind == "operational":
            raise psycopg.OperationalError("of another database")

    @workflow
    async def flow() -> list[str]:
        said = []
        for kind in ("unique", "timeout", "os", "time", "operational"):
            try:
                await own(kind)
            except Exception as error:
                said.append(type(error).__name__)
        return said

    async with engine_on(database, flow) as bench:
        await bench.rows(TABLE)
        assert await bench.run(flow) == [
            errors.UniqueViolation.__name__,
            errors.QueryCanceled.__name__,
            "ConnectionResetError",
            "TimeoutError",
            "OperationalError",
        ]
        assert runs == ["unique", "timeout", "os", "time", "operational"]


async def test_savepoints_undo_a_part(database: str) -> None:
    @transaction
    async def partly(tx: Any) -> str:
        await tx.execute("insert into public.effects (what) values ('kept')")
        try:
            async with tx.transaction():
                await tx.execute("insert into public.effects (what) values ('lost')")
                raise LookupError
        except LookupError:
            return "partly"

    @transaction
    def partly_def(tx: Any) -> str:
        tx.execute("insert into public.effects (what) values ('kept too')")
        try:
            with tx.transaction():
                tx.execute("insert into public.effects (what) values ('lost')")
                raise LookupError
        except LookupError:
            return "partly"

    @workflow
    async def flow() -> list[str]:
        return [await partly(), await partly_def.aio()]

    async with engine_on(database, flow) as bench:
        await bench.rows(TABLE)
        assert await bench.run(flow) == ["partly", "partly"]
        assert await effects(bench) == ["kept", "kept too"]


@pytest.mark.parametrize("kind", ["async", "def"])
async def test_a_connection_killed_in_the_body_runs_it_again(database: str, kind: str) -> None:
    runs: list[int] = []

    async def killer(pid: int) -> None:
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as other:
            await other.execute("select pg_terminate_backend(%s, 5000)", (pid,))

    @transaction
    async def dies(tx: Any) -> str:
        await tx.execute("insert into public.effects (what) values ('once')")
        runs.append(tx.info.backend_pid)
        if len(runs) == 1:
            await killer(tx.info.backend_pid)
        await tx.execute("select 1")
        return "done"

    @transaction
    def dies_def(tx: Any) -> str:
        tx.execute("insert into public.effects (what) values ('once')")
        runs.append(tx.info.backend_pid)
        if len(runs) == 1:
            asyncio.run(killer(tx.info.backend_pid))
        tx.execute("select 1")
        return "done"

    @workflow
    async def flow() -> str:
        return await (dies() if kind == "async" else dies_def.aio())

    async with engine_on(database, flow) as bench:
        await bench.rows(TABLE)
        assert await bench.run(flow) == "done"
        assert len(runs) == 2
        assert await effects(bench) == ["once"]


@pytest.mark.parametrize("kind", ["async", "def"])
async def test_nothing_leaks_to_the_next_user_of_the_connection(database: str, kind: str) -> None:
    @transaction
    async def leaves_things(tx: Any) -> None:
        tx.row_factory = dict_row
        await tx.execute("set local work_mem = '99MB'")
        await tx.execute("declare c cursor for select 1")
        for _ in range(8):
            await tx.execute("select %s::int", (1,))
        cursor = tx.cursor()
        await cursor.execute("select generate_series(1, 1000)")
        await cursor.fetchone()

    @transaction
    def leaves_things_def(tx: Any) -> None:
        tx.row_factory = dict_row
        tx.execute("set local work_mem = '99MB'")
        tx.execute("declare c cursor for select 1")
        for _ in range(8):
            tx.execute("select %s::int", (1,))
        cursor = tx.cursor()
        cursor.execute("select generate_series(1, 1000)")
        cursor.fetchone()

    @transaction
    async def finds(tx: Any) -> list[Any]:
        row = await (await tx.execute("select current_setting('work_mem'), 1")).fetchone()
        cursors = await (await tx.execute("select count(*) from pg_cursors")).fetchone()
        return [type(row).__name__, *row, cursors[0]]

    @workflow
    async def flow() -> list[Any]:
        clean = await finds()
        await (leaves_things() if kind == "async" else leaves_things_def.aio())
        return [clean, await finds()]

    async with engine_on(database, flow) as bench:
        clean, after = await bench.run(flow)
        assert after == clean
        assert after[0] == "tuple"


async def test_a_transaction_outside_a_workflow_commits_and_reruns_on_conflict(database: str) -> None:
    met = asyncio.Barrier(2)
    runs: list[str] = []

    @transaction(isolation="serializable")
    async def transfer(tx: Any, who: str) -> int:
        runs.append(who)
        (total,) = await (await tx.execute("select coalesce(sum(number), 0) from public.effects")).fetchone()
        if runs.count(who) == 1:
            await met.wait()
        await tx.execute("insert into public.effects (what, number) values (%s, 1)", (who,))
        return int(total)

    @step
    async def steps(who: str) -> int:
        return await transfer(who)

    @workflow
    async def flow() -> list[int]:
        return sorted(await asyncio.gather(steps("a"), steps("b")))

    async with engine_on(database, flow) as bench:
        await bench.rows(TABLE)
        workflow_id = await bench.start(flow)
        assert await bench.result(workflow_id) == [0, 1]
        assert sorted(await effects(bench)) == ["a", "b"]
        assert {r["name"] for r in await bench.steps(workflow_id)} == {"steps"}


async def test_a_transaction_without_a_host_says_what_it_needs() -> None:
    with pytest.raises(UsageError, match=r"insert\.definition\.fn"):
        await insert("x")


async def test_a_transaction_recorded_before_a_crash_does_not_run_again(database: str) -> None:
    reached = asyncio.Event()
    opened = asyncio.Event()

    @step
    async def held() -> str:
        reached.set()
        await opened.wait()
        return "held"

    @workflow
    async def flow() -> list[str]:
        return [*await asyncio.gather(insert("a"), insert("b"), insert("c")), await held()]

    async with engine_on(database, flow) as bench:
        await bench.rows(TABLE)
        workflow_id = await bench.start(flow)
        await bench.until(reached.is_set)
        await bench.abandon()
    opened.set()
    async with engine_on(database, flow) as bench:
        assert await bench.result(workflow_id) == ["a", "b", "c", "held"]
        assert sorted(await effects(bench)) == ["a", "b", "c"]


async def test_a_timeout_of_the_attempt_undoes_it(database: str) -> None:
    @transaction(timeout=0.1)
    async def slow(tx: Any) -> None:
        await tx.execute("insert into public.effects (what) values ('gone')")
        await tx.execute("select pg_sleep(5)")

    @workflow
    async def flow() -> None:
        await slow()

    async with engine_on(database, flow) as bench:
        await bench.rows(TABLE)
        with pytest.raises(WorkflowFailed):
            await bench.run(flow)
        assert await effects(bench) == []
