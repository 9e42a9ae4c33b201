"""Runs the load generator in a process of its own and reads what it measured."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness.processes import BenchmarkError, Server, clean_environment

_LOAD = Path(__file__).with_name("load.py")
_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Call:
    """How one contender is asked to run one workflow, once, under a key."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    key_header: str = "Idempotency-Key"
    status: int = 200

    def request(self, key: str | None = None) -> bytes:
        """A whole request that closes its connection."""
        body = json.dumps(self.body).encode()
        headers = {
            "Host": "127.0.0.1",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
            self.key_header: key or secrets.token_hex(8),
            **self.headers,
        }
        lines = "".join(f"{name}: {text}\r\n" for name, text in headers.items())
        return f"POST {self.path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def drive(
    server: Server,
    call: Call,
    connections: int,
    *,
    seconds: float = 0.0,
    warmup_s: float = 0.0,
    requests: int = 0,
    answers_min: int = 0,
    keys: int = 0,
    keys_random: bool = False,
    key_prefix: str | None = None,
) -> dict[str, Any]:
    """Send calls; see `load.Plan`. Raises BenchmarkError if any was not answered as expected."""
    plan = {
        "path": call.path,
        "body": json.dumps(call.body),
        "headers": call.headers,
        "key_header": call.key_header,
        "key_prefix": key_prefix if key_prefix is not None else f"{secrets.token_hex(5)}-",
        "keys": keys,
        "keys_random": keys_random,
        "status": call.status,
        "connections": connections,
        "seconds": seconds,
        "warmup_s": warmup_s,
        "requests": requests,
        "answers_min": answers_min,
    }
    done = subprocess.run(
        [sys.executable, str(_LOAD), "127.0.0.1", str(server.port)],
        input=json.dumps(plan).encode(),
        capture_output=True,
        timeout=_TIMEOUT_S,
        env=clean_environment(),
        check=False,
    )
    if done.returncode:
        raise BenchmarkError(f"the load generator failed: {done.stderr.decode()[-1000:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    if result["failures"]:
        raise BenchmarkError(
            f"{server.name}: {result['failures']} failed calls, such as: {result['failure']}\n{server.tail()}"
        )
    return result
