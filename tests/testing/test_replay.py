"""Histories of production, as Postgres gives them, replayed against today's code."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import BaseModel

from outlast import UsageError, map_, now, publish, receive, sleep, start, step, uuid4, workflow
from outlast.core.verbs import FORK
from outlast.store.connections import Database
from outlast.store.histories import histories as histories_of
from outlast.testing import Outlast, Unproved, histories
from tests.engine.harness import engine_on

PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text("utf-8")
QUERY = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)[0]


class today:  # noqa: N801 - what the code of today does otherwise
    steps = 3
    name = "order"
    greeting = "hello"
    fails = True


@step
async def charge(cents: int) -> str | None:
    return f"paid {cents}" if cents else None


@step
async def fails() -> None:
    raise ZeroDivisionError("as ever")


@workflow
async def child(number: int) -> int:
    return number + 1


@workflow
async def whole(name: str) -> dict[str, Any]:
    at = now()
    paid = list(await asyncio.gather(*(charge(number) for number in range(today.steps))))
    await publish("asked", {"name": name})
    try:
        async with asyncio.timeout(5):
            await sleep(0.01)
        await fails()
    except ZeroDivisionError as error:
        paid.append(str(error))
    number = await (await start(child, 1)).result()
    return {"greeting": today.greeting, "paid": paid, "number": number, "at": at.isoformat()}


@workflow
async def waiting() -> str:
    paid = await charge(1)
    answer = await receive("answer", timeout=timedelta(days=14))
    return f"{paid} {answer}"


@workflow
async def broken() -> None:
    await charge(1)
    raise ValueError(today.greeting)


@pytest.fixture
async def bundle(database: str, tmp_path: Path) -> Path:
    """What a project's Postgres gives by the documented query: ended and open ones."""
    async with engine_on(database, whole, child, waiting, broken) as bench:
        await bench.run(whole, "a\u2028d\x85a")
        await bench.failure(await bench.start(broken))
        await bench.suspended(await bench.start(waiting))
    async with await psycopg.AsyncConnection.connect(database) as connection:
        found = await connection.execute(QUERY.rstrip().rstrip(";").encode())
        lines = [document for (document,) in await found.fetchall()]  # as psql prints it
    assert len(lines) == 4
    assert not any("\n" in line for line in lines)
    file = tmp_path / "histories.jsonl"
    file.write_text("\n".join(lines) + "\n")
    return file


async def test_histories_of_postgres(outlast: Outlast, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kit = Outlast()
    for each in (whole, child, waiting, broken):
        kit._catalog.name_of(each.definition)
    await kit.replay(bundle)
    documents = [document for _, document in histories._documents(bundle)]
    await kit.replay(documents)

    async def found() -> str:
        with pytest.raises(Unproved) as caught:
            await kit.replay(bundle)
        return str(caught.value)

    with monkeypatch.context() as patch:
        patch.setattr(today, "greeting", "goodbye")
        said = await found()
        assert "2 of 4 histories diverge" in said
        assert "ValueError: hello, and now as ERROR ValueError: goodbye" in said
        assert '"greeting":"hello"' in said
    with monkeypatch.context() as patch:
        patch.setattr(today, "steps", 4)
        assert "'publish asked' is recorded" in await found()
    with monkeypatch.context() as patch:
        patch.setattr(today, "steps", 2)
        assert "1 of 4" in await found()
    for document in documents:  # as if it had been called with something else
        for record in document["operation_outputs"] or ():
            if record["name"] == "charge" and document["workflow_status"]["function"] == "waiting":
                record["arguments"] += 1
    with pytest.raises(Unproved, match=r"charge is called with other arguments \(.*test_replay.py:\d+\)"):
        await kit.replay(documents)
    kit.close()


class Receipt(BaseModel):
    number: int
    currency: str = "EUR"


@workflow
async def receipts() -> Receipt:
    return Receipt(number=1)


async def test_a_member_with_a_default_may_come_to_what_a_workflow_returns(
    outlast: Outlast, database: str
) -> None:
    async with engine_on(database, receipts) as bench:
        await bench.run(receipts)
    (document,) = [json.loads(each) async for each in histories_of(Database.at(database, "tests"), 1, 1)]
    del document["workflow_status"]["output"]["currency"]  # it was recorded before
    _ = await outlast.run(receipts)  # it is known then
    await outlast.replay([document])
    document["workflow_status"]["output"]["number"] = 2
    with pytest.raises(Unproved, match="ended as SUCCESS"):
        await outlast.replay([document])


@workflow
async def odd(number: int) -> int:
    if number % 2 == 0:
        raise ValueError(f"{number} is even")
    return number


@step
async def numbers() -> AsyncIterator[int]:
    for number in range(5):
        yield number


@workflow
async def mapped() -> Any:
    listed = await map_(odd, list(range(12)), tolerate=12)
    keyed = await map_(odd, [3, 1], key=lambda number: f"k{number}")
    streamed = await map_(odd, numbers(), key=lambda number: f"n{number}", tolerate=5)
    paid = [await charge(value) for value in keyed]
    await receive("go")
    failed = [sorted((str(key), str(error)) for key, error in each.failed) for each in (listed, streamed)]
    worked = [list(each.ok) for each in (listed, streamed)]
    return {"paid": paid, "ok": worked, "failed": failed, "said": today.greeting}


async def test_what_bodies_read_of_maps_is_replayed(
    outlast: Outlast, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def replays(*, items: bool = True) -> None:
        found = [json.loads(each) async for each in histories_of(Database.at(database, "tests"), 100, 100)]
        documents = [each for each in found if each["workflow_status"]["function"].endswith("mapped")]
        assert len(documents) == 1
        if not items:
            del documents[0]["map_items"]
        await kit.replay(documents)

    kit = Outlast()
    for each in (mapped, odd):
        kit._catalog.name_of(each.definition)
    async with engine_on(database, mapped, odd) as bench:
        workflow_id = await bench.start(mapped)
        await bench.suspended(workflow_id)
        await replays()  # it still runs
        await bench.rows("select outlast.send(%s, '1', 'go')", workflow_id)
        assert (await bench.result(workflow_id))["paid"] == ["paid 3", "paid 1"]
    await replays()
    await replays(items=False)
    with monkeypatch.context() as patch:
        patch.setattr(today, "greeting", "goodbye")
        with pytest.raises(Unproved, match="1 of 1 histories diverge"):
            await replays()
        await replays(items=False)  # where it goes from there can't be told
    kit.close()


@workflow
async def both() -> list[int]:
    return list(await map_(odd, [1, 3]))


async def test_the_query_of_the_page_leaves_out_what_has_no_body(database: str) -> None:
    async with engine_on(database, both, odd) as bench:
        await bench.run(both)
        found = await bench.rows(QUERY.rstrip().rstrip(";"))
    histories = [json.loads(line) for row in found for line in row.values()]
    assert sorted(each["workflow_status"]["function"] for each in histories) == ["both", "odd", "odd"]


@workflow
async def trip() -> Any:
    parts = list(await map_(odd, [1, 3]))
    paid = await charge(int(now().timestamp() * 1000))
    if today.fails:
        await fails()
    await receive("go")
    return [parts, paid, now().isoformat(), str(uuid4()), today.greeting]


async def test_forks_and_the_items_of_maps_are_histories_as_others(
    outlast: Outlast, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def documents() -> list[dict[str, Any]]:
        return [json.loads(each) async for each in histories_of(Database.at(database, "tests"), 100, 100)]

    kit = Outlast()
    for each in (trip, odd):
        kit._catalog.name_of(each.definition)
    async with engine_on(database, trip, odd) as bench:
        workflow_id = await bench.start(trip)
        await bench.failure(workflow_id)
        monkeypatch.setattr(today, "fails", False)
        act = bench.store.workflows.act
        fork = str((await act(FORK, workflow_id, {"from": "failed"}, "me"))["fork"])
        bench.engine.look()

        async def waits() -> bool:
            return (await bench.row(fork))["awaits"] is not None

        await bench.until(waits)
        found = await documents()
        assert len(found) == 4  # of the items, the first and the fork
        await kit.replay([each for each in found if each["workflow_status"]["workflow_id"] != workflow_id])
        await bench.rows("select outlast.send(%s, '1', 'go')", fork)
        await bench.result(fork)
    ended = [each for each in await documents() if each["workflow_status"]["workflow_id"] != workflow_id]
    await kit.replay(ended)
    with monkeypatch.context() as patch:
        patch.setattr(today, "greeting", "goodbye")
        with pytest.raises(Unproved, match="1 of 3 histories diverge"):
            await kit.replay(ended)
        await bench.rows("delete from outlast.workflow_status where parent = %s", workflow_id)
        await kit.replay(await documents())  # where it goes from what is gone can't be told
    kit.close()


def test_what_is_no_bundle(outlast: Outlast, tmp_path: Path) -> None:
    file = tmp_path / "none.jsonl"
    file.write_text("\n")
    with pytest.raises(UsageError, match="holds no history"):
        _ = outlast.replay(file)
    file.write_text('{"workflow_id": "w"}\n')
    with pytest.raises(UsageError, match=r"none.jsonl:1 is no history"):
        _ = outlast.replay(str(file))
    row = {"workflow_id": "w", "function": "gone", "created_at": "2026-01-01T00:00:00Z", "status": "PENDING"}
    with pytest.raises(Unproved, match="no workflow gone"):
        _ = outlast.replay([{"workflow_status": row, "operation_outputs": None}])
