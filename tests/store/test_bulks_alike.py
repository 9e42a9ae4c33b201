"""Bulks on Postgres and in memory: the same, block by block."""

from __future__ import annotations

import json
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from outlast.core.ports import NotNow, Unacceptable
from outlast.core.records import Batch, Ending, FencedWrite, NewWorkflow
from outlast.core.resources import ACTS, BULK_ITEMS, BULKS
from outlast.core.status import Status
from outlast.core.verbs import BULK, PAUSE, RESUME
from outlast.testing.database import Database
from outlast.testing.rows import Limits
from outlast.testing.stores import DirectLink, MemoryStore
from tests.store.harness import store_of

FAST = 10_000
BY = "ann"


@dataclass
class Bulks:
    """A store with workflows `w0` to `w9`, of which `w3` and `w4` have ended, and one of another function."""

    store: Any
    hurry: Callable[[], None]
    """Let what waits for its rate be due."""

    async def begin(self, **given: Any) -> Any:
        """What begins a bulk answers."""
        whole = {"verb": "cancel", "filter": {"function": "f"}, "rate": FAST, **given}
        return await self.store.workflows.act(BULK, None, whole, BY)

    async def run(self, blocks: int = 100) -> None:
        """So many blocks, or all there are."""
        for _ in range(blocks):
            self.hurry()
            if (await self.store.workflows.run_bulk()).bulk_id is None:
                return

    async def stands(self, bulk_id: str) -> dict[str, Any]:
        (row,) = (await self.store.workflows.listing(BULKS, {"bulk_id": bulk_id})).rows
        return {name: row[name] for name in ("status", "total", "fixed", "done", "refused", "failed")}

    async def items(self, bulk_id: str) -> list[tuple[str, str | None]]:
        rows = (await self.store.workflows.listing(BULK_ITEMS, {"bulk_id": bulk_id})).rows
        assert [row["place"] for row in rows] == list(range(1, len(rows) + 1))
        return [(row["workflow_id"], row["outcome"]) for row in rows]

    async def status(self, workflow_id: str) -> str:
        row = await self.store.workflows.show(workflow_id)
        assert row is not None
        return str(row["status"])


@pytest.fixture
async def bulks(url: str | None) -> AsyncIterator[Bulks]:
    if url is None:
        memory = Database(time.time, random.Random(1), Limits())  # noqa: TID251

        def hurry() -> None:
            for each in memory.bulks.values():
                each.next_at = 0.0

        store: Any = MemoryStore(memory, DirectLink(memory), "a")
        await _fill(store)
        yield Bulks(store, hurry)
        return
    async with store_of(url) as opened:
        with psycopg.connect(url, autocommit=True) as connection:

            def hurry_on() -> None:
                connection.execute("update outlast.bulks set next_at = now() where not over")

            await _fill(opened)
            yield Bulks(opened, hurry_on)


async def _fill(store: Any) -> None:
    for n in range(10):
        await store.journal.commit(Batch(n + 1, [NewWorkflow(f"w{n}", "f", "{}")], []))
    await store.journal.commit(Batch(20, [NewWorkflow("other", "g", "{}")], []))
    ends = [FencedWrite(each, 1, [], Ending(Status.SUCCESS, output="1")) for each in ("w3", "w4")]
    await store.journal.commit(Batch(21, [], ends))


async def test_each_once_in_the_order_of_their_beginning(bulks: Bulks) -> None:
    answer = await bulks.begin(expect=10)
    assert answer["count"] == 10
    bulk_id = answer["workflow_id"]
    assert await bulks.stands(bulk_id) == {
        "status": "PENDING", "total": 0, "fixed": False, "done": 0, "refused": 0, "failed": 0
    }  # fmt: skip
    await bulks.run()
    outcomes = [(f"w{n}", "refused" if n in (3, 4) else "done") for n in range(10)]
    assert await bulks.items(bulk_id) == outcomes
    assert await bulks.stands(bulk_id) == {
        "status": "SUCCESS", "total": 10, "fixed": True, "done": 8, "refused": 2, "failed": 0
    }  # fmt: skip
    row = await bulks.store.workflows.show(bulk_id)
    counts = {"verb": "cancel", "total": 10, "done": 8, "refused": 2, "failed": 0}
    assert (json.loads(row["output"]), row["function"]) == (counts, "outlast.bulk")
    assert [await bulks.status(each) for each in ("w2", "w3", "other")] == ["CANCELLED", "SUCCESS", "PENDING"]
    assert (await bulks.store.workflows.run_bulk()).next_s is None


async def test_in_blocks_each_is_done_once(bulks: Bulks) -> None:
    await bulks.begin(verb="set", arguments={"attributes": {"seen": "yes"}}, rate=15)
    await bulks.run()
    acts = (await bulks.store.workflows.listing(ACTS, {})).rows
    assert sorted(each["name"] for each in acts if each["verb"] == "set") == [f"w{n}" for n in range(10)]


async def test_a_cancelled_or_paused_bulk_does_no_more(bulks: Bulks) -> None:
    bulk_id = (await bulks.begin(filter={"prefix": "w"}))["workflow_id"]
    await bulks.run(1)
    await bulks.store.workflows.act(PAUSE, bulk_id, {}, BY)
    before = await bulks.items(bulk_id)
    await bulks.run(5)
    assert (await bulks.items(bulk_id), await bulks.status("w9")) == (before, "PENDING")
    await bulks.store.workflows.act(RESUME, bulk_id, {}, BY)
    other = (await bulks.begin(verb="pause"))["workflow_id"]
    assert await bulks.store.workflows.cancel(other, BY) == Status.CANCELLED
    await bulks.run()
    assert [outcome for _, outcome in await bulks.items(bulk_id)].count("done") == 8
    assert (await bulks.items(other), (await bulks.stands(other))["status"]) == ([], "CANCELLED")


async def test_what_is_refused(bulks: Bulks) -> None:
    with pytest.raises(NotNow, match="10 workflows are found, and 9 were expected"):
        await bulks.begin(expect=9)
    with pytest.raises(Unacceptable, match="verb must be one of cancel, delete"):
        await bulks.begin(verb="explode")
    for wrong in ({}, {"colour": "red"}):
        with pytest.raises(Unacceptable, match="filter"):
            await bulks.begin(filter=wrong)
    dry = await bulks.begin(dry_run=True)
    assert (dry["workflow_id"], dry["count"], len(dry["samples"])) == (None, 10, 10)


async def test_arguments_and_reasons(bulks: Bulks) -> None:
    given = {"verb": "set", "arguments": {"attributes": {"seen": "yes"}}, "filter": {"status": ["SUCCESS"]}}
    bulk_id = (await bulks.begin(**given))["workflow_id"]
    await bulks.run()
    assert await bulks.items(bulk_id) == [("w3", "done"), ("w4", "done")]
    row = await bulks.store.workflows.show("w3")
    assert json.loads(row["attributes"]) == {"seen": "yes"}
    again = (await bulks.begin(filter={"attribute": "seen:yes"}, verb="delete"))["workflow_id"]
    await bulks.run()
    assert await bulks.items(again) == [("w3", "done"), ("w4", "done")]
    assert await bulks.store.workflows.show("w3") is None
