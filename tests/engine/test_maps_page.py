"""docs/maps.md: its functions do, as printed, what the page says."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.engine.harness import engine_on

pytestmark = pytest.mark.postgres

PAGE = (Path(__file__).parents[2] / "docs" / "maps.md").read_text("utf-8")
(CODE,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The page's code as a module."""
    module = ModuleType("page_of_maps")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(CODE, "docs/maps.md", "exec"), vars(module))  # noqa: S102 - it is this project's own page
    return module


async def test_the_page_as_printed(database: str, page: Any) -> None:
    functions = (page.ship, page.ship_all, page.nightly, page.ship_and_tell, page.ship_file)
    async with engine_on(database, *functions) as bench:
        assert await bench.run(page.ship_all, [7, 8]) == ["order 7 is on its way", "order 8 is on its way"]
        assert await bench.run(page.ship_and_tell, [9]) == "order 9 is on its way"
        assert await bench.run(page.ship_file, "orders.csv") == 3
        await bench.rows(
            "create table orders as select n as id, '2026-11-29' as day from generate_series(1, 40) as n"
        )
        assert await bench.run(page.nightly, "2026-11-29") == {"shipped": 40, "left": []}
        await bench.rows("alter table orders alter id type text")
        await bench.rows("update orders set id = 'none' where id in ('3', '5', '6')")
        told = (
            "WorkflowFailed: the input does not fit: order (order: Input should be a valid integer, "
            "unable to parse string as an integer)"
        )
        failed = await bench.run(page.nightly, "2026-11-29")
        assert (failed["failed"], failed["of"]) == (3, 40), "two of 40 are tolerated"
        assert [text for _, text in failed["first"]] == [told] * 3
