"""Clients that close their sending side once the request is out are answered; who left holds nothing."""

from __future__ import annotations

import json
import socket
import struct

import pytest

from tests.hosts import until
from tests.http.conftest import OPEN, Start
from tests.http.harness import Served, Wire, check_problem, fresh_key

RESETTING = struct.pack("ii", 1, 0)


def call(path: str, body: object, headers: str = "") -> bytes:
    content = json.dumps(body).encode()
    head = f"POST /functions/v1/{path} HTTP/1.1\r\nhost: localhost\r\n{headers}"
    head += f"content-length: {len(content)}\r\n\r\n"
    return head.encode() + content


def half_close(wire: Wire) -> None:
    wire.socket.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("path", ["hello", "plain?kind=list", "plain?kind=stream", "nowhere", "inputs/order"])
def test_a_client_that_sends_no_more_is_answered(host: Served, path: str) -> None:
    whole = host.call(path, {})
    with host.connection() as wire:
        wire.send(call(path, {}))
        half_close(wire)
        told = wire.rest()
    assert told.startswith(f"HTTP/1.1 {whole.status_code} ".encode())
    assert told.endswith((whole.content[-9:], b"0\r\n\r\n"))


def test_its_answer_may_take_a_while(host: Served) -> None:
    key = fresh_key()
    with host.connection() as wire:
        wire.send(call("held", {"key": key}, f"idempotency-key: {key}\r\n"))
        half_close(wire)
        host.until_seen(key)
        host.open(key)
        assert json.loads(wire.answer().body) == {"said": f"let go of {key}"}
        assert wire.rest() == b""


def test_it_may_follow_a_stream(host: Served) -> None:
    key = fresh_key()
    with host.connection() as wire:
        wire.send(
            call("held/staged", {"key": key}, f"idempotency-key: {key}\r\naccept: text/event-stream\r\n")
        )
        half_close(wire)
        host.until_seen(key)
        host.open(key)
        assert b"event: result" in wire.rest()


def test_all_it_has_asked_for_is_answered_in_order(host: Served) -> None:
    with host.connection() as wire:
        calls = [call("answers/value", {"value": n, "key": fresh_key()}) for n in range(5)]
        wire.send(b"".join(calls) + b"POST /func")  # the last one is none
        half_close(wire)
        assert [wire.answer().body for _ in calls] == [b"0", b"1", b"2", b"3", b"4"]
        assert wire.rest() == b""


@pytest.mark.parametrize(
    "sent", [b"", b"POST /functions/v1/hello HT", call("hello", {"name": "x"})[:-1]], ids=len
)
def test_half_a_request_is_given_up(host: Served, sent: bytes) -> None:
    with host.connection() as wire:
        wire.send(sent)
        half_close(wire)
        assert wire.rest() == b""


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_a_client_that_then_leaves_counts_no_more(start_host: Start, accept: str) -> None:
    """It resets the connection, as systems do for a program that was killed with an answer unread."""
    host = start_host(OPEN, calls_per_caller_max=1)
    key = fresh_key()
    with host.connection() as wire:
        wire.send(call("held", {"key": key}, f"idempotency-key: {key}\r\naccept: {accept}\r\n"))
        half_close(wire)
        host.until_seen(key)
        check_problem(host.call("hello", {}), 429, "rate_limited", retryable=True)
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
    until(lambda: host.call("hello", {}).status_code == 200, "the place of the client that left")
    host.open(key)
    host.until_status(f"held:{key}", "SUCCESS")
