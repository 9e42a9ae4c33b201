"""A key that was used before the function's code changed: it still names that call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.http.conftest import OPEN
from tests.http.harness import Served, fresh_key

Start = Callable[..., Served]

BEFORE = """
from outlast import receive, workflow

@workflow
async def sums(x: int, waits: bool = False) -> int:
    if waits:
        await receive("go")
    return x + 1
"""

PARAMETERS = BEFORE.replace("x: int,", "x: list[str], y: int,").replace("x + 1", "y")
QUEUE = BEFORE.replace("x: int,", "x: int, account: str = '',").replace(
    "@workflow\n",
    'from outlast import Queue\n\n@workflow(queue=Queue("sums", key="account", concurrency=1))\n',
)


def called(host: Served, key: str, body: bytes = b'{"x": 5}', **headers: str) -> httpx.Response:
    given = {"idempotency-key": key, "content-type": "application/json", **headers}
    return host.client.post("/functions/v1/sums", content=body, headers=given)


@pytest.mark.parametrize("after", [PARAMETERS, QUEUE], ids=["parameters", "queue"])
def test_a_key_gets_its_answer_though_the_code_would_not_take_the_call_now(
    start_host: Start, tmp_path: Path, after: str
) -> None:
    file = tmp_path / "sums.py"
    file.write_text(BEFORE)
    old = start_host(OPEN, "--functions", str(tmp_path))
    ended, failed, waiting = fresh_key(), fresh_key(), fresh_key()
    first = called(old, ended)
    assert (first.status_code, first.json()) == (200, 6)
    waits = called(old, waiting, b'{"x": 5, "waits": true}', prefer="respond-async")
    assert waits.status_code == 202
    assert called(old, failed, b'{"x": "five"}').status_code == 422

    file.write_text(after)
    new = start_host(OPEN, "--functions", str(tmp_path), beside=old)
    again = called(new, ended)
    assert (again.status_code, again.content) == (200, first.content)
    assert (again.headers["workflow-id"], again.headers["idempotency-replayed"]) == (f"sums:{ended}", "true")
    still = called(new, waiting, b'{"x": 5, "waits": true}', prefer="respond-async")
    assert (still.status_code, still.json()["workflow_id"]) == (202, f"sums:{waiting}")
    # Another call, and one that never was, are refused as they were.
    before = new.rows()
    assert called(new, ended, b'{"x": 7}').status_code == 422
    assert called(new, failed, b'{"x": "five"}').status_code == 422
    assert called(new, fresh_key()).status_code == 422
    assert new.rows() == before
