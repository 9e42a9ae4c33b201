"""What is in memory at once: inputs and records within a budget, whatever is due."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from outlast import WorkflowHandle, start, step, workflow
from outlast.core.budget import weigh
from outlast.core.claims import Room, Space
from outlast.core.clock import monotonic
from outlast.core.errors import Overloaded
from outlast.core.observations import ClaimGivenUp, LoopFailed, WorkflowsClaimed
from outlast.core.ports import Unreachable
from outlast.core.retry import RetryPolicy
from outlast.engine.instances import allowance, loading
from tests.engine.harness import Bench, engine_on
from tests.engine.test_membership import SUCCEEDED

pytestmark = pytest.mark.postgres

KIB = 1024
BUDGET: dict[str, Any] = {"memory_bytes_max": 4 * 1000 * KIB, "tick_s": 0.05}
"""1,000 KiB of JSON."""

DUE = """
insert into outlast.workflow_status (workflow_id, function, status, input, claimable_at)
select %s || n, %s, 'PENDING', json_build_object('text', repeat('a', %s)), now() - interval '1 s' * %s
from generate_series(1, %s) n
"""

DUE_AND_A_RECORD = f"""
with due as ({DUE})
insert into outlast.real_outputs (workflow_id, step_id, name) values ('w1', '9', 'x')
"""


class Crowd:
    """Who is in memory now, and at most was at once: bytes of their texts."""

    def __init__(self) -> None:
        self.now: dict[int, int] = {}
        self.most = 0
        self.ended = 0


crowd = Crowd()


@pytest.fixture(autouse=True)
def anew() -> None:
    crowd.__init__()  # type: ignore[misc]


@step
async def stay(size: int) -> None:
    me = crowd.ended + len(crowd.now) + id(asyncio.current_task())
    crowd.now[me] = size
    crowd.most = max(crowd.most, sum(crowd.now.values()))
    await asyncio.sleep(0.01)
    del crowd.now[me]
    crowd.ended += 1


@workflow
async def reads(text: str) -> int:
    await stay(len(text))
    return len(text)


@step
async def page(size: int) -> str:
    return "a" * size


@workflow
async def collects(text: str) -> int:
    for _ in range(4):
        await page(100 * KIB)
    await stay(400 * KIB)
    return 4


async def all_ended(bench: Bench, count: int) -> None:
    async def ended() -> bool:
        return len(await bench.rows(SUCCEEDED)) == count

    await bench.until(ended)


@pytest.mark.slow
async def test_what_is_due_is_claimed_as_there_is_memory_for_it(database: str) -> None:
    async with engine_on(database, reads, **BUDGET) as bench:
        await bench.rows(DUE, "w", "reads", 300 * KIB, 1, 20)
        await all_ended(bench, 20)
    assert 2 * 300 * KIB <= crowd.most <= 1000 * KIB


@pytest.mark.slow
async def test_what_is_larger_than_all_memory_runs_alone(database: str) -> None:
    async with engine_on(database, reads, **BUDGET) as bench:
        await bench.rows(DUE, "giant", "reads", 2000 * KIB, 1, 3)
        await bench.rows(DUE, "w", "reads", 200 * KIB, 1, 10)
        await all_ended(bench, 13)
    assert crowd.most == 2000 * KIB


async def test_small_ones_pass_a_large_one_until_it_has_waited_long(database: str) -> None:
    async with engine_on(database, **BUDGET) as bench:
        store = bench.store.instances
        await bench.rows(DUE, "large", "reads", 800 * KIB, 5, 1)
        await bench.rows(DUE, "small", "reads", 100 * KIB, 1, 3)
        claimed = (await store.claim(Room(["reads"], 10, 0, Space(250 * KIB, alone=False)))).workflows
        assert [each.workflow_id[:5] for each in claimed] == ["small", "small"]
        await bench.rows(
            "update outlast.workflow_status set claimable_at = now() - interval '1 min' where owner is null"
            " and workflow_id like 'large%%'"
        )
        assert (await store.claim(Room(["reads"], 10, 0, Space(250 * KIB, alone=False)))).workflows == []
        passing = await store.claim(Room(["reads"], 10, 0, Space(250 * KIB, alone=False)), strict=False)
        assert [each.workflow_id[:5] for each in passing.workflows] == ["small"]
        (large,) = (await store.claim(Room(["reads"], 10, 0, Space(250 * KIB, alone=True)))).workflows
        assert (large.workflow_id, large.input) == ("large1", None)
        assert large.load_bytes > 800 * KIB


async def test_records_count_too_and_what_is_learned_of_them_is_kept(database: str) -> None:
    """Inputs are small here: that there is no memory for the records is seen when they are read."""
    async with engine_on(database, collects, **BUDGET) as bench:
        ids = [await bench.start(collects, "") for _ in range(8)]
        await asyncio.gather(*(bench.result(each) for each in ids))
        await bench.rows(
            "update outlast.workflow_status set status = 'PENDING', claimable_at = now(), completed_at = null"
        )
        await bench.rows("delete from outlast.operation_outputs where name = 'stay'")
        crowd.__init__()  # type: ignore[misc]
        await all_ended(bench, 8)
        learned = await bench.rows("select load_bytes from outlast.workflow_status where load_bytes > 100000")
    assert crowd.most <= 1000 * KIB
    assert learned


RECORDED = """
insert into outlast.operation_outputs (workflow_id, step_id, name, output, attempts, completion_order)
select %s, n::text, 'tick', '1', 1, n from generate_series(1, %s) n
"""
LONG = 100_000


@step
async def tick() -> int:
    raise AssertionError("it is recorded")


@workflow
async def short() -> str:
    return "done"


@pytest.mark.slow
async def test_a_history_of_100_000_steps_keeps_nobody_waiting(database: str) -> None:
    """Another call is answered while it is loaded, and another while it is replayed."""
    replaying, ended = asyncio.Event(), asyncio.Event()

    @workflow
    async def long() -> int:
        total = 0
        for number in range(LONG):
            total += await tick()
            if number == LONG // 100:
                replaying.set()
        ended.set()
        return total

    async with engine_on(database, long, short, tick_s=0.05) as bench:
        await bench.rows(
            "insert into outlast.workflow_status (workflow_id, function, status, input)"
            " values ('w', 'long', 'PENDING', '{}')"
        )
        await bench.rows(RECORDED, "w", LONG)
        await bench.rows("update outlast.workflow_status set claimable_at = now()")
        await bench.until(lambda: bench.engine._membership.loading)
        assert await bench.run(short) == "done"
        assert not replaying.is_set()
        await asyncio.wait_for(replaying.wait(), 30)
        assert await bench.run(short) == "done"
        assert not ended.is_set()
        assert await bench.result("w") == LONG
        assert bench.engine._lease.term == 1


@pytest.mark.slow
async def test_many_small_records_count_too(database: str) -> None:
    """Each has two bytes of text; what holds it in memory takes more."""
    go = asyncio.Event()

    @step
    async def meet() -> None:
        await go.wait()

    @workflow
    async def long() -> int:
        total = sum([await tick() for _ in range(4000)])
        await meet()
        return total

    async with engine_on(database, long, **BUDGET) as bench:
        await bench.rows(
            "insert into outlast.workflow_status (workflow_id, function, status, input)"
            " select 'w' || n, 'long', 'PENDING', '{}' from generate_series(1, 8) n"
        )
        for number in range(1, 9):
            await bench.rows(RECORDED, f"w{number}", 4000)
        await bench.rows("update outlast.workflow_status set claimable_at = now()")
        await bench.until(
            lambda: bench.rows("select 1 from outlast.workflow_status where load_bytes > 100000")
        )
        assert len(bench.live) == 1
        go.set()
        await all_ended(bench, 8)


async def test_a_parent_that_waits_is_in_no_childs_way(database: str) -> None:
    """Both fill the memory: the child could never be loaded as long as its parent counted."""

    @workflow
    async def parent(text: str) -> int:
        handle = await start(reads, text)
        result: Any = await handle.result()
        return result

    async with engine_on(database, parent, reads, **BUDGET) as bench:
        await bench.rows(DUE, "p", "parent", 700 * KIB, 1, 1)

        async def child_runs() -> Any:
            return await bench.rows("select 1 from outlast.workflow_status where function = 'reads'")

        await bench.until(child_runs)
        # As after a crash of the child's instance, and a host that is new: both are to be loaded.
        await all_ended(bench, 2)
        await bench.rows(
            "update outlast.workflow_status set status = 'PENDING', claimable_at = now(), completed_at = null"
        )
        await bench.rows("delete from outlast.operation_outputs where name in ('stay', 'result of p1/1')")
        await all_ended(bench, 2)


@step
async def asks() -> Any:
    return await WorkflowHandle[Any]("w1").result()


@workflow
async def waits_in_a_step(text: str) -> Any:
    return await asks()


async def test_a_parent_whose_step_waits_is_in_no_childs_way(database: str) -> None:
    async with engine_on(database, waits_in_a_step, reads, **BUDGET) as bench:
        await bench.rows(DUE, "p", "waits_in_a_step", 700 * KIB, 2, 1)
        # Not due before its parent waits: of what is due the claim takes what fits, not what is older.
        await bench.rows(DUE, "w", "reads", 700 * KIB, -3600, 1)
        await bench.until(lambda: "p1" in bench.live and bench.live["p1"].calls.only_wait)
        await bench.rows("update outlast.workflow_status set claimable_at = now() where owner is null")
        await all_ended(bench, 2)


async def test_a_large_call_is_refused_before_a_row_exists_and_a_small_one_is_not(database: str) -> None:
    async with engine_on(database, reads, **BUDGET) as bench:
        hold = [
            bench.start(reads, "a" * 600 * KIB),
            bench.start(reads, "a" * 600 * KIB),
            bench.start(reads, "a"),
        ]
        refused = [
            each for each in await asyncio.gather(*hold, return_exceptions=True) if not isinstance(each, str)
        ]
        assert [type(each) for each in refused] == [Overloaded]
        assert len(await bench.rows("select 1 from outlast.workflow_status")) == 2


@pytest.mark.slow
async def test_a_claim_that_takes_long_holds_up_no_beat(database: str) -> None:
    """Here it is a trigger that takes its time. Beats go over the same connection."""
    options = {**BUDGET, "lease_ttl_s": 3.0}
    async with engine_on(database, reads, **options) as bench:
        await bench.rows(
            """
            create function outlast.slowly() returns trigger language plpgsql as $$
            begin perform pg_sleep(30); return new; end $$;
            create trigger slowly before update on outlast.workflow_status for each row
            when (old.owner is null and new.owner is not null) execute function outlast.slowly()
            """
        )
        await bench.rows(DUE, "w", "reads", 10, 1, 8)

        def given_up() -> list[ClaimGivenUp]:
            return [each for each in bench.observations if isinstance(each, ClaimGivenUp)]

        await bench.until(lambda: given_up() and given_up()[-1].room == 1)
        assert bench.engine._lease.trusted
        assert bench.engine._lease.term == 1
        assert given_up()[0].room > 1
        await bench.rows("drop trigger slowly on outlast.workflow_status")
        await all_ended(bench, 8)


async def test_what_is_waited_for_is_read_bit_by_bit(database: str) -> None:
    """Five workflows that ended elsewhere, of 6 MiB each: no answer of the database has more than two."""
    async with engine_on(database) as bench:
        await bench.rows(
            "insert into outlast.workflow_status (workflow_id, function, status, output)"
            " select 'w' || n, 'reads', 'SUCCESS', to_json(repeat('a', 6 * 1024 * 1024))"
            " from generate_series(1, 5) n"
        )
        ids = [f"w{number}" for number in range(1, 6)]
        waits = bench.engine._waits
        waited = await asyncio.gather(*(waits.wait(each, 20.0) for each in ids))
        assert [each and each.workflow_id for each in waited] == ids
        looks = await asyncio.gather(*(waits.look(each) for each in [*ids, "nobody"]))
        assert [each and each.workflow_id for each in looks] == [*ids, None]


async def test_every_way_to_start_says_what_it_weighs(database: str) -> None:
    """By the engine, as a child, and in SQL."""
    dense = "[]," * 10_000

    @workflow
    async def parent(text: str) -> int:
        result: Any = await (await start(reads, text)).result()
        return result

    async with engine_on(database, parent, reads) as bench:
        await bench.run(parent, dense)
        await bench.rows("select outlast.start('reads', json_build_object('text', %s::text))", dense)
        await all_ended(bench, 3)
        found = await bench.rows("select input::text, load_bytes from outlast.workflow_status")
    assert len(found) == 3
    for row in found:
        assert row["load_bytes"] == weigh(row["input"]) > 500_000


@pytest.mark.slow
async def test_large_parents_that_wait_keep_large_newcomers_out_and_no_child(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They took no memory as long as they waited, so that all were loaded, however many."""
    monkeypatch.setattr(allowance, "LONE_EVERY_S", 3600.0)
    go = asyncio.Event()

    @step
    async def held() -> None:
        await go.wait()

    @workflow
    async def child(text: str) -> int:
        await held()
        return len(text)

    @workflow
    async def parent(text: str) -> int:
        result: Any = await (await start(child, text[: 10 * KIB])).result()
        return result

    # As long as that they are in memory; then they leave it.
    async with engine_on(database, parent, child, reads, moment_s=3600.0, **BUDGET) as bench:
        await bench.rows(DUE, "p", "parent", 300 * KIB, 1, 12)

        def waiting() -> int:
            return sum(each.calls.only_wait for each in bench.live.values())

        await bench.until(lambda: waiting() >= 4)
        # Small ones run beside them; whoever claims them sees the next parent first.
        await bench.rows(DUE, "small", "reads", 10 * KIB, 0, 2)
        await all_ended(bench, 2)
        assert sum("/" not in each and each.startswith("p") for each in bench.live) == 4
        with pytest.raises(Overloaded):
            await bench.start(reads, "a" * 100 * KIB)
        go.set()
        await all_ended(bench, 2 + 24)


@pytest.mark.slow
async def test_what_waits_for_what_is_not_loaded_ends_though_they_hold_all_memory(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they wait for is large too, no child, and behind many more of them."""
    monkeypatch.setattr(allowance, "LONE_EVERY_S", 0.05)

    async with engine_on(database, waits_in_a_step, reads, **BUDGET) as bench:
        await bench.rows(DUE, "p", "waits_in_a_step", 600 * KIB, 3600, 6)
        await bench.rows(DUE, "w", "reads", 600 * KIB, 1, 1)
        await all_ended(bench, 7)


async def test_what_is_given_back_has_waited_as_long_as_before(database: str) -> None:
    async with engine_on(database) as bench:
        store = bench.store.instances
        await bench.rows(DUE, "w", "reads", 10, 3600, 1)
        await bench.rows(DUE, "v", "reads", 10, 1800, 1)
        due = "select claimable_at from outlast.workflow_status where workflow_id = 'w1'"
        before = await bench.rows(due)
        (claimed,) = (await store.claim(Room(["reads"], 1, 0))).workflows
        await store.release({"w1": claimed.epoch}, {"w1": 5000}, {"w1": claimed.due_s})
        assert await bench.rows(due) == before
        (again,) = (await store.claim(Room(["reads"], 1, 0))).workflows
        assert (again.workflow_id, again.load_bytes) == ("w1", 5000)


async def test_large_ones_that_do_not_fit_leave_their_places_to_those_behind(database: str) -> None:
    async with engine_on(database) as bench:
        store = bench.store.instances
        await bench.rows(DUE, "large", "reads", 300 * KIB, 3600, 20)
        await bench.rows("update outlast.workflow_status set load_bytes = 300 * 1024")
        await bench.rows(DUE, "small", "reads", 10, 1, 3)
        claim = await store.claim(Room(["reads"], 3, 0, Space(100 * KIB, alone=False)), strict=False)
        assert {each.workflow_id[:5] for each in claim.workflows} == {"small"}
        held = Space(100 * KIB, alone=False)
        claim = await store.claim(Room(["reads"], 3, 0, Space(10_000 * KIB, alone=True), held), strict=False)
        assert claim.workflows == []


def failures(bench: Bench) -> int:
    return sum(isinstance(each, LoopFailed) and each.loop == "loader" for each in bench.observations)


def claims(bench: Bench) -> int:
    return sum(isinstance(each, WorkflowsClaimed) for each in bench.observations)


async def test_what_could_not_be_loaded_is_not_claimed_again_at_once(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried once more at once, and then ever later."""
    monkeypatch.setattr(loading, "BROKEN_S", 0.0)
    async with engine_on(database, reads, **BUDGET) as bench:
        membership = bench.engine._membership
        loader = membership._loader.loop
        loader._retry = RetryPolicy(backoff_s=3600.0, backoff_max_s=3600.0)
        await bench.rows("alter table outlast.operation_outputs rename to away")
        await bench.rows(DUE, "w", "reads", 10, 1, 3)
        await bench.until(lambda: loader.resumes_at > monotonic())
        assert failures(bench) == 1
        await bench.until(lambda: bench.rows("select 1 from outlast.workflow_status where owner is null"))
        known = claims(bench)  # two, or three where some were given back while others were claimed
        for _ in range(3):
            assert await membership._claim() is False
        assert claims(bench) == known <= 3
        await bench.rows("alter table outlast.away rename to operation_outputs")
        loader.resumes_at = 0.0
        membership._loop.wake()
        await all_ended(bench, 3)


async def test_what_could_not_be_given_back_is_given_back_with_all_that_is_known_of_it(database: str) -> None:
    """Beats find it, too, but as what is due now: it would be in everybody's way again."""
    async with engine_on(database, reads, **BUDGET) as bench:
        release, failed = bench.store.instances.release, 0

        async def fails_once(*given: Any) -> None:
            nonlocal failed
            failed += 1
            if failed == 1:
                raise Unreachable("away")
            await release(*given)

        bench.store.instances.release = fails_once  # type: ignore[method-assign, assignment]
        await bench.rows("alter table outlast.operation_outputs rename to away")
        await bench.rows(DUE, "w", "reads", 10, 1, 1)
        later = "select 1 from outlast.workflow_status where claimable_at > now() + interval '20 s'"
        await bench.until(lambda: bench.rows(later))
        assert failed == 2
        await bench.rows("alter table outlast.away rename to operation_outputs")


async def test_what_cannot_be_read_keeps_nobody_waiting(database: str) -> None:
    """As a broken page of the disk does, here a function fails whenever its records are read."""
    async with engine_on(database, reads, **BUDGET) as bench:
        await bench.rows("alter table outlast.operation_outputs rename to real_outputs")
        await bench.rows(
            """
            create function outlast.whole(id text) returns boolean language plpgsql as $$
            begin
              if id = 'w1' then raise exception 'missing chunk number 0' using errcode = 'XX001'; end if;
              return true;
            end $$
            """
        )
        await bench.rows(
            "create view outlast.operation_outputs as"
            " select * from outlast.real_outputs where outlast.whole(workflow_id)"
        )
        # In one commit: without its record it would end.
        await bench.rows(DUE_AND_A_RECORD, "w", "reads", 10, 3600, 5)
        await all_ended(bench, 4)
        await bench.until(
            lambda: bench.rows(
                "select 1 from outlast.workflow_status where claimable_at > now() + interval '9 s'"
            )
        )
        assert failures(bench) >= 1
