"""Connections by the hundred: none of them puts a host out of reach."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.hosts import until
from tests.http.conftest import OPEN, Start
from tests.http.harness import Parsed, Served, Wire, check_problem, fresh_key

HALF_A_HEAD = b"GET /functions/v1/hello HTTP/1.1\r\nhost: localhost\r\nx-slow: "
DESCRIPTORS = 256
CONNECTIONS = 16


@pytest.fixture(scope="module")
def small(start_host: Start) -> Served:
    """A host that may hold few connections."""
    return start_host(OPEN, connections_max=CONNECTIONS, calls_per_caller_max=100, caller_running_max=100)


@pytest.fixture
def wires() -> Iterator[ExitStack]:
    """Connections that end with the test."""
    with ExitStack() as stack:
        yield stack


def opened(host: Served, wires: ExitStack, said: bytes) -> Wire:
    wire = wires.enter_context(host.connection())
    wire.send(said)
    return wire


def get(host: Served, path: str, *more: str) -> Parsed:
    """GET over a connection of its own."""
    with host.connection() as wire:
        head = "".join(f"{each}\r\n" for each in (f"GET {path} HTTP/1.1", "host: localhost", *more))
        wire.send(f"{head}\r\n".encode())
        return wire.answer()


def ended(wire: Wire) -> bool:
    """Whether the host has ended a connection on which it owes nothing."""
    wire.socket.setblocking(False)
    try:
        return wire.socket.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    finally:
        wire.socket.setblocking(True)


def hold(host: Served, wires: ExitStack, count: int) -> list[str]:
    """Take so many places by calls that go on until their keys are opened; the keys."""
    keys = [fresh_key() for _ in range(count)]
    for key in keys:
        body = f'{{"key": "{key}"}}'.encode()
        head = f"POST /functions/v1/held HTTP/1.1\r\nhost: localhost\r\nidempotency-key: {key}\r\n"
        opened(host, wires, f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    for key in keys:
        host.until_seen(key)
    return keys


def test_slow_heads_do_not_put_health_out_of_reach(start_host: Start, wires: ExitStack) -> None:
    """More of them than the process may open files: it serves on, and reaches its database."""
    host = start_host(OPEN, descriptors=DESCRIPTORS)
    slow = [opened(host, wires, HALF_A_HEAD) for _ in range(300)]
    for path in ("/healthz", "/readyz"):
        assert get(host, path).status == 200
    with httpx.Client(base_url=host.url) as client:
        answer = client.post("/functions/v1/hello", json={}, headers={"idempotency-key": fresh_key()})
    assert answer.status_code == 200
    until(lambda: ended(slow[0]), "the oldest slow one to be ended")
    assert not ended(slow[-1])
    assert "Too many open files" not in host.process.said()
    assert "as many as may be" in host.process.said()


def test_a_process_without_descriptors_serves_again_when_it_has_some(start_host: Start) -> None:
    """What a function opens can't be bounded: the host goes on taking connections afterwards."""
    host = start_host(OPEN, descriptors=DESCRIPTORS, connections_max=100)
    key = fresh_key()
    hoarding = host.calling("hoard", {"key": key}, key=key)
    host.until_seen(key)
    with pytest.raises((httpx.TransportError, AssertionError, OSError)):
        get(host, "/healthz")
    host.open(key)
    assert hoarding.result().status_code == 200
    assert get(host, "/healthz").status == 200


def test_idle_connections_make_room_first(small: Served, wires: ExitStack) -> None:
    slow = opened(small, wires, HALF_A_HEAD)
    idle = [opened(small, wires, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n") for _ in range(2)]
    for wire in idle:
        assert wire.answer().status == 200
    # The first idle one asks once more: the other one is missed least now.
    idle[0].send(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert idle[0].answer().status == 200
    for _ in range(CONNECTIONS - 2):
        opened(small, wires, HALF_A_HEAD)
    until(lambda: ended(idle[1]), "the longest idle one to be ended")
    assert not ended(idle[0])
    opened(small, wires, HALF_A_HEAD)
    until(lambda: ended(idle[0]), "the other idle one to be ended")
    assert not ended(slow)
    opened(small, wires, HALF_A_HEAD)
    until(lambda: ended(slow), "the oldest slow one to be ended")


def test_where_all_are_answered_health_still_is(small: Served, wires: ExitStack) -> None:
    keys = hold(small, wires, CONNECTIONS)
    for _ in range(20):  # more than the reserve: slow heads there make room for one another
        opened(small, wires, HALF_A_HEAD)
    for path in ("/healthz", "/readyz"):
        answer = get(small, path)
        assert answer.status == 200
        assert answer.headers["connection"] == "close"
    refused = small.client.post("/functions/v1/hello", json={})
    check_problem(refused, 503, "overloaded", retryable=True)
    assert refused.headers["connection"] == "close"
    for key in keys:
        small.open(key)
    until(lambda: get(small, "/functions/v1/hello").status == 200, "a free place")


@pytest.mark.slow
def test_a_head_is_given_up_after_a_while(small: Served) -> None:
    with small.connection() as wire:
        wire.send(HALF_A_HEAD)
        answer = wire.answer()
    assert answer.status == 408
    assert b"within 15 s" in answer.body


def test_more_than_the_descriptors_allow_is_refused_at_the_start() -> None:
    serve = [sys.executable, "-m", "outlast", "serve", "--port", "0"]
    command = ["sh", "-c", f'ulimit -n {DESCRIPTORS} && OUTLAST_CONNECTIONS_MAX=250 exec "$@"', "sh", *serve]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode != 0
    assert "OUTLAST_CONNECTIONS_MAX=250" in done.stderr
    assert "ulimit -n" in done.stderr
    assert len(done.stderr.splitlines()) == 1
