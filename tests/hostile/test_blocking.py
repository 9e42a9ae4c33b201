"""Functions that keep the event loop, or the processor, to themselves: the log names them, others go on."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.hostile.conftest import Start
from tests.hostile.hosts import Target
from tests.hosts import ask, until

BLOCKED = "the event loop has been blocked"
FREED = "the event loop goes on: "


@pytest.mark.parametrize(
    ("function", "place"), [("sleeps", "doze"), ("spins", "spins")], ids=["in C", "in Python"]
)
def test_a_workflow_that_blocks_the_loop_is_named(target: Target, function: str, place: str) -> None:
    key = f"blocks-{function}"
    target.call(f"blocking/{function}", {"seconds": 1.8}, key=key)
    line = target.until_said(f"by blocking/{function}:{key} at functions/blocking.py:")
    assert BLOCKED in line
    assert f" in {place};" in line
    line = target.until_said(f"{FREED}blocking/{function}:{key}")
    assert 1.0 <= float(line.rpartition(" for ")[2].removesuffix(" s")) < 10
    assert target.call("calm", {"n": 2}).json() == 4


def test_a_handler_that_blocks_the_loop_is_named_by_its_line(target: Target) -> None:
    target.client.get("/functions/v1/blocking/handles?seconds=1.5")
    target.until_said("s by functions/blocking.py:")
    assert " in handles;" in target.said()


@pytest.mark.slow
def test_c_code_that_holds_the_interpreter_is_named_afterwards(target: Target) -> None:
    before = target.said().count(FREED)
    target.call("blocking/counts", {"seconds": 1.5}, timeout=60)
    until(lambda: target.said().count(FREED) > before, "the end of a block")


def test_a_process_that_was_frozen_blames_nobody(start: Start) -> None:
    target = start()
    target.call("calm")
    target.host.signal(signal.SIGSTOP)
    time.sleep(2.5)  # long past what counts as blocked; nothing signals that
    target.host.signal(signal.SIGCONT)
    assert target.call("calm", {"n": 3}).json() == 6
    assert BLOCKED not in target.said()


def answered(target: Target) -> int | None:
    """Which process answers a new connection; None if none does in time."""
    try:
        answer = ask("POST", f"{target.url}/functions/v1/calm/whoami", json={}, timeout=3)
    except httpx.TransportError:
        return None
    return int(answer.text) if answer.status_code == 200 else None


@pytest.mark.slow
def test_a_worker_that_stays_blocked_is_killed_and_the_other_serves(start: Start) -> None:
    """Its workflow blocks whoever runs it, so that it is given up in the end."""
    target = start(
        "--workers", "2", lease_ttl_s=1.5, blocked_max_s=2, recovery_attempts_max=1, recovery_backoff_s=0.05,
        recovery_backoff_max_s=0.1,
    )  # fmt: skip
    alive = "select 1 from outlast.instances where lease_until > clock_timestamp()"
    until(lambda: len(target.query(alive)) == 2, "both workers")
    target.query(
        "insert into outlast.workflow_status (workflow_id, function, status, input, claimable_at)"
        " values ('blocking/spins:b', 'blocking/spins', 'PENDING', '{\"seconds\": 3600}', now())"
    )
    target.until_said("by blocking/spins:b at functions/blocking.py:")
    assert isinstance(until(lambda: answered(target), "the other worker"), int)
    target.until_said("and is killed")
    target.until_said("ended with -9 (SIGKILL); starting another")
    target.until_status("blocking/spins:b", "EXHAUSTED", 40)
    pids: set[int] = set()

    def both() -> bool:
        with ThreadPoolExecutor(8) as threads:
            pids.update(pid for pid in threads.map(lambda _: answered(target), range(16)) if pid)
        return len(pids) >= 2

    until(both, "two workers that serve", 40)
    assert "EXHAUSTED" in target.said()
