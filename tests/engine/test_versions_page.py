"""docs/versions.md: its code and its SQL run as printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.engine.harness import engine_on

PAGE = (Path(__file__).parents[2] / "docs" / "versions.md").read_text("utf-8")
((CODE,), (QUERY,)) = (re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL) for kind in ("python", "sql"))


@pytest.mark.postgres
async def test_the_page_as_printed(database: str) -> None:
    names: dict[str, Any] = {"__name__": "page"}
    exec(CODE, names)  # noqa: S102 - the page is ours
    async with engine_on(database, names["order"]) as bench:
        assert await bench.run(names["order"], 5) == "charged 5, receipt sent"
        assert await bench.rows(QUERY) == []
        await bench.rows("update outlast.workflow_status set status = 'PENDING', claimable_at = 'infinity'")
        assert await bench.rows(QUERY) == [{"name": "patch use-receipt", "answer": "true", "count": 1}]
