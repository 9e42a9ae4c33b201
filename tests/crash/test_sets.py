"""A set of texts goes in the same order in the process that takes a workflow over: all hash alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.conftest import Query
from tests.hosts import Hosts, until

FUNCTIONS = """
import asyncio
import os
from pathlib import Path

from outlast import step, workflow

OUTSIDE = Path(os.environ["PROOF_FOLDER"])


@step
async def echo(text: str) -> str:
    return text


@step
async def held() -> None:
    (OUTSIDE / "reached").touch()
    while not (OUTSIDE / "go").exists():
        await asyncio.sleep(0.01)


@workflow
async def another() -> None: ...


@workflow
async def sets(key: str) -> dict[str, str]:
    got = {}
    for each in {"alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"}:
        got[each] = await echo(each)
    await held()
    return got
"""


@pytest.fixture
def hosts(tmp_path: Path, database: str, query: Query) -> Hosts:
    functions = tmp_path / "functions"
    functions.mkdir()
    (functions / "proof.py").write_text(FUNCTIONS)
    return Hosts(tmp_path, functions, database, seeded=False)


def test_a_loop_over_a_set_goes_on_in_another_process(hosts: Hosts, query: Query) -> None:
    try:
        first = hosts.start()
        workflow_id = first.begin("sets", "k")
        until((hosts.folder / "reached").exists, "the step that is held")
        first.kill()
        hosts.open_gate("go")
        second = hosts.start()
        until(lambda: query("select 1 from outlast.workflow_status where status <> 'PENDING'"), "the end")
        (row,) = query(
            "select output, error from outlast.workflow_status where workflow_id = %s", workflow_id
        )
        assert row["error"] is None
        assert all(key == value for key, value in row["output"].items())
        assert len(row["output"]) == 8
        assert "with other arguments" not in second.said()
    finally:
        hosts.close()
