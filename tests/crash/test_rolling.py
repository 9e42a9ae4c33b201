"""A deploy of wrong code over running work, beside the right code and alone; its rollback: nothing fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.crash.deploys import LIMIT_S, Deploys
from tests.hosts import SECRET, ask, until

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


COUNTS = """
select count(*), count(*) filter (where status = 'SUCCESS'), count(*) filter (where held is not null),
  count(*) filter (where status not in ('PENDING', 'SUCCESS'))
from outlast.workflow_status
"""
START = """
select outlast.start('order', json_build_object('number', n), n::text) from generate_series(1, %s) as n
"""
SEND = "select outlast.send('order:' || n, '\"go\"'::json, 'go') from generate_series(%s::int, %s) as n"


def test_a_wrong_version_over_a_thousand_and_its_rollback(deploys: Deploys) -> None:
    many = 1_000

    def counts() -> dict[str, int]:
        return dict(zip(("all", "ended", "held", "failed"), deploys.sql(COUNTS)[0], strict=True))

    def until_counts(holds: Callable[[dict[str, int]], bool]) -> dict[str, int]:
        return until(lambda: found if holds(found := counts()) else None, str(counts()), LIMIT_S)

    old = deploys.deploy({"order.py": RIGHT})
    deploys.sql(START, many)
    deploys.until_waiting(many)
    # Old and new at once: what the new one claims first goes to the old one, and nothing is held.
    new = deploys.deploy({"order.py": WRONG})
    deploys.sql(SEND, 1, many // 2)
    found = until_counts(lambda found: found["ended"] == many // 2)
    assert (found["held"], found["failed"]) == (0, 0)
    old.signal(15)
    old.ended(60)
    # The wrong version alone: it can go on with none of them, and says so at once to who waits.
    deploys.sql(SEND, many // 2 + 1, many)
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
    deploys.deploy({"order.py": RIGHT + "# as it was\n"})
    found = until_counts(lambda found: found["ended"] == many)
    assert (found["held"], found["failed"]) == (0, 0)
    assert new.process.poll() is None
