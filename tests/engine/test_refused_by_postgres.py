"""What Postgres refuses to hold of a workflow ends it in words, or is tried again: nothing stays for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg.errors import QueryCanceled

from outlast import receive, sleep, step, workflow
from outlast.core.errors import NotRecordable
from outlast.core.observations import LoopFailed, RowsRefused, WorkflowEnded, WorkflowStopped, WriteHeldUp
from outlast.engine import journal as journals
from outlast.store import refusals
from tests.engine.harness import Bench, engine_on
from tests.store.harness import under_way

pytestmark = pytest.mark.postgres

WAITS = "status = 'PENDING' and owner is null and claimable_at > now() + interval '1 minute'"


@workflow
async def waits_long() -> str:
    await sleep(3600)
    return "woken"


async def _refuse(bench: Bench, table: str, what: str) -> None:
    await bench.rows(f"alter table outlast.{table} add constraint refused check (not ({what}))")


@pytest.mark.parametrize(
    ("table", "what"), [("workflow_status", WAITS), ("operation_outputs", "name = 'sleep'")]
)
async def test_a_suspension_that_postgres_refuses_ends_the_workflow(
    database: str, table: str, what: str
) -> None:
    async with engine_on(database, waits_long) as bench:
        await _refuse(bench, table, what)
        workflow_id = await bench.start(waits_long)
        failure = await bench.failure(workflow_id)
        assert failure["code"] == "not_recordable"
        assert 'violates check constraint "refused"' in failure["message"]
        assert "mend that and retry" in failure["message"]
        row = await bench.row(workflow_id)
        assert (row["status"], row["owner"], row["claimable_at"]) == ("ERROR", None, None)
        assert "Failing row" not in failure["message"], "it shows what else is in the row"
        await bench.until(lambda: not bench.live)
        ended = [each for each in bench.observations if isinstance(each, WorkflowEnded)]
        assert [(each.workflow_id, each.status) for each in ended] == [(workflow_id, "ERROR")]
        assert [each.error for each in ended] == [failure["message"]], "the log tells of it"


@pytest.mark.slow
async def test_what_may_not_even_fail_is_given_back_and_tried_again(database: str) -> None:
    async with engine_on(database, waits_long) as bench:
        await _refuse(bench, "workflow_status", f"({WAITS}) or status = 'ERROR'")
        workflow_id = await bench.start(waits_long)

        def refused() -> int:
            stops = [each for each in bench.observations if isinstance(each, WorkflowStopped)]
            return sum('check constraint "refused"' in each.detail for each in stops)

        await bench.until(lambda: refused() >= 2)
        await bench.rows("alter table outlast.workflow_status drop constraint refused")
        row = await bench.suspended(workflow_id)
        assert (row["status"], row["owner"]) == ("PENDING", None)


PICKY = """
create function picky() returns trigger language plpgsql as $$
begin
  if new.workflow_id like '%%picked%%' then
    raise exception 'not on my watch' using errcode = '{}';
  end if;
  return new;
end $$;
create trigger picky before insert on outlast.{} for each row execute function picky();
"""


@step
async def one() -> int:
    return 1


@workflow
async def counts() -> int:
    return await one()


async def test_a_start_that_a_trigger_refuses_is_told_so(database: str) -> None:
    """Only its caller: nothing else waits."""
    async with engine_on(database, counts) as bench:
        await bench.rows(PICKY.format("P0001", "workflow_status"))
        other = await bench.start(counts)
        with pytest.raises(NotRecordable, match="refused to store this call: not on my watch"):
            await bench.start(counts, workflow_id="picked")
        assert await bench.result(other) == 1
        assert await bench.run(counts) == 1


@pytest.mark.parametrize("code", ["P0001", "P0002", "PT403", "U0001", "23514"])
async def test_a_record_that_a_trigger_refuses_ends_its_workflow_alone(database: str, code: str) -> None:
    async with engine_on(database, counts) as bench:
        await bench.rows(PICKY.format(code, "operation_outputs"))
        failure = await bench.failure(await bench.start(counts, workflow_id="picked"))
        assert failure["code"] == "not_recordable"
        assert "not on my watch" in failure["message"]
        assert "mend that and retry" in failure["message"]
        assert await bench.run(counts) == 1


@pytest.mark.parametrize("code", ["XX000", "42501", "54001", "58030", "57014", "53200", "40001"])
async def test_what_may_be_the_fault_of_all_stops_nobody_else_and_goes_on_when_it_is_over(
    database: str, code: str
) -> None:
    async with engine_on(database, counts) as bench:
        await bench.rows(PICKY.format(code, "operation_outputs"))
        picked = [await bench.start(counts, workflow_id=f"picked{n}") for n in range(3)]
        await bench.until(lambda: [each for each in bench.observations if isinstance(each, LoopFailed)])
        for _ in range(5):
            assert await bench.run(counts) == 1
        assert sorted(bench.live) == picked
        await bench.rows("drop trigger picky on outlast.operation_outputs")
        assert [await bench.result(each) for each in picked] == [1, 1, 1]
        assert bench.engine._journal._aside == {}


async def test_a_journal_that_can_write_nothing_for_an_unknown_reason_is_told_of(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "WATCH_S", 0.05)
    async with engine_on(database, counts) as bench:
        await bench.rows(PICKY.format("42501", "operation_outputs"))
        picked = [await bench.start(counts, workflow_id=f"picked{n}") for n in range(2)]
        await bench.until(lambda: bench.engine.journal_stalled)
        await bench.rows("drop trigger picky on outlast.operation_outputs")
        assert [await bench.result(each) for each in picked] == [1, 1]
        await bench.until(lambda: not bench.engine.journal_stalled)


@asynccontextmanager
async def waiting_for(bench: Bench, statement: str) -> AsyncIterator[None]:
    """Another one waits for a row already: Postgres tells who comes behind it less of why they wait."""
    async with await AsyncConnection.connect(bench.url) as connection:
        waiting = asyncio.ensure_future(connection.execute(statement.encode()))

        async def waits() -> Any:
            return await bench.rows(
                "select 1 from pg_locks where not granted and pid = %s", connection.info.backend_pid
            )

        await bench.until(waits)
        try:
            yield
        finally:
            await connection.cancel_safe()
            with suppress(QueryCanceled):
                await waiting


@pytest.mark.parametrize("sessions", [None, False])
async def test_whoever_holds_a_workflows_row_holds_up_no_other(database: str, sessions: bool | None) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    @workflow
    async def waits() -> int:
        begun.set()
        await until()
        return await one()

    @step
    async def until() -> None:
        await go_on.wait()

    async with engine_on(database, waits, counts, sessions=sessions) as bench:
        workflow_id = await bench.start(waits)
        await begun.wait()
        held = "select from outlast.workflow_status where workflow_id like 'waits%' for update"
        async with under_way(database, held), waiting_for(bench, held):
            go_on.set()
            await bench.until(lambda: [each for each in bench.observations if isinstance(each, WriteHeldUp)])
            async with asyncio.timeout(10):
                for _ in range(3):
                    assert await bench.run(counts) == 1
            assert workflow_id in bench.live
        assert await bench.result(workflow_id) == 1
    told = [each.workflow_id for each in bench.observations if isinstance(each, WriteHeldUp)]
    assert told == [workflow_id]


KEEP = """
create function public.keep() returns trigger language plpgsql as $$
begin raise exception 'it stays'; end
$$;
create trigger keep before update of owner on outlast.workflow_status for each row
when (new.owner is not null and new.function = 'hears') execute function public.keep();
"""


async def test_whom_a_trigger_keeps_from_being_claimed_is_told_of_and_goes_on_once_it_lets_go(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "PAUSE_S", 0.02)

    @workflow
    async def hears() -> str:
        return str(await receive())

    @workflow
    async def hears_too() -> str:
        return str(await receive())

    async with engine_on(database, hears, hears_too) as bench:
        kept, other = await bench.start(hears), await bench.start(hears_too)
        await bench.suspended(kept)
        await bench.suspended(other)
        await bench.rows(KEEP)
        for each in (kept, other):
            await bench.engine.host.send(each, '"woken"', "", None)
        assert await bench.result(other) == "woken"
        await bench.until(lambda: [each for each in bench.observations if isinstance(each, RowsRefused)])
        await bench.rows("drop trigger keep on outlast.workflow_status")
        assert await bench.result(kept) == "woken"
        told = [each.workflow_ids for each in bench.observations if isinstance(each, RowsRefused)]
        assert told == [(kept,)]
        assert not [each for each in bench.observations if isinstance(each, LoopFailed)]
