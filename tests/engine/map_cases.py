"""`map_`: items once each, so many at a time, and what became of each.

They run in memory (test_maps.py) and on Postgres (test_maps_on_postgres.py).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import pytest

from outlast import MapFailed, Queue, UsageError, map_, sleep, step, workflow
from outlast.core.claims import Room
from outlast.core.verbs import FORK, RETRY
from outlast.engine.operations import mapping
from tests.engine.harness import Bench, engine_on

ran: Counter[int] = Counter()
running: set[int] = set()
most = [0]
gates: dict[int, asyncio.Event] = {}
narrow = Queue("narrow", concurrency=2)


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()
    running.clear()
    gates.clear()
    most[0] = 0


class Refused(Exception):
    """An item's own."""


@step
async def work(number: int) -> int:
    ran[number] += 1
    running.add(number)
    most[0] = max(most[0], len(running))
    try:
        if number in gates:
            await gates[number].wait()
        await asyncio.sleep(0)
    finally:
        running.discard(number)
    if number < 0:
        raise Refused(f"{number} is below nothing")
    return number * 2


@workflow
async def item(number: int) -> int:
    return await work(number)


@workflow(timeout=4)
async def timed_item(seconds: float) -> float:
    await sleep(seconds)
    if ran[0] == 0 and seconds:
        await work(-1)
    return seconds


@workflow(timeout=3600)
async def one_after_the_other(seconds: list[float]) -> list[Any]:
    result = await map_(timed_item, seconds, concurrency=1, tolerate=len(seconds) - 1)
    return [list(result.ok), [type(error).__name__ for _, error in result.failed]]


@workflow(queue=narrow)
async def queued_item(number: int) -> int:
    return number


@workflow
async def doubled(numbers: list[int]) -> list[int]:
    result = await map_(item, numbers, concurrency=3)
    return list(result)


@workflow
def doubled_by_def(numbers: list[int]) -> list[int]:
    return list(map_(item, numbers))


@workflow
async def tolerant(numbers: list[int]) -> dict[str, Any]:
    result = await map_(item, numbers, tolerate=2)
    raised = ""
    for place in range(len(result)):
        try:
            result[place]
        except Refused as error:
            raised = str(error)
    return {
        "total": len(result),
        "ok": [[key, value] for key, value in result.ok],
        "failed": [[key, type(error).__name__, str(error)] for key, error in result.failed],
        "counts": [len(result.ok), len(result.failed)],
        "raised": raised,
    }


@workflow
async def keyed(names: list[str]) -> list[Any]:
    result = await map_(length, names, key=lambda name: name.lower())
    return [[key, value] for key, value in result.ok]


@workflow
async def length(name: str) -> int:
    return len(name)


yielded: list[int] = []


@step(max_attempts=2)
async def numbers_up_to(count: int, fails_at: int) -> AsyncIterator[int]:
    for number in range(count):
        if number == fails_at and number not in yielded:
            yielded.append(number)
            raise OSError("the source is away")
        yield number


@step
def names_of(count: int) -> Iterator[str]:
    yield from ("x" * number for number in range(1, count + 1))


@workflow
async def over_generator(count: int, fails_at: int) -> list[int]:
    result = await map_(item, numbers_up_to(count, fails_at), concurrency=300)
    return [len(result), sum(result)]


@workflow
def over_names(count: int) -> list[Any]:
    result = map_(length, names_of(count), key=lambda name: name)
    return [[key, value] for key, value in result.ok]


@workflow
async def strict(numbers: list[int], on_fail: Any) -> Any:
    try:
        return list(await map_(item, numbers, concurrency=2, on_fail=on_fail))
    except MapFailed as error:
        return {"total": error.total, "ok": error.ok, "failed": error.failed, "errors": error.errors}


@workflow
async def nested(rows: list[list[int]]) -> list[list[int]]:
    return list(await map_(doubled, rows))


@workflow
async def slices(count: int) -> list[Any]:
    result = await map_(item, range(count), concurrency=500)
    return [result[-1], result[2:5], len(result[1_000:]), sum(result)]


@workflow
async def misuses(how: str) -> Any:
    wrong: dict[str, Any] = {
        "queue": lambda: map_(queued_item, [1]),
        "many": lambda: map_(item, range(10_001)),
        "same": lambda: map_(item, [1, 2, 1], key=lambda number: number),
        "key": lambda: map_(item, [1], key=lambda number: "a/b"),
        "concurrency": lambda: map_(item, [1], concurrency=0),
        "share": lambda: map_(item, [1], tolerate=1.5),
        "on_fail": lambda: map_(item, [1], on_fail="explode"),  # type: ignore[arg-type]
        "plain": lambda: map_(len, [1]),  # type: ignore[arg-type]
        "fit": lambda: map_(item, [1, "two"]),
    }
    return len(await wrong[how]())


async def test_items_come_back_in_order_and_no_more_run_than_may(database: str) -> None:
    async with engine_on(database, doubled, item) as bench:
        assert await bench.run(doubled, list(range(50))) == [2 * each for each in range(50)]
    assert ran == Counter(range(50))
    assert 1 < most[0] <= 3


async def test_a_map_is_one_record_and_its_items_are_its_children(database: str) -> None:
    async with engine_on(database, doubled, item) as bench:
        parent_id = await bench.start(doubled, [1, 2, 3])
        assert await bench.result(parent_id) == [2, 4, 6]
        steps = [each for each in await bench.steps(parent_id) if each["kind"] == "map"]
        assert [(each["step_id"], each["name"]) for each in steps] == [("1", "map item")]
        assert steps[0]["output"] == {"of": f"{parent_id}/map.1", "total": 3, "ok": 3, "failed": 0}
        assert (await bench.row(f"{parent_id}/map.1"))["parent"] == parent_id
        assert (await bench.row(f"{parent_id}/map.1/2"))["parent"] == f"{parent_id}/map.1"


@pytest.mark.parametrize("numbers", [[], [7], [3, 1, 2]])
@pytest.mark.parametrize("function", [doubled, doubled_by_def], ids=["async", "def"])
async def test_few_items_in_both_kinds_of_bodies(database: str, function: Any, numbers: list[int]) -> None:
    async with engine_on(database, function, item) as bench:
        assert await bench.run(function, numbers) == [2 * each for each in numbers]


async def test_what_is_tolerated_is_told_by_key(database: str) -> None:
    async with engine_on(database, tolerant, item) as bench:
        assert await bench.run(tolerant, [1, -5, 3, -6]) == {
            "total": 4,
            "ok": [[0, 2], [2, 6]],
            "failed": [[1, "Refused", "-5 is below nothing"], [3, "Refused", "-6 is below nothing"]],
            "counts": [2, 2],
            "raised": "-6 is below nothing",
        }


async def test_no_key_makes_an_id_that_a_fork_could_have(database: str) -> None:
    async with engine_on(database, keyed, length) as bench:
        parent_id = await bench.start(keyed, ["a~2", "~2b", "~"])
        assert await bench.result(parent_id) == [["a%7E2", 3], ["~2b", 3], ["~", 1]]
        assert (await bench.row(f"{parent_id}/map.1/a%7E2"))["status"] == "SUCCESS"


async def test_an_item_is_forked_whatever_its_key_is(database: str) -> None:
    """The id of a batch ends so, too."""
    async with engine_on(database, keyed, length) as bench:
        parent_id = await bench.start(keyed, ["batch"])
        assert await bench.result(parent_id) == [["batch", 5]]
        item_id = f"{parent_id}/map.1/batch"
        forked = await bench.store.workflows.act(FORK, item_id, {}, "me")
        assert forked["fork"] == f"{item_id}~2"
        bench.engine.look()
        assert await bench.result(forked["fork"]) == 5


async def test_keys_name_the_items(database: str) -> None:
    async with engine_on(database, keyed, length) as bench:
        parent_id = await bench.start(keyed, ["Anna", "Bo"])
        assert await bench.result(parent_id) == [["anna", 4], ["bo", 2]]
        assert (await bench.row(f"{parent_id}/map.1/anna"))["status"] == "SUCCESS"


@pytest.mark.parametrize("count", [0, 1, 1_000, pytest.param(2_345, marks=pytest.mark.slow)])
async def test_what_a_step_yields_is_mapped_over(database: str, count: int) -> None:
    async with engine_on(database, over_generator, item) as bench:
        assert await bench.run(over_generator, count, -1) == [count, sum(range(count)) * 2]
    assert ran == Counter(range(count))


async def test_a_generator_that_fails_begins_anew_and_no_item_runs_twice(database: str) -> None:
    yielded.clear()
    async with engine_on(database, over_generator, item) as bench:
        assert await bench.run(over_generator, 1_500, 1_200) == [1_500, sum(range(1_500)) * 2]
    assert yielded == [1_200]
    assert ran == Counter(range(1_500))


async def test_a_generator_without_end_is_refused(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping, "ITEMS_MAX", 1_500)
    async with engine_on(database, over_generator, item) as bench:
        error = await bench.failure(await bench.start(over_generator, 10**9, -1))
        assert error["failure"]["type"] == UsageError.__name__
        assert "the step yields more" in error["failure"]["message"]
    assert not ran


async def test_a_def_generator_and_its_keys(database: str) -> None:
    async with engine_on(database, over_names, length) as bench:
        assert await bench.run(over_names, 3) == [["x", 1], ["xx", 2], ["xxx", 3]]


async def test_a_failure_that_is_not_tolerated_lets_nothing_more_begin(database: str) -> None:
    gates[1] = asyncio.Event()
    async with engine_on(database, strict, item) as bench:
        parent_id = await bench.start(strict, [1, -1, *range(2, 100)], "drain")
        await bench.until(lambda: _stopped(bench, parent_id))
        gates[1].set()  # what runs goes on to its end
        told = await bench.result(parent_id)
        assert told["total"] == 100
        assert told["failed"] == 1
        assert told["errors"] == [["1", "Refused: -1 is below nothing"]]
        assert ran[1] == ran[-1] == 1
        assert told["ok"] == sum(ran.values()) - 1 < 99


async def test_or_cancels_what_runs(database: str) -> None:
    gates[1] = asyncio.Event()
    async with engine_on(database, strict, item) as bench:
        parent_id = await bench.start(strict, [1, -1, 2, 3], "cancel")
        told = await bench.result(parent_id)
        assert told["total"] == 4
        assert told["failed"] >= 2
        assert (await bench.row(f"{parent_id}/map.1/0"))["status"] == "CANCELLED"
    gates[1].set()


async def _stopped(bench: Bench, parent_id: str) -> bool:
    state = await bench.store.maps.look(f"{parent_id}/map.1")
    return state is not None and state.stopped


async def test_a_map_inside_a_map(database: str) -> None:
    async with engine_on(database, nested, doubled, item) as bench:
        assert await bench.run(nested, [[1, 2], [], [3]]) == [[2, 4], [], [6]]


@pytest.mark.slow
async def test_results_are_read_in_pages(database: str) -> None:
    async with engine_on(database, slices, item) as bench:
        assert await bench.run(slices, 2_300) == [4_598, [4, 6, 8], 1_300, sum(range(2_300)) * 2]
    assert ran == Counter(range(2_300))


async def test_progress_is_published(database: str) -> None:
    async with engine_on(database, doubled, item) as bench:
        parent_id = await bench.start(doubled, list(range(10)))
        await bench.result(parent_id)
        (told,) = (each for each in await bench.steps(parent_id) if each["step_id"] == "map.1")
        assert (told["kind"], told["name"]) == ("publish", "publish map.1")
        assert told["output"] == {"total": 10, "started": 10, "ok": 10, "failed": 0}


async def test_a_crash_neither_repeats_nor_skips_an_item(database: str) -> None:
    for each in (20, 21):
        gates[each] = asyncio.Event()
    async with engine_on(database, doubled, item) as bench:
        parent_id = await bench.start(doubled, list(range(40)))
        await bench.until(lambda: gates.keys() <= running)
        for gate in gates.values():
            gate.set()
        await bench.abandon()
    before = sum(ran.values())
    async with engine_on(database, doubled, item) as bench:
        assert await bench.result(parent_id) == [2 * each for each in range(40)]
    assert ran.keys() == set(range(40))
    assert sum(ran.values()) <= 40 + 3, f"only what ran at the crash runs again ({before})"


async def test_the_parent_leaves_the_memory_and_the_last_item_wakes_it(database: str) -> None:
    gates[2] = asyncio.Event()
    async with engine_on(database, doubled, item) as bench:
        parent_id = await bench.start(doubled, [1, 2, 3])
        await bench.suspended(parent_id)

        async def waits_for_one() -> bool:
            """The others may still run when it leaves."""
            shown = await bench.store.workflows.show(parent_id)
            return shown is not None and shown["waiting_on"] == "map item 2/3"

        await bench.until(waits_for_one)
        gates[2].set()
        assert await bench.result(parent_id) == [2, 4, 6]
        (told,) = (each for each in await bench.steps(parent_id) if each["step_id"] == "map.1")
        assert told["output"] == {"total": 3, "started": 3, "ok": 3, "failed": 0}
        assert (await bench.row(parent_id))["epoch"] >= 2


async def test_cancelling_the_parent_cancels_its_items(database: str) -> None:
    gates[2] = asyncio.Event()
    async with engine_on(database, doubled, item) as bench:
        parent_id = await bench.start(doubled, [1, 2, 3, 4, 5, 6])
        await bench.suspended(parent_id)
        gates[1] = asyncio.Event()
        assert await bench.engine.cancel(parent_id)
        await bench.until(lambda: _status(bench, f"{parent_id}/map.1/1", "CANCELLED"))
        await bench.until(lambda: _status(bench, f"{parent_id}/map.1", "CANCELLED"))
        await bench.until(lambda: _has_nothing_to_decide(bench))
    gates[2].set()


async def _has_nothing_to_decide(bench: Bench) -> bool:
    return not (await bench.store.instances.claim(Room(["item"], 10, 1))).queued


async def _status(bench: Bench, workflow_id: str, status: str) -> bool:
    return (await bench.row(workflow_id))["status"] == status


async def test_the_queue_of_a_map_goes_with_it(database: str) -> None:
    async with engine_on(database, doubled, item) as bench:
        parent_id = await bench.start(doubled, [1, 2])
        await bench.result(parent_id)
        assert await bench.store.maps.look(f"{parent_id}/map.1") is not None
        claims = await bench.store.instances.claim(Room(["item"], 10, 1))
        assert not claims.queued


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("queue", "has one already"),
        ("many", 'rows("select'),
        ("same", "for the items 0 and 2"),
        ("key", "without a slash"),
        ("concurrency", "from 1 to 100,000"),
        ("share", "which share of them"),
        ("on_fail", '"drain" or "cancel"'),
        ("plain", "decorated with @workflow"),
        ("fit", "item 1, counted from 0: item: the input does not fit: number (number: Input"),
    ],
)
async def test_misuse_is_told(database: str, how: str, told: str) -> None:
    async with engine_on(database, misuses, item, queued_item) as bench:
        error = await bench.failure(await bench.start(misuses, how))
        kind = "InvalidInput" if how == "fit" else UsageError.__name__
        assert error["failure"]["type"] == kind
        assert told in error["failure"]["message"]
        assert not ran


async def test_an_items_own_timeout_counts_from_when_it_begins(database: str) -> None:
    ran[0] = 1
    async with engine_on(database, one_after_the_other, timed_item) as bench:
        ok, failed = await bench.run(one_after_the_other, [1.5, 1.5, 60.0, 1.5, 1.5])
        assert [value for _, value in ok] == [1.5, 1.5, 1.5, 1.5]
        assert failed == ["WorkflowTimeout"]


async def test_an_items_timeout_counts_anew_from_when_it_goes_on(database: str) -> None:
    async with engine_on(database, one_after_the_other, timed_item) as bench:
        workflow_id = await bench.start(one_after_the_other, [1.5, 1.6, 1.7])
        await bench.failure(workflow_id)
        ran[0] = 1
        await bench.store.workflows.act(RETRY, workflow_id, {}, "me")
        bench.engine.look()
        ok, failed = await bench.result(workflow_id)
        assert ([value for _, value in ok], failed) == ([1.5, 1.6, 1.7], [])
        deadline = (await bench.row(workflow_id))["deadline"]
        for place in range(3):
            assert (await bench.row(f"{workflow_id}/map.1/{place}"))["deadline"] == deadline


async def test_an_item_that_is_retried_alone_has_its_time_from_when_it_begins(database: str) -> None:
    """While it waits for the one before it, only its map bounds it."""
    async with engine_on(database, one_after_the_other, timed_item) as bench:
        workflow_id = await bench.start(one_after_the_other, [0.01, 3.0])
        item_id = f"{workflow_id}/map.1/0"

        async def failed() -> bool:
            with suppress(KeyError, ValueError):  # it isn't there yet
                return bool((await bench.row(item_id))["status"] == "ERROR")
            return False

        await bench.until(failed)
        await bench.store.workflows.act(RETRY, item_id, {}, "me")
        row = await bench.row(item_id)
        assert row["deadline"] == (await bench.row(workflow_id))["deadline"]
