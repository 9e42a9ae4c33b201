"""Workflows that `outlast.start` left in the database: claimed and run like all others."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from pydantic import BaseModel

from outlast import Request, context, sleep, start, step, workflow
from outlast.core.errors import WorkflowCancelled, WorkflowFailed, WorkflowTimeout
from outlast.core.records import NewWorkflow
from tests.engine.harness import Bench, engine_on


@step
async def twice(number: int) -> int:
    return 2 * number


@workflow
async def double(number: int, again: bool = False) -> int:
    return await twice(await twice(number)) if again else await twice(number)


@workflow(timeout=3600)
async def bounded(pause_s: float = 0) -> str:
    await sleep(pause_s)
    return "in time"


@workflow(timeout=3600)
async def stepped() -> None:
    await twice(await twice(1))
    await sleep(600)


class Order(BaseModel):
    sku: str


@workflow
async def whole(order: Order) -> str:
    return order.sku


@workflow
async def asks(request: Request) -> str:
    return request.method


@workflow
async def refuses() -> str:
    """Its own call doesn't fit: that is an exception of the body as any other."""
    await start(double, number="x")  # type: ignore[call-overload]
    return ""


async def by_sql(bench: Bench, function: str, key: str = "k", **given: Any) -> str:
    query = "select outlast.start(%s, %s::text, %s) as id"
    (row,) = await bench.rows(query, function, json.dumps(given), key)
    return row["id"]


async def test_it_runs_to_its_end(supabase_database: str) -> None:
    async with engine_on(supabase_database, double) as bench:
        workflow_id = await by_sql(bench, "double", number=21)
        assert await bench.result(workflow_id) == 42
        row = await bench.row(workflow_id)
        assert (row["status"], row["epoch"], row["version"]) == ("SUCCESS", 1, None)
        assert await by_sql(bench, "double", number=21) == workflow_id  # the same key, long ended
        assert await bench.row(workflow_id) == row


async def test_what_was_started_before_any_instance_runs_when_one_comes(supabase_database: str) -> None:
    async with engine_on(supabase_database) as bench:  # it serves nothing
        workflow_id = await by_sql(bench, "double", number=2, again=True)
        await bench.engine._membership._claim()
        assert (await bench.row(workflow_id))["status"] == "ENQUEUED"
    async with engine_on(supabase_database, double) as bench:
        assert await bench.result(workflow_id) == 8


async def test_it_may_be_cancelled_before_it_is_claimed(supabase_database: str) -> None:
    async with engine_on(supabase_database) as bench:
        first, second = (
            await by_sql(bench, "double", "a", number=1),
            await by_sql(bench, "double", "b", number=1),
        )
        assert await bench.engine.cancel(first)
        assert await bench.rows("select outlast.cancel(%s) as done", second) == [{"done": True}]
        for each in (first, second):
            with pytest.raises(WorkflowCancelled):
                await bench.result(each)


async def test_it_may_be_cancelled_by_sql_while_it_runs(supabase_database: str) -> None:
    @workflow
    async def waits() -> None:
        await asyncio.Event().wait()

    async with engine_on(supabase_database, waits, lease_ttl_s=1.0) as bench:
        workflow_id = await by_sql(bench, "waits")
        await bench.until(lambda: workflow_id in bench.live)
        assert await bench.rows("select outlast.cancel(%s) as done", workflow_id) == [{"done": True}]
        with pytest.raises(WorkflowCancelled):
            await bench.result(workflow_id)
        await bench.until(lambda: workflow_id not in bench.live)  # a beat tells


async def test_its_timeout_counts_from_its_start(supabase_database: str) -> None:
    async with engine_on(supabase_database) as bench:
        late = await by_sql(bench, "bounded", "late")
        await bench.rows("update outlast.workflow_status set created_at = now() - interval '2 hours'")
        early = await by_sql(bench, "bounded", "early")
    async with engine_on(supabase_database, bounded) as bench:
        assert await bench.result(early) == "in time"
        with pytest.raises(WorkflowTimeout):
            await bench.result(late)


async def test_its_timeout_is_the_same_after_a_recovery(supabase_database: str) -> None:
    deadlines = []
    async with engine_on(supabase_database) as bench:
        workflow_id = await by_sql(bench, "bounded", pause_s=600)
    for _ in range(3):
        async with engine_on(supabase_database, bounded, moment_s=3600.0) as bench:
            await bench.until(lambda: workflow_id in bench.live)
            deadlines.append(bench.live[workflow_id].deadline_s)
            await bench.abandon()
    (row,) = await bench.rows(
        "select extract(epoch from created_at)::float8 as s from outlast.workflow_status"
    )
    assert deadlines == [row["s"] + 3600] * 3


DELAYED = "select outlast.start('bounded', %s, %s, %s, delay => %s::interval) as id"
AS_IF_OVER = """
update outlast.workflow_status set claimable_at = now()
returning extract(epoch from created_at)::float8 as created_s,
  extract(epoch from updated_at)::float8 as called_s
"""


@pytest.mark.parametrize("debounce", [False, True])
async def test_its_timeout_counts_from_the_end_of_its_delay(supabase_database: str, debounce: bool) -> None:
    """Of several calls that a debounce makes one of, from that of the last one."""
    async with engine_on(supabase_database) as bench:
        base = {"debounce": {"quiet": 9, "at_most": 9}} if debounce else {}
        await bench.rows("insert into outlast.queues (name, base) values ('q', %s)", json.dumps(base))
        text = '{"pause_s": 600}'
        if debounce:
            await bench.rows(DELAYED, text, "k", "q", "1 hour")
        (row,) = await bench.rows(DELAYED, text, "k2" if debounce else "k", "q", "2 hours")
        (times,) = await bench.rows(AS_IF_OVER)
    for _ in range(2):
        async with engine_on(supabase_database, bounded, moment_s=3600.0) as bench:
            await bench.until(lambda: row["id"] in bench.live)
            from_s = times["called_s"] if debounce else times["created_s"]
            # Between a transaction's beginning and a call's own time may be what a busy machine takes.
            assert bench.live[row["id"]].deadline_s == pytest.approx(from_s + 7200 + 3600, abs=60)
            await bench.abandon()


async def test_a_fork_of_what_was_delayed_has_its_own_time(supabase_database: str) -> None:
    async with engine_on(supabase_database, stepped, moment_s=3600.0) as bench:
        (row,) = await bench.rows("select outlast.start('stepped', delay => '0.01 s') as id")
        records = "select 1 from outlast.operation_outputs where workflow_id = %s and step_id = '2'"
        await bench.until(lambda: bench.rows(records, row["id"]))
        (fork,) = await bench.rows("select f.fork as id from outlast.fork_workflow(%s, '2') as f", row["id"])
        await bench.until(lambda: fork["id"] in bench.live)
        (times,) = await bench.rows(
            "select extract(epoch from created_at)::float8 as s from outlast.workflow_status"
            " where workflow_id = %s",
            fork["id"],
        )
        assert bench.live[fork["id"]].deadline_s == pytest.approx(times["s"] + 3600, abs=0.001)


@pytest.mark.postgres
async def test_a_timeout_that_a_file_got_later_is_none_of_earlier_workflows(database: str) -> None:
    new = NewWorkflow("w", "bounded", "{}", version="before")
    async with engine_on(database, moment_s=3600.0) as bench:
        await bench.engine.starts.start_new(new, bounded.definition, {"pause_s": 600})
        await bench.until(lambda: "w" in bench.live)
        await bench.abandon()
    async with engine_on(database, bounded, moment_s=3600.0) as bench:
        await bench.until(lambda: "w" in bench.live)
        assert bench.live["w"].deadline_s is None


@pytest.mark.parametrize(
    ("function", "body", "why"),
    [
        ("double", "{}", "does not fit: number"),
        ("double", '{"number": 1, "more": 2}', "does not fit: more"),
        ("double", "[1]", "does not fit: body"),
        ("double", "null", "does not fit: body"),
        ("whole", '{"sku": 1}', "does not fit: sku"),
        ("asks", "{}", "over HTTP only"),
    ],
)
async def test_input_that_does_not_fit_ends_it_and_says_so(
    supabase_database: str, function: str, body: str, why: str
) -> None:
    async with engine_on(supabase_database, double, whole, asks) as bench:
        (row,) = await bench.rows("select outlast.start(%s, %s::text) as id", function, body)
        with pytest.raises(WorkflowFailed, match=why):
            await bench.result(row["id"])
        recorded = await bench.failure(row["id"])
        assert recorded["code"] == "invalid_input"
        (seen,) = await bench.rows("select error from outlast.workflows")
        assert seen["error"] == {"code": "invalid_input", "message": recorded["message"]}


async def test_an_error_of_the_body_is_no_invalid_input(supabase_database: str) -> None:
    async with engine_on(supabase_database, double, refuses) as bench:
        recorded = await bench.failure(await by_sql(bench, "refuses"))
        assert (recorded["code"], recorded["failure"]["type"]) == ("workflow_error", "InvalidInput")


async def test_a_model_takes_the_whole_input(supabase_database: str) -> None:
    async with engine_on(supabase_database, whole) as bench:
        assert await bench.result(await by_sql(bench, "whole", sku="widget")) == "widget"


async def test_it_knows_for_whom_it_was_started(supabase_database: str) -> None:
    @workflow
    async def whose() -> list[Any]:
        return [context().workflow_id, context().request]

    async with engine_on(supabase_database, whose) as bench:
        claims = json.dumps({"sub": "ada", "role": "authenticated"})
        (row,) = await bench.rows(
            "select set_config('request.jwt.claims', %s, false), outlast.start('whose', '{}', 'k') as id",
            claims,
        )
        assert await bench.result(row["id"]) == ["whose:ada:k", None]


@workflow
async def anything(value: float) -> float:
    return value


@pytest.mark.postgres
@pytest.mark.parametrize("kind", ["json", "jsonb"])
async def test_a_number_that_no_double_holds_ends_it_as_invalid(database: str, kind: str) -> None:
    """Postgres knows larger numbers: as jsonb it is written with a thousand digits."""
    async with engine_on(database, anything) as bench:
        for value in ("1e999", "-1e999", "1e300"):
            query = f"select outlast.start('anything', %s::{kind}) as id"
            (row,) = await bench.rows(query, f'{{"value": {value}}}')
            if value == "1e300":
                assert await bench.result(row["id"]) == 1e300
                continue
            failure = await bench.failure(row["id"])
            assert failure["code"] == "invalid_input", failure
            assert "beyond what a double holds" in str(failure)
