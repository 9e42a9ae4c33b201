"""A transaction that seems to have failed, or was given up, and was committed for all that."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest

from outlast import step, transaction, workflow
from outlast.core.ports import Unreachable
from outlast.core.records import Suspension
from outlast.store.transactions import PostgresTransactions
from tests.engine.harness import Bench, engine_on

pytestmark = pytest.mark.postgres

# A COMMIT that takes a while and can't be called back, as one that waits for its disk or a standby.
SLOW_COMMIT = """
create table public.money (id int primary key, cents int not null);
create function public.linger() returns trigger language plpgsql as $$
begin
  begin
    perform pg_sleep(3);
  exception when query_canceled then
    null;
  end;
  return null;
end $$;
create constraint trigger linger after insert on public.money
  deferrable initially deferred for each row execute function public.linger();
"""


@transaction
async def pay(tx: Any) -> str:
    await tx.execute("insert into public.money values (1, 5)")
    return "paid"


@transaction(timeout=1.5)
async def pay_in_time(tx: Any) -> str:
    await tx.execute("insert into public.money values (1, 5)")
    return "paid"


@step
async def other() -> str:
    return "other"


@transaction
async def nothing(tx: Any) -> None:
    await tx.execute("select 1")


@workflow
async def warms_up() -> None:
    await nothing()


@workflow
async def gives_up() -> str:
    try:
        async with asyncio.timeout(1.5):
            return await pay()
    except TimeoutError:
        return "given up"


@workflow
async def times_out() -> str:
    try:
        return await pay_in_time()
    except TimeoutError:
        return "timed out"


@workflow
async def gives_up_in_a_branch() -> list[str]:
    async def branch() -> str:
        try:
            async with asyncio.timeout(1.5):
                return await pay()
        except TimeoutError:
            return "given up"

    return list(await asyncio.gather(branch(), other()))


@workflow
async def moves_on() -> list[str]:
    got = ["nothing"]
    with anyio.move_on_after(1.5):
        got.append(await pay())
        got.append(await other())
    return got


tasks: list[asyncio.Task[str]] = []


@workflow
async def is_cancelled() -> str:
    tasks.append(asyncio.create_task(pay()))
    try:
        return await tasks[-1]
    except asyncio.CancelledError:
        return "given up"


async def test_who_is_cancelled_during_a_commit_learns_what_came_of_it(database: str) -> None:
    async with engine_on(database, is_cancelled, warms_up, lease_ttl_s=1.0) as bench:
        await bench.rows(SLOW_COMMIT)
        await bench.run(warms_up)
        workflow_id = await bench.start(is_cancelled)

        async def lingers() -> bool:
            query = "select 1 from pg_stat_activity where wait_event = 'PgSleep' and datname = "
            return bool(await bench.rows(query + "current_database()"))  # others sleep in theirs

        await bench.until(lingers)
        tasks[-1].cancel()
        assert await bench.result(workflow_id) == "paid"
        assert await paid(bench) == 1


@transaction
async def lingers(tx: Any) -> None:
    await asyncio.sleep(60)


@workflow
async def moves_on_before_the_commit() -> bool:
    with anyio.move_on_after(0.3) as scope:
        await lingers()
    return scope.cancelled_caught


async def test_a_scope_of_anyio_knows_its_own_cancellation_of_a_transaction(database: str) -> None:
    async with engine_on(database, moves_on_before_the_commit, warms_up) as bench:
        await bench.run(warms_up)
        assert await bench.run(moves_on_before_the_commit) is True


async def paid(bench: Bench) -> int:
    return len(await bench.rows("select 1 from public.money"))


@pytest.mark.parametrize(
    "flow", [gives_up, times_out, gives_up_in_a_branch, moves_on], ids=lambda flow: flow.__name__
)
async def test_the_end_goes_by_what_was_committed(database: str, flow: Any) -> None:
    async with engine_on(database, flow, warms_up, lease_ttl_s=1.0) as bench:
        await bench.rows(SLOW_COMMIT)
        await bench.run(warms_up)  # the timeouts are for the COMMIT, not for making a connection
        workflow_id = await bench.start(flow)
        result = await bench.result(workflow_id)
        assert await paid(bench) == 1
        records = {row["name"]: row for row in await bench.steps(workflow_id)}
        name = "pay_in_time" if flow is times_out else "pay"
        assert records[name]["output"] == "paid"
        assert "paid" in result, "the result says that it was not paid, the database that it was"


@workflow
async def pays() -> str:
    return await pay()


@workflow
async def asks_why() -> str:
    try:
        return await pay()
    except Exception as error:
        return type(error).__name__


@pytest.mark.parametrize("flow", [pays, asks_why], ids=lambda flow: flow.__name__)
async def test_a_second_run_that_fails_on_what_the_first_did_has_been_done(
    database: str, flow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt, attempts = PostgresTransactions._attempt, []

    async def answer_lost_once(self: PostgresTransactions, *args: Any) -> Any:
        attempts.append(args)
        record = await attempt(self, *args)
        if len(attempts) == 1:
            raise Unreachable("the answer to COMMIT was lost")
        return record

    monkeypatch.setattr(PostgresTransactions, "_attempt", answer_lost_once)
    async with engine_on(database, flow) as bench:
        await bench.rows("create table public.money (id int primary key, cents int not null)")
        workflow_id = await bench.start(flow)
        assert await bench.result(workflow_id) == "paid"
        assert await paid(bench) == 1
        assert len(attempts) == 2
        (record,) = await bench.steps(workflow_id)
        assert (record["output"], record["error"]) == ("paid", None)


async def test_the_last_word_of_an_older_execution_takes_nothing_from_the_newer(database: str) -> None:
    async with engine_on(database, pays) as bench:
        journal = bench.engine._journal
        older = journal.write("w", 1, (), Suspension(None))
        newer = journal.write("w", 3, (), Suspension(None))
        assert older.result() is False
        late = journal.write("w", 1, (), Suspension(None))
        assert late.result() is False
        assert not newer.done(), "it has not been written yet, so nobody can have refused it"
        assert await newer is False  # there is no such workflow
