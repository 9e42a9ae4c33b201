"""The cases of reading events on Postgres, and what shows in its statements."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from outlast import WorkflowHandle, publish, workflow
from outlast.store.workflows import EVENTS_MAX, PAGE_BYTES_MAX
from tests.engine.event_cases import *  # noqa: F403
from tests.engine.event_cases import FLOWS, gone, newest, reads, tells
from tests.engine.harness import engine_on

pytestmark = pytest.mark.postgres

PUBLISHED = """
    insert into outlast.operation_outputs (workflow_id, step_id, name, kind, output, completion_order)
    values (%s, '99', 'publish n', 'publish', '7', 99)
"""


async def test_an_event_whose_commit_is_open_while_its_reader_leaves_wakes_it(database: str) -> None:
    """It told nobody, as nobody waited; and who begins to wait doesn't see it."""
    async with engine_on(database, *FLOWS, tick_s=1e6) as bench:
        told = await bench.start(tells, 1, True)
        await gone(bench, told)
        await bench.rows("update outlast.workflow_status set awaited = true where workflow_id = %s", told)
        async with await psycopg.AsyncConnection.connect(database) as writer:
            held = "select from outlast.workflow_status where workflow_id = %s for share"
            await writer.execute(held, [told])  # as the journal does
            await writer.execute(PUBLISHED, [told])
            await writer.execute("select outlast.tell_events(array[%s], array['n'])", [told])
            reader = await bench.start(newest, told)

            async def has_left() -> bool:
                waits = await bench.rows(
                    "select from outlast.waits where waiter = %s and event <> ''", reader
                )
                return bool(waits) or (await bench.row(reader))["epoch"] > 2

            await bench.until(has_left)
            await writer.commit()
        assert await bench.result(reader) == 7


async def test_long_streams_are_read_in_pieces(database: str) -> None:
    async with engine_on(database, *FLOWS) as bench:
        told = await bench.start(tells, EVENTS_MAX + 20)
        await bench.result(told)
        assert await bench.run(reads, told) == list(range(EVENTS_MAX + 20))


async def test_streams_of_large_events_are_read_in_pieces(database: str) -> None:
    size = PAGE_BYTES_MAX // 3

    @workflow
    async def tells_much() -> None:
        for number in range(5):
            await publish("n", f"{number}" * size)

    @workflow
    async def reads_much(workflow_id: str) -> list[str]:
        events = WorkflowHandle[Any](workflow_id).events("n", of=str)
        return [value[0] async for value in events if len(value) == size]

    async with engine_on(database, tells_much, reads_much) as bench:
        told = await bench.start(tells_much)
        await bench.result(told)
        readers = [await bench.start(reads_much, told) for _ in range(3)]
        assert [await bench.result(each) for each in readers] == [["0", "1", "2", "3", "4"]] * 3


async def test_nobody_waits_for_what_is_gone(database: str) -> None:
    """The row of the workflow is removed while its reader has left the memory."""
    async with engine_on(database, *FLOWS) as bench:
        told = await bench.start(tells, 1, True)
        await gone(bench, told)
        reader = await bench.start(reads, told)
        await gone(bench, reader)
        await bench.rows("delete from outlast.workflow_status where workflow_id = %s", told)
        failure = await bench.failure(reader)
        assert failure["failure"]["type"] == "WorkflowNotFound"
