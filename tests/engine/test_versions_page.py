"""docs/versions.md: its code runs as printed, in the files that it names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.engine.harness import engine_on
from tests.functions.conftest import project_in

PAGE = (Path(__file__).parents[2] / "docs" / "versions.md").read_text("utf-8")
CODE, *FILES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.postgres
async def test_the_patched_workflow(database: str) -> None:
    names: dict[str, Any] = {"__name__": "page"}
    exec(CODE, names)  # noqa: S102 - the page is ours
    async with engine_on(database, names["order"]) as bench:
        workflow_id = await bench.start(names["order"], 5)
        assert await bench.result(workflow_id) == "charged 5, receipt sent"
        answers = [each for each in await bench.steps(workflow_id) if each["kind"] == "patch"]
        assert [(each["name"], each["output"]) for each in answers] == [("patch use-receipt", True)]


async def test_the_files(tmp_path: Path) -> None:
    with project_in(tmp_path) as project:
        for text in FILES:
            name = re.match(r"# functions/(\S+)\n", text)
            assert name is not None
            project.write(name[1], text)
        catalog = project.load()
        assert project.broken() == {}
        assert set(project.served()) == {"refund", "purchase"}
        assert set(catalog.workflow_names()) == {"refund", "purchase", "buy"}
        first = catalog.of_version("refund", "1")
        assert first is not None
        assert await first.fn(5) == "credited 5"
        newest = catalog.of_version("refund", None)
        assert newest is not None
        assert await newest.fn(5) == "paid back 5"
