"""What a retried workflow does anew where an earlier generation has left something outside its records.

The same again is not done twice; another thing is another one, and the first one stays. They run in memory
(test_anew.py) and on Postgres (test_anew_on_postgres.py).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from outlast import WorkflowHandle, map_, receive, send, start_all, step, workflow
from outlast.core.status import Status
from outlast.core.verbs import RETRY, REWIND
from tests.engine.harness import WAIT_S, Bench, engine_on
from tests.engine.memory import Memory

said: dict[str, Any] = {}
"""What the steps return; an exception is raised."""

ran: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_said() -> None:
    said.clear()
    ran.clear()


@step
async def look(what: str) -> Any:
    ran.append(what)
    if f"before {what}" in said:
        await said[f"before {what}"].wait()
    if isinstance(said[what], Exception):
        raise said[what]
    return said[what]


@workflow
async def box() -> str:
    return str(await receive("never"))


@workflow
async def cries(to: str) -> str:
    try:
        return str(await look("card"))
    except ValueError as error:
        await send(to, f"payment failed: {error}", "m")
        raise


@workflow
async def tells(to: str) -> str:
    await send(to, await look("news"), "m")
    if said["end"]:
        await look("end")
    return str(await receive("go"))


@workflow
async def names_a_key(to: str) -> None:
    await send(to, await look("news"), "m", idempotency_key="mine")
    await look("end")


@workflow
async def forks(target: str) -> str:
    forked = await WorkflowHandle[Any](target).fork(input=await look("input"))
    await look("end")
    return str(await receive("go") or forked["fork"])


@workflow
async def leaf(number: int) -> int:
    ran.append(number)
    return number * 10


@workflow
async def other_leaf(number: int) -> int:
    return number * 100


@workflow
async def starts(queue: str | None = None) -> list[int]:
    items = await look("items")
    handles = await start_all(other_leaf if said.get("other") else leaf, items)
    await look("end")
    return [await each.result() for each in handles]


@workflow
async def with_input(name: str) -> str:
    return f"I am {name}"


async def fails(bench: Bench, workflow_id: str, how: str) -> None:
    """It ends, and its error has this word."""
    state = await bench.engine.wait(workflow_id, WAIT_S)
    assert state is not None
    assert state.status == "ERROR"
    assert how in (state.error or "")


async def again(bench: Bench, workflow_id: str, to: str | None = None) -> None:
    """Let it go on: a retry, or a rewind to a step."""
    given = (RETRY, {}) if to is None else (REWIND, {"to": to})
    await bench.store.workflows.act(given[0], workflow_id, given[1], "me")
    bench.engine.look()


async def rests(bench: Bench, workflow_id: str) -> None:
    """It has gone on, and waits for a message."""

    async def began() -> bool:
        return (await bench.row(workflow_id))["status"] == "PENDING"

    await bench.until(began)
    await bench.suspended(workflow_id)


async def lost(bench: Bench, workflow_id: str, *step_ids: str) -> None:
    """Its instance is lost as it was before these steps were recorded; now it runs again."""
    await rests(bench, workflow_id)
    if isinstance(bench.url, Memory):
        for each in step_ids:
            del bench.url.database.records[workflow_id, each]
        bench.url.database.workflows[workflow_id].claimable_at = bench.url.database.now()
    else:
        await bench.rows(
            "delete from outlast.operation_outputs where workflow_id = %s and step_id = any(%s)",
            workflow_id,
            list(step_ids),
        )
        await bench.rows(
            "update outlast.workflow_status set claimable_at = now() where workflow_id = %s", workflow_id
        )
    bench.engine.look()


async def sent(bench: Bench, workflow_id: str) -> list[Any]:
    """The messages to it, in their order."""
    if isinstance(bench.url, Memory):
        letters = bench.url.database.letters
        return [json.loads(each.body) for each in letters if each.workflow_id == workflow_id]
    found = await bench.rows(
        "select message from outlast.messages where workflow_id = %s order by message_id", workflow_id
    )
    return [each["message"] for each in found]


async def test_each_failure_is_told_and_stays_the_failure(bench: Bench) -> None:
    to = await bench.start(box)
    said["card"] = ValueError("declined at 1")
    workflow_id = await bench.start(cries, to)
    for time in (2, 3):
        await fails(bench, workflow_id, f"declined at {time - 1}")
        said["card"] = ValueError(f"declined at {time}")
        await again(bench, workflow_id)
    await fails(bench, workflow_id, "declined at 3")
    assert await sent(bench, to) == [f"payment failed: declined at {time}" for time in (1, 2, 3)]
    said["card"] = "paid"
    await again(bench, workflow_id)
    assert await bench.result(workflow_id) == "paid"
    assert ran == ["card"] * 4


async def test_the_same_message_is_sent_once_in_all_generations(bench: Bench) -> None:
    to = await bench.start(box)
    said.update(news=1, end=ValueError("no"))
    workflow_id = await bench.start(tells, to)
    for news in (2, 1, 3, 2):
        await fails(bench, workflow_id, "no")
        said["news"] = news
        await again(bench, workflow_id, "1")
    await fails(bench, workflow_id, "no")
    assert await sent(bench, to) == [1, 2, 3]


async def test_what_was_sent_and_not_recorded_is_sent_once(bench: Bench) -> None:
    to = await bench.start(box)
    said.update(news=1, end=ValueError("no"))
    workflow_id = await bench.start(tells, to)
    await fails(bench, workflow_id, "no")
    said.update(news=2, end=None)
    await again(bench, workflow_id, "1")
    await lost(bench, workflow_id, "2")
    await rests(bench, workflow_id)
    assert await sent(bench, to) == [1, 2]
    # It is lost once more, and given up before it came to record it; the next generation finds it.
    await bench.engine.cancel(workflow_id)
    await again(bench, workflow_id)
    await lost(bench, workflow_id, "2")
    await rests(bench, workflow_id)
    assert await sent(bench, to) == [1, 2]


async def test_in_one_generation_a_place_sends_one_message(bench: Bench) -> None:
    to = await bench.start(box)
    said.update(news=ValueError("not yet"), end=None)
    workflow_id = await bench.start(tells, to)
    await fails(bench, workflow_id, "not yet")
    said["news"] = 1
    await again(bench, workflow_id)
    await rests(bench, workflow_id)
    # As of a body that says something else each time it is run.
    said["news"] = 2
    await lost(bench, workflow_id, "1", "2", "3")
    await fails(bench, workflow_id, "KeyReused")
    assert await sent(bench, to) == [1]


async def test_a_key_of_its_own_stands_for_one_message(bench: Bench) -> None:
    to = await bench.start(box)
    said.update(news=1, end=ValueError("no"))
    workflow_id = await bench.start(names_a_key, to)
    await fails(bench, workflow_id, "no")
    said["news"] = 2
    await again(bench, workflow_id, "1")
    await fails(bench, workflow_id, "KeyReused")
    assert await sent(bench, to) == [1]


async def test_another_fork_is_another_one(bench: Bench) -> None:
    target = await bench.start(with_input, "first")
    assert await bench.result(target) == "I am first"
    said.update(input={"name": "a"}, end=ValueError("no"))
    workflow_id = await bench.start(forks, target)
    for name in ("b", "a", "c", "b"):
        await fails(bench, workflow_id, "no")
        said["input"] = {"name": name}
        await again(bench, workflow_id, "1")
    await fails(bench, workflow_id, "no")
    names = [await bench.result(f"{target}~{number}") for number in (2, 3, 4)]
    assert names == ["I am a", "I am b", "I am c"]
    with pytest.raises((LookupError, ValueError)):
        await bench.row(f"{target}~5")


async def test_all_that_is_started_anew_is_what_the_code_says_now(bench: Bench) -> None:
    said.update(items=[1, 2, 3], end=ValueError("no"))
    workflow_id = await bench.start(starts)
    await fails(bench, workflow_id, "no")
    said["items"] = [1, 5, 3, 4]
    await again(bench, workflow_id, "1")
    await fails(bench, workflow_id, "no")
    said["items"] = [6, 5, 3, 4]
    await again(bench, workflow_id, "1")
    await fails(bench, workflow_id, "no")
    said["end"] = None
    await again(bench, workflow_id)
    assert await bench.result(workflow_id) == [60, 50, 30, 40]
    for of in ("1/again-2", "0/again-3", "1", "2", "3"):
        assert (await bench.row(f"{workflow_id}/2/{of}"))["status"] == "SUCCESS"
    assert sorted(each for each in ran if isinstance(each, int)) == [1, 2, 3, 4, 5, 6]


async def test_all_that_is_started_anew_may_be_of_another_function(bench: Bench) -> None:
    said.update(items=[1, 2], end=ValueError("no"))
    workflow_id = await bench.start(starts)
    await fails(bench, workflow_id, "no")
    said.update(other=True, end=None)
    await again(bench, workflow_id, "1")
    assert await bench.result(workflow_id) == [100, 200]


# --- maps ---------------------------------------------------------------------------------------------------


@workflow
async def item(number: int) -> int:
    ran.append(number)
    if number in said.get("gates", ()):
        await look("gate")
    if number >= 100:
        raise ValueError(f"{number} is too much")
    return number * 10


@workflow
async def other_item(number: int) -> int:
    return number * 100


@workflow
async def maps() -> list[int]:
    items = await look("items")
    if said.get("mended"):
        items = [each for each in items if each < 100]
    found = await map_(
        other_item if said.get("other") else item,
        items,
        key=said.get("key"),
        tolerate=said.get("tolerate", 0),
        concurrency=said.get("concurrency", 100),
    )
    await look("end")
    return [value for _, value in found.ok]


@step
async def counted(numbers: list[int]) -> AsyncIterator[int]:
    ran.append("counted")
    for each in numbers:
        yield each


@workflow
async def maps_a_generator() -> list[int]:
    found = await map_(item, counted(await look("items")))
    await look("end")
    return list(found)


@workflow
async def maps_beside() -> list[int]:
    async with asyncio.TaskGroup() as group:
        group.create_task(look("end"))
        mapping = group.create_task(_mapped())
    return mapping.result()


async def _mapped() -> list[int]:
    return list(await map_(item, [1, 2, 3], concurrency=1))


EVERY = (
    box, cries, tells, names_a_key, forks, leaf, other_leaf, starts, with_input, item, other_item, maps,
    maps_a_generator, maps_beside,
)  # fmt: skip


@pytest.fixture
async def bench(database: str) -> AsyncIterator[Bench]:
    async with engine_on(database, *EVERY) as bench:
        yield bench


async def given_up(bench: Bench, workflow_id: str) -> None:
    """It was lost too often."""
    if isinstance(bench.url, Memory):
        row = bench.url.database.workflows[workflow_id]
        row.status, row.claimable_at, row.error = Status.EXHAUSTED, None, "{}"
        row.epoch += 1
    else:
        await bench.rows(
            "update outlast.workflow_status set status = 'EXHAUSTED', claimable_at = null, error = '{}',"
            " epoch = epoch + 1, completed_at = now() where workflow_id = %s",
            workflow_id,
        )


async def statuses(bench: Bench, map_id: str, *keys: Any) -> list[str]:
    """How the items of a map stand."""
    return [(await bench.row(f"{map_id}/{each}"))["status"] for each in keys]


async def test_a_map_of_other_items_is_another_one(bench: Bench) -> None:
    said.update(items=[1, 2, 3], end=ValueError("no"))
    workflow_id = await bench.start(maps)
    await fails(bench, workflow_id, "no")
    said["items"] = [4, 5]
    await again(bench, workflow_id, "1")
    await fails(bench, workflow_id, "no")
    said.update(items=[1, 2, 3], end=None)
    await again(bench, workflow_id, "3")
    assert await bench.result(workflow_id) == [40, 50]
    assert await statuses(bench, f"{workflow_id}/map.2", 0, 1, 2) == ["SUCCESS"] * 3
    assert await statuses(bench, f"{workflow_id}/map.2.again-2", 0, 1) == ["SUCCESS"] * 2
    assert sorted(each for each in ran if isinstance(each, int)) == [1, 2, 3, 4, 5]
    told = {each["step_id"]: each["output"] for each in await bench.steps(workflow_id)}
    assert told["map.2.again-2"] == {"total": 2, "started": 2, "ok": 2, "failed": 0}


async def test_of_the_same_items_an_earlier_map_is_found(bench: Bench) -> None:
    said.update(items=[1, 2], end=ValueError("no"))
    workflow_id = await bench.start(maps)
    for items in ([3], [1, 2], [4], [3]):
        await fails(bench, workflow_id, "no")
        said["items"] = items
        await again(bench, workflow_id, "1")
    await fails(bench, workflow_id, "no")
    said["end"] = None
    await again(bench, workflow_id)
    assert await bench.result(workflow_id) == [30]
    assert sorted(each for each in ran if isinstance(each, int)) == [1, 2, 3, 4]
    assert await statuses(bench, f"{workflow_id}/map.2.again-4", 0) == ["SUCCESS"]


async def test_code_that_leaves_the_bad_item_out_is_mended(bench: Bench) -> None:
    said.update(items=[1, 100, 3], end=None)
    workflow_id = await bench.start(maps)
    await fails(bench, workflow_id, "100 is too much")
    said["mended"] = True
    await again(bench, workflow_id)
    assert await bench.result(workflow_id) == [10, 30]


async def test_of_a_map_of_the_same_items_only_the_failed_run_again(bench: Bench) -> None:
    said.update(items=[1, 100, 3], end=None)
    workflow_id = await bench.start(maps)
    for _ in range(2):
        await fails(bench, workflow_id, "100 is too much")
        await again(bench, workflow_id)
    await fails(bench, workflow_id, "100 is too much")
    assert ran.count(100) == 3
    assert ran.count(1) == ran.count(3) == 1
    # What the code tolerates now counts.
    said["tolerate"] = 1
    await again(bench, workflow_id)
    assert await bench.result(workflow_id) == [10, 30]


async def test_a_map_of_another_function_or_with_other_keys_is_another_one(bench: Bench) -> None:
    said.update(items=[1, 2], end=ValueError("no"))
    workflow_id = await bench.start(maps)
    await fails(bench, workflow_id, "no")
    said["key"] = lambda each: f"k{each}"
    await again(bench, workflow_id, "1")
    await fails(bench, workflow_id, "no")
    assert await statuses(bench, f"{workflow_id}/map.2.again-2", "k1", "k2") == ["SUCCESS"] * 2
    said.update(other=True, end=None)
    await again(bench, workflow_id, "1")
    assert await bench.result(workflow_id) == [100, 200]
    assert await statuses(bench, f"{workflow_id}/map.2.again-3", "k1", "k2") == ["SUCCESS"] * 2


async def test_a_map_of_what_another_call_yields_is_another_one(bench: Bench) -> None:
    said.update(items=[1, 2], end=ValueError("no"))
    workflow_id = await bench.start(maps_a_generator)
    await fails(bench, workflow_id, "no")
    await again(bench, workflow_id, "1")
    await fails(bench, workflow_id, "no")
    assert ran.count("counted") == 1
    said.update(items=[3, 4, 5], end=None)
    await again(bench, workflow_id, "1")
    assert await bench.result(workflow_id) == [30, 40, 50]
    assert ran.count("counted") == 2


async def test_of_a_map_beside_which_another_begins_nothing_more_begins(bench: Bench) -> None:
    said.update({"items": [1, 2, 3], "concurrency": 1, "end": None})
    said.update({"gates": [1], "gate": None, "before gate": asyncio.Event()})
    workflow_id = await bench.start(maps)
    await bench.until(lambda: 1 in ran)
    await bench.suspended(workflow_id)
    # Too often lost, its workflow was given up before anybody looked at the map.
    await given_up(bench, workflow_id)
    said["items"] = [4]
    await again(bench, workflow_id, "1")
    assert await bench.result(workflow_id) == [40]
    said["before gate"].set()

    async def is_over() -> bool:
        return (await bench.row(f"{workflow_id}/map.2"))["status"] == "ERROR"

    await bench.until(is_over)
    assert {each for each in ran if isinstance(each, int)} == {1, 4}


async def test_a_map_whose_workflow_failed_beside_it_goes_on_with_it(bench: Bench) -> None:
    said.update({"end": ValueError("no"), "before end": asyncio.Event()})
    said.update({"gates": [1], "gate": None, "before gate": asyncio.Event()})
    workflow_id = await bench.start(maps_beside)
    map_id = f"{workflow_id}/map.2.1"
    await bench.until(lambda: 1 in ran)
    said["before end"].set()
    await fails(bench, workflow_id, "no")
    said["before gate"].set()

    async def is_over() -> bool:
        return (await bench.row(map_id))["status"] not in ("PENDING", "ENQUEUED")

    await bench.until(is_over)
    said["end"] = None
    await again(bench, workflow_id)
    assert await bench.result(workflow_id) == [10, 20, 30]
    assert ran.count(2) == ran.count(3) == 1
