"""What is done anew after a retry, on Postgres, which has queries too."""

from __future__ import annotations

from typing import Any

import pytest

from outlast import map_, rows, workflow
from tests.engine.anew_cases import *  # noqa: F403
from tests.engine.anew_cases import again, fails, item, look, ran, said
from tests.engine.harness import engine_on

pytestmark = pytest.mark.postgres


@workflow
async def maps_rows() -> list[Any]:
    most = await look("items")
    found = await map_(
        item, rows("select n from numbers where n <= %s order by n", most), key=said.get("key")
    )
    await look("end")
    return [list(each) for each in found.ok]


async def test_a_map_over_a_query_with_other_parameters_is_another_one(database: str) -> None:
    async with engine_on(database, maps_rows, item) as bench:
        await bench.rows("create table numbers as select n from generate_series(1, 3) as n")
        said.update(items=2, end=ValueError("no"))
        workflow_id = await bench.start(maps_rows)
        await fails(bench, workflow_id, "no")
        # The same query finds what it found at first, whatever the table holds now.
        await bench.rows("delete from numbers where n = 1")
        said["end"] = ValueError("not yet")
        await again(bench, workflow_id, "1")
        await fails(bench, workflow_id, "not yet")
        assert sorted(each for each in ran if isinstance(each, int)) == [1, 2]
        said.update(items=3, end=ValueError("no"))
        await again(bench, workflow_id, "1")
        await fails(bench, workflow_id, "no")
        said.update(key=lambda number: f"n{number}", end=None)
        await again(bench, workflow_id, "1")
        assert await bench.result(workflow_id) == [["n2", 20], ["n3", 30]]
        assert sorted(each for each in ran if isinstance(each, int)) == [1, 2, 2, 2, 3, 3]
