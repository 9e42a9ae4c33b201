"""A host whose event loop is blocked can be stopped: the second signal ends it, and its work is recovered."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.hostile.conftest import FUNCTIONS, Start, start
from tests.hostile.hosts import Target
from tests.hosts import SECRET, Host, Hosts, ask, until

pytestmark = pytest.mark.slow

__all__ = ["start"]  # a fixture

BLOCKED = "the event loop has been blocked"
AGAIN = "for the second time"


def block(host: Host, function: str, body: Any) -> None:
    """Have a workflow block the host's loop. Its caller gets no answer."""
    headers = {"apikey": SECRET, "idempotency-key": "stuck"}
    with contextlib.suppress(httpx.TimeoutException):
        ask("POST", f"{host.url}/functions/v1/blocking/{function}", json=body, headers=headers, timeout=1)
    until(lambda: BLOCKED in host.said(), "the block")


def stop_twice(host: Host, number: signal.Signals) -> None:
    """Send the signal, and again as soon as it was taken: Python may still take both for one."""
    host.signal(number)
    until(lambda: not pending(host.pid, number), "the first signal to be taken")
    for _ in range(20):
        host.signal(number)
        with contextlib.suppress(AssertionError):
            host.ended(1)
            return


def pending(pid: int, number: int) -> bool:
    """Whether a signal waits to be taken by the process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    masks = [int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd", "ShdPnd"))]
    return any(mask >> (number - 1) & 1 for mask in masks)


def freed(target: Target, function: str, body: Any) -> httpx.Response:
    """What the workflow of a host that was ended comes to on the next one."""
    (target.hosts.folder / "freed").touch()
    host = target.hosts.start(import_s_max=0.3)
    headers = {"apikey": SECRET, "idempotency-key": "stuck"}
    url = f"{host.url}/functions/v1/blocking/{function}"
    return ask("POST", url, json=body, headers=headers, timeout=20)


@pytest.mark.parametrize(
    ("function", "number"),
    [("sleeps_until_freed", signal.SIGTERM), ("calls_its_host_until_freed", signal.SIGINT)],
    ids=["SIGTERM", "SIGINT"],
)
def test_the_second_signal_ends_a_blocked_host(start: Start, function: str, number: signal.Signals) -> None:
    target = start()
    body = {"url": f"{target.url}/healthz"} if function.startswith("calls") else {}
    block(target.host, function, body)
    stop_twice(target.host, number)
    assert target.host.ended() == 128 + number
    assert target.said().count(f"{number.name} {AGAIN}") == 1
    assert freed(target, function, body).json() == "freed"


def test_the_second_signal_ends_a_host_that_can_begin_no_thread(start: Start) -> None:
    """Then nothing is said."""
    target = start()
    block(target.host, "fills_memory_until_freed", {})
    stop_twice(target.host, signal.SIGTERM)
    assert target.host.ended() == 128 + signal.SIGTERM
    assert freed(target, "fills_memory_until_freed", {}).json() == "freed"


def test_the_second_signal_ends_blocked_workers(start: Start) -> None:
    target = start("--workers", "2")
    block(target.host, "sleeps_until_freed", {})
    stop_twice(target.host, signal.SIGTERM)
    assert target.host.ended() == 128 + signal.SIGTERM
    assert target.said().count(f"SIGTERM {AGAIN}") == 1
    assert freed(target, "sleeps_until_freed", {}).json() == "freed"


def test_signals_that_come_at_once_end_it_too(start: Start) -> None:
    target = start("--workers", "2")
    block(target.host, "sleeps_until_freed", {})
    with contextlib.suppress(ProcessLookupError):
        for _ in range(2_000):
            for _ in range(10):
                os.kill(target.host.pid, signal.SIGTERM)
            if target.host.process.poll() is not None:
                break
            time.sleep(0.01)
    assert target.host.ended() == 128 + signal.SIGTERM


def test_signals_after_the_workers_come_to_nothing(tmp_path: Path) -> None:
    """The database that belongs to the host still ends then, which takes a while."""
    hosts = Hosts(tmp_path, FUNCTIONS)
    try:
        host = hosts.start("--workers", "2", import_s_max=0.3)
        while host.process.poll() is None:
            host.signal(signal.SIGTERM)
            time.sleep(0.005)
        assert host.ended() in (0, 128 + signal.SIGTERM)
        assert "Traceback" not in host.said()
        assert "wakeup" not in host.said()
    finally:
        hosts.close()


def test_the_second_signal_leaves_the_embedded_database_whole(tmp_path: Path) -> None:
    hosts = Hosts(tmp_path, FUNCTIONS)
    try:
        host = hosts.start(import_s_max=0.3)
        block(host, "sleeps_until_freed", {})
        stop_twice(host, signal.SIGINT)
        assert host.ended() == 128 + signal.SIGINT
        log = tmp_path / ".outlast" / "postgres" / "server.log"
        until(lambda: "database system is shut down" in log.read_text(), "the end of Postgres")
        (tmp_path / "freed").touch()
        again = hosts.start(import_s_max=0.3)
        headers = {"apikey": SECRET, "idempotency-key": "stuck"}
        url = f"{again.url}/functions/v1/blocking/sleeps_until_freed"
        assert ask("POST", url, json={}, headers=headers, timeout=20).json() == "freed"
    finally:
        hosts.close()


def test_one_signal_lets_a_host_end_in_order(start: Start) -> None:
    target = start()
    target.call("calm")
    target.host.signal(signal.SIGTERM)
    assert target.host.ended() == 0
    assert AGAIN not in target.said()
