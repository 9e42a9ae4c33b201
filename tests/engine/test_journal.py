"""What the journal acknowledges: what is committed, once, to whom it belongs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from outlast import WorkflowCancelled, step, workflow
from outlast.core.ports import BadData, Locked, Unreachable
from outlast.core.records import Batch, Committed, NewWorkflow, StepRecord
from outlast.engine.journal import STALLED_LOOKS, Journal
from outlast.store.postgres import PostgresStore
from tests.engine.harness import engine_on
from tests.store.harness import rows, store_of, under_way

CANCEL = """
update outlast.workflow_status set status = 'CANCELLED', owner = null, epoch = epoch + 1,
  error = '{"code": "workflow_cancelled", "message": "the workflow was cancelled"}'
"""
HOLDS: dict[str, Callable[[Batch], bool]] = {
    "start": lambda batch: bool(batch.starts),
    "record": lambda batch: any(write.steps and not write.end for write in batch.writes),
    "end": lambda batch: any(write.end for write in batch.writes),
}


def lose_the_answer(store: PostgresStore, holds: Callable[[Batch], bool]) -> list[Batch]:
    """Commit the first batch of that kind, and let its answer be lost; it is in the list then."""
    commit = store.journal.commit
    lost: list[Batch] = []

    async def lossy(batch: Batch) -> Committed:
        committed = await commit(batch)
        if holds(batch) and not lost:
            lost.append(batch)
            raise Unreachable("the answer was lost")
        return committed

    store.journal.commit = lossy  # type: ignore[method-assign]
    return lost


@pytest.mark.parametrize("kind", HOLDS)
async def test_a_commit_whose_answer_was_lost_is_acknowledged_all_the_same(database: str, kind: str) -> None:
    begun: list[str] = []

    @step
    async def note(text: str) -> str:
        begun.append(text)
        return text

    @workflow
    async def flow() -> str:
        return await note("a") + await note("b")

    async with engine_on(database, flow) as bench, asyncio.timeout(15):
        lost = lose_the_answer(bench.store, HOLDS[kind])
        workflow_id = await bench.start(flow)
        assert await bench.result(workflow_id) == "ab"
        assert lost
        assert begun == ["a", "b"]
        assert (await bench.row(workflow_id))["epoch"] == 1


@pytest.mark.postgres
async def test_a_strangers_start_is_not_taken_for_ones_own_after_a_lost_answer(database: str) -> None:
    """The same id, started elsewhere between the two tries."""
    async with store_of(database) as store, store_of(database, "you") as other:
        commit = store.journal.commit
        calls = 0

        async def lossy(batch: Batch) -> Committed:
            nonlocal calls
            calls += 1
            if calls == 1:
                await other.journal.commit(Batch(7, [NewWorkflow("w", "f", "{}")], []))
                raise Unreachable("the request was lost")
            return await commit(batch)

        store.journal.commit = lossy  # type: ignore[method-assign]
        async with journal_over(store) as journal:
            assert await journal.start(NewWorkflow("w", "f", "{}")) is None


@contextlib.asynccontextmanager
async def journal_over(store: PostgresStore) -> AsyncIterator[Journal]:
    journal = Journal(store.journal, lambda _: None, lambda: None)
    journal.writing.open()
    try:
        async with asyncio.timeout(15):
            yield journal
    finally:
        await journal.close(2.0)


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("busy", "count", "commits"), [(True, 3, [3]), (True, 4, [2, 2]), (True, 9, [5, 4]), (False, 9, [9])]
)
async def test_what_a_busy_host_writes_after_a_rest_is_committed_in_two(
    database: str, monkeypatch: pytest.MonkeyPatch, busy: bool, count: int, commits: list[int]
) -> None:
    """Else all of it would be with the database at once, with nothing to do here meanwhile."""
    hours = itertools.count(step=3_600.0 if busy else 0.0)
    monkeypatch.setattr("outlast.engine.journal.worked", lambda: next(hours))
    async with store_of(database) as store:
        commit, sizes = store.journal.commit, []

        async def counting(batch: Batch) -> Committed:
            sizes.append(len(batch.starts))
            return await commit(batch)

        store.journal.commit = counting  # type: ignore[method-assign]
        async with journal_over(store) as journal:
            await journal.start(NewWorkflow("first", "f", "{}"))
            for each in ("v", "w"):
                while not journal.writing.asleep:
                    await asyncio.sleep(0)
                news = [NewWorkflow(f"{each}{n}", "f", "{}") for n in range(count)]
                await asyncio.gather(*(journal.start(new) for new in news))
    assert sizes == [1, *commits, *commits]


@pytest.mark.postgres
async def test_bad_data_fails_nobody_else(database: str) -> None:
    async with store_of(database) as store, journal_over(store) as journal:
        bad = NewWorkflow("bad", "f", "{}", idempotency_key="a\0b")
        good = [journal.start(NewWorkflow(f"w{n}", "f", "{}")) for n in range(3)]
        refused = journal.start(bad)
        good += [journal.start(NewWorkflow(f"v{n}", "f", "{}")) for n in range(3)]
        assert None not in await asyncio.gather(*good)
        with pytest.raises(BadData):
            await refused


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("error", "ids", "stalls"),
    [(Locked, ["v", "w"], False), (ValueError, ["w"], False), (ValueError, ["v", "w"], True)],
    ids=["held", "one", "several"],
)
async def test_one_that_can_not_be_written_says_nothing_of_the_journal(
    database: str, error: type[Exception], ids: list[str], stalls: bool
) -> None:
    """Several that are refused may be all, until something else is written."""
    async with store_of(database) as store:
        commit = store.journal.commit

        async def picky(batch: Batch) -> Committed:
            if batch.writes:
                raise error
            return await commit(batch)

        store.journal.commit = picky  # type: ignore[method-assign]
        async with journal_over(store) as journal:
            for each in ids:
                assert await journal.start(NewWorkflow(each, "f", "{}")) is not None
            waits = [journal.write(each, 1, [StepRecord("1", "s", "1", completion_order=1)]) for each in ids]
            while len(journal._aside) < len(ids) or journal._in_flight:
                await asyncio.sleep(0)
            for _ in range(STALLED_LOOKS + 1):
                await journal._watch()
            assert journal.stalled is stalls
            assert await journal.start(NewWorkflow("x", "f", "{}")) is not None
            await journal._watch()
            assert not journal.stalled
            assert not any(each.done() for each in waits)


QUOTA = """
create function public.quota() returns trigger language plpgsql as $$
begin
  if exists (select from outlast.workflow_status) then
    raise exception 'one is enough';
  end if;
  return new;
end
$$;
create trigger quota before insert on outlast.workflow_status for each row execute function public.quota()
"""


@pytest.mark.postgres
async def test_what_is_refused_the_second_time_was_written_the_first_time(database: str) -> None:
    """The answer of the first was lost, and a trigger has another opinion now."""
    await rows(database, QUOTA)
    async with store_of(database) as store:
        lost = lose_the_answer(store, HOLDS["start"])
        async with journal_over(store) as journal:
            assert await journal.start(NewWorkflow("w", "f", "{}")) is not None
            assert lost
            with pytest.raises(BadData):
                await journal.start(NewWorkflow("v", "f", "{}"))


@pytest.mark.postgres
async def test_rows_that_somebody_holds_are_found_all_at_once(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each that was found by a wait of its own would hold up the others for half a second."""
    monkeypatch.setattr("outlast.engine.journal.worked", lambda: 0.0)  # one batch, not two
    async with store_of(database) as store:
        commit, sizes = store.journal.commit, []

        async def counting(batch: Batch) -> Committed:
            sizes.append(len(batch.writes))
            return await commit(batch)

        async with journal_over(store) as journal:
            ids = [f"w{n}" for n in range(12)]
            for each in ids:
                await journal.start(NewWorkflow(each, "f", "{}"))
            store.journal.commit = counting  # type: ignore[method-assign]
            held = "select from outlast.workflow_status where workflow_id ~ '[0369]$' for update"
            async with under_way(database, held):
                written = {
                    each: journal.write(each, 1, [StepRecord("1", "s", "1", completion_order=1)])
                    for each in ids
                }
                assert all(await asyncio.gather(*(written[f"w{n}"] for n in (1, 2, 4, 5, 7, 8, 11))))
                assert sizes[:2] == [12, 7]
                assert not any(written[f"w{n}"].done() for n in (0, 3, 6, 9, 10))
            assert all(await asyncio.gather(*written.values()))


@pytest.mark.postgres
async def test_nothing_of_a_workflow_is_written_past_what_could_not_be(database: str) -> None:
    async with store_of(database) as store:
        commit, refuses = store.journal.commit, True

        async def picky(batch: Batch) -> Committed:
            if refuses and any(step.step_id == "1" for write in batch.writes for step in write.steps):
                raise ValueError
            return await commit(batch)

        store.journal.commit = picky  # type: ignore[method-assign]
        async with journal_over(store) as journal:
            await asyncio.gather(*(journal.start(NewWorkflow(each, "f", "{}")) for each in ("w", "x")))
            first = journal.write("w", 1, [StepRecord("1", "s", "1", completion_order=1)])
            while not journal._aside:
                await asyncio.sleep(0)
            second = journal.write("w", 1, [StepRecord("2", "s", "2", completion_order=2)])
            assert await journal.write("x", 1, [StepRecord("2", "s", "2", completion_order=1)])
            await asyncio.sleep(0.5)
            assert not first.done()
            assert not second.done()
            refuses = False
            assert await first
            assert await second


@pytest.mark.postgres
async def test_what_an_older_claim_still_had_to_write_is_refused_and_the_newer_ones_lands(
    database: str,
) -> None:
    async with store_of(database) as store, journal_over(store) as journal:
        await asyncio.gather(*(journal.start(NewWorkflow(each, "f", "{}")) for each in ("w", "x")))
        held = "select from outlast.workflow_status where workflow_id = 'x' for update"
        async with under_way(database, held):
            on_its_way = journal.write("x", 1, [StepRecord("1", "s", "1", completion_order=1)])
            while journal._entries:  # until the journal has taken it up
                await asyncio.sleep(0)
            older = journal.write("w", 1, [StepRecord("1", "s", "1", completion_order=1)])
            await rows(database, "update outlast.workflow_status set epoch = 2 where workflow_id = 'w'")
            newer = journal.write("w", 2, [StepRecord("2", "s", "2", completion_order=1)])
            assert older.done()
            assert older.result() is False
        assert await on_its_way
        assert await newer
    query = "select step_id from outlast.operation_outputs where workflow_id = 'w'"
    assert await rows(database, query) == [("2",)]


@pytest.mark.postgres
async def test_whoever_waits_is_not_told_an_end_that_was_refused(database: str) -> None:
    go_on = threading.Event()

    @workflow
    def flow() -> str:
        go_on.wait()
        return "the end"

    async with engine_on(database, flow, lease_ttl_s=60.0, tick_s=20.0) as bench:
        workflow_id = await bench.start(flow)
        result = asyncio.create_task(bench.result(workflow_id))
        await bench.rows(CANCEL)
        go_on.set()
        with pytest.raises(WorkflowCancelled):
            await result


@pytest.mark.postgres
async def test_after_a_refused_record_no_step_begins(database: str) -> None:
    running, go_on = asyncio.Event(), asyncio.Event()
    begun: list[str] = []

    @step
    async def first() -> None:
        running.set()
        await go_on.wait()

    @step
    async def second() -> None:
        begun.append("second")

    @workflow
    async def flow() -> None:
        await first()
        await second()

    async with engine_on(database, flow, lease_ttl_s=60.0, tick_s=20.0) as bench:
        await bench.start(flow)
        await running.wait()
        await bench.rows(CANCEL)
        go_on.set()
        await bench.until(lambda: not bench.live)
        assert begun == []
        assert await bench.rows("select 1 from outlast.operation_outputs") == []


async def test_a_refusal_is_heard_before_anything_begins_on_it(database: str) -> None:
    """The futures of a write tell their callbacks one by one: a step may ask before it was told."""
    go_on = asyncio.Event()

    @workflow
    async def flow() -> None:
        await go_on.wait()

    async with engine_on(database, flow) as bench:
        execution = bench.live[await bench.start(flow)]
        refused: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        refused.set_result(False)
        assert not execution.recording.is_durable(refused)
        assert execution.stopped is not None
