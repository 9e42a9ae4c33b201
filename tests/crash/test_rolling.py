"""A deploy of wrong code over running work, beside the right code and alone; its rollback: nothing fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.hosts import SECRET, Hosts, ask, until

RIGHT = """
from outlast import receive, step, workflow

@step
async def charge() -> str:
    return "charged"

@step
async def ship() -> str:
    return "shipped"

@workflow
async def order(number: int) -> list[str]:
    return [await charge(), await receive("go"), await ship()]
"""
WRONG = RIGHT.replace("await charge(), await receive", "await ship(), await receive")

pytestmark = [pytest.mark.slow, pytest.mark.postgres]


def _counts(database: str) -> dict[str, int]:
    query = """
        select count(*), count(*) filter (where status = 'SUCCESS'), count(*) filter (where held is not null),
          count(*) filter (where status not in ('PENDING', 'SUCCESS'))
        from outlast.workflow_status
    """
    with psycopg.connect(database, autocommit=True) as connection:
        (row,) = connection.execute(query).fetchall()
    return dict(zip(("all", "ended", "held", "failed"), row, strict=True))


def _send(database: str, first: int, last: int) -> None:
    query = "select outlast.send('order:' || n, '\"go\"'::json, 'go') from generate_series(%s::int, %s) as n"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(query, (first, last))


def _start(database: str, last: int) -> None:
    query = """
        select outlast.start('order', json_build_object('number', n), n::text)
        from generate_series(1, %s) as n
    """
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(query, (last,))


def _folder(tmp_path: Path, name: str, code: str) -> Hosts:
    functions = tmp_path / name
    functions.mkdir()
    (functions / "order.py").write_text(code)
    return Hosts(tmp_path, functions)


def test_a_wrong_version_over_a_thousand_and_its_rollback(database: str, tmp_path: Path) -> None:
    many = 1_000
    settings: dict[str, Any] = {"database": database, "moment_s": 0.05, "lease_ttl_s": 3, "unserved_s": 1}
    right, wrong, again = (
        _folder(tmp_path, name, code)
        for name, code in (("right", RIGHT), ("wrong", WRONG), ("again", RIGHT + "# as it was\n"))
    )

    def until_counts(holds: Callable[[dict[str, int]], bool]) -> dict[str, int]:
        return until(lambda: found if holds(found := _counts(database)) else None, str(_counts(database)), 90)

    try:
        old = right.start(**settings)
        _start(database, many)
        with psycopg.connect(database, autocommit=True) as connection:
            waiting = "select count(*) = %s from outlast.workflow_status where awaits is not null"
            until(lambda: connection.execute(waiting, (many,)).fetchall()[0][0], "", 90)
        # Old and new at once: what the new one claims first goes to the old one, and nothing is held.
        new = wrong.start(**settings)
        _send(database, 1, many // 2)
        found = until_counts(lambda found: found["ended"] == many // 2)
        assert (found["held"], found["failed"]) == (0, 0)
        old.signal(15)
        old.ended(60)
        # The wrong version alone: it can go on with none of them, and says so at once to who waits.
        _send(database, many // 2 + 1, many)
        found = until_counts(lambda found: found["held"] == many // 2)
        assert (found["ended"], found["failed"]) == (many // 2, 0)
        answer = ask(
            "POST", f"{new.url}/functions/v1/order", json={"number": many},
            headers={"apikey": SECRET, "idempotency-key": str(many)}, timeout=30,
        )  # fmt: skip
        held = answer.json()["held"]
        assert (answer.status_code, held["reason"]) == (202, "non_determinism")
        assert (held["recorded"]["name"], held["called"]["name"]) == ("charge", "ship")
        assert held["at"].endswith("order.py:14")
        path = f"{new.url}/workflows/v1/order:{many}?wait=60"
        shown = ask("GET", path, headers={"apikey": SECRET}, timeout=30).json()
        assert shown["held"]["remedy"].startswith('if patched("use-ship")')
        listed = ask("GET", f"{new.url}/workflows/v1?held=any&limit=1000", headers={"apikey": SECRET}).json()
        assert len(listed["workflows"]) == many // 2
        assert until(lambda: ask("GET", f"{new.url}/readyz").json()["checks"].get("held"))["non_determinism"]
        # Its rollback: they go on by themselves.
        again.start(**settings)
        found = until_counts(lambda found: found["ended"] == many)
        assert (found["held"], found["failed"]) == (0, 0)
        assert new.process.poll() is None
    finally:
        for each in (right, wrong, again):
            each.close()
