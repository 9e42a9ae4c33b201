"""The load generator, a process of its own: `python load.py HOST PORT` with a JSON plan on stdin.

A closed loop: each connection sends its next request when the last answer is complete. It is kept cheap
(one uvloop protocol a connection, requests joined from prepared bytes, no parsing beyond status and length),
so that on a small machine the cores are left to what is measured. Imports nothing of the harness.

What counts is what is *answered* within the time: a rate of what was sent in it would miss the calls that
were on their way at its beginning, which is unfair to whoever takes long.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import uuid
from array import array
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import uvloop

_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


@dataclass
class Plan:
    """What to send: `requests` in all, or for `seconds` after `warmup_s`; longer until `answers_min` came."""

    path: str
    body: str
    connections: int
    headers: dict[str, str] = field(default_factory=dict)
    key_header: str = "Idempotency-Key"
    key_prefix: str = ""
    keys_random: bool = False
    """Whether each request has a UUIDv4 as its key."""
    keys: int = 0
    """How many different keys are used, in turn; 0: each request has its own."""
    status: int = 200
    seconds: float = 0.0
    warmup_s: float = 0.0
    requests: int = 0
    answers_min: int = 0


class Run:
    """What all connections share: the plan, the next number, the latencies."""

    def __init__(self, plan: Plan, host: str, port: int) -> None:
        lines = [f"POST {plan.path} HTTP/1.1", f"Host: {host}:{port}", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in plan.headers.items()]
        lines += [f"Content-Length: {len(plan.body.encode())}", f"{plan.key_header}: {plan.key_prefix}"]
        self.head = "\r\n".join(lines).encode()
        self.tail = _END + plan.body.encode()
        self.plan = plan
        self.expected = b"%d" % plan.status
        self.latencies = array("d")
        self.begins = perf_counter() + plan.warmup_s
        self.ends = self.begins + plan.seconds if plan.seconds else float("inf")
        self.last = self.begins
        self.over = False
        self.sent = 0
        self.failures: list[str] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.open = 0

    def next_request(self) -> bytes | None:
        """The next request, or None when enough were sent."""
        if self.plan.requests and self.sent >= self.plan.requests:
            return None
        if self.plan.keys_random:
            self.sent += 1
            key = uuid.UUID(int=random.getrandbits(128), version=4)
            return b"%b%b%b" % (self.head, str(key).encode(), self.tail)
        number = self.sent % self.plan.keys if self.plan.keys else self.sent
        self.sent += 1
        return b"%b%d%b" % (self.head, number, self.tail)

    def answered(self, sent_at: float) -> None:
        """Count an answer that came in the time; see whether that is over."""
        now = perf_counter()
        self.over = self.over or (now > self.ends and len(self.latencies) >= self.plan.answers_min)
        if now >= self.begins and not self.over:
            self.latencies.append(now - sent_at)
            self.last = now

    def closed(self, failure: str | None) -> None:
        """A connection is done or failed."""
        if failure is not None:
            self.failures.append(failure)
        self.open -= 1
        if self.open == 0 and not self.done.done():
            self.done.set_result(None)


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._buffer = b""
        self._sent_at = 0.0
        self._ended = False

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take part of an answer; when it is whole, send the next request."""
        buffer = self._buffer + data if self._buffer else data
        head = buffer.find(_END)
        if head < 0:
            self._buffer = buffer
            return
        at = buffer.find(_LENGTH, 0, head)
        if at < 0:
            at = buffer.lower().find(_LENGTH, 0, head)
        if at < 0:
            self._end(f"no content-length: {buffer[:200]!r}")
            return
        at += len(_LENGTH)
        stop = buffer.find(b"\r", at)
        if len(buffer) < head + 4 + int(buffer[at:stop]):
            self._buffer = buffer
            return
        self._buffer = b""
        if buffer[9:12] != self._run.expected:
            self._end(buffer[:400].decode("latin-1"))
            return
        self._run.answered(self._sent_at)
        if self._run.over:
            self._end(None)
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """The server closed: that is a failure unless this end did it."""
        if not self._ended:
            self._end(f"connection lost: {exc}")

    def _send(self) -> None:
        request = self._run.next_request()
        if request is None:
            self._end(None)
            return
        self._sent_at = perf_counter()
        self._transport.write(request)

    def _end(self, failure: str | None) -> None:
        if not self._ended:
            self._ended = True
            self._transport.close()
            self._run.closed(failure)


async def drive(host: str, port: int, plan: Plan) -> dict[str, Any]:
    """Run the plan and sum it up. Latencies are in milliseconds."""
    loop = asyncio.get_running_loop()
    run = Run(plan, host, port)
    run.open = plan.connections
    for _ in range(plan.connections):
        await loop.create_connection(lambda: Connection(run), host, port)
    await run.done
    latencies = sorted(run.latencies)
    stop = max(run.last, run.ends) if plan.seconds else run.last
    elapsed_s = max(stop - run.begins, 1e-9)
    return {
        "answers": len(latencies),
        "elapsed_s": elapsed_s,
        "per_s": len(latencies) / elapsed_s,
        "p50_ms": _quantile(latencies, 0.50) * 1000,
        "p99_ms": _quantile(latencies, 0.99) * 1000,
        "failures": len(run.failures),
        "failure": run.failures[0] if run.failures else None,
    }


def _quantile(ordered: list[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else float("nan")


def main() -> None:
    """Read the plan, write the result."""
    host, port = sys.argv[1], int(sys.argv[2])
    plan = Plan(**json.load(sys.stdin))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        json.dump(runner.run(drive(host, port, plan)), sys.stdout)


if __name__ == "__main__":
    main()
