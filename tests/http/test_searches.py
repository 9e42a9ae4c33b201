"""A search that reads too much is given up, and its answer says what to narrow it by."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests.hosts import Hosts
from tests.store.test_pages import SLOW

FAILED = """
insert into outlast.workflow_status (workflow_id, function, status, error, completed_at)
values ('f:1', 'f', 'ERROR', '{"code": "workflow_error", "message": "m"}', now())
"""


@pytest.mark.slow
def test_a_search_that_takes_too_long(tmp_path: Path, database: str) -> None:
    functions = tmp_path / "functions"
    functions.mkdir()
    (functions / "f.py").write_text(
        "from outlast import workflow\n\n\n@workflow\nasync def f() -> None: ...\n"
    )
    hosts = Hosts(tmp_path, functions, database)
    try:
        host = hosts.start()
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(FAILED)
            connection.execute(SLOW.encode())
        answer = host.manage("GET", "?error=nowhere")
        found = answer.json()
        assert (answer.status_code, found["code"], found["retryable"]) == (422, "search_too_long", False)
        assert "narrow it by function" in found["detail"]
        assert host.manage("GET", "?error=nowhere&function=g").json() == {"workflows": [], "next": None}
    finally:
        hosts.close()
