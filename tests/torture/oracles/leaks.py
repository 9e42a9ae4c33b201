"""What a process keeps: the host that lives through all of it, in a quiet moment and in the last."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.hosts import SECRET
from tests.torture.fleet import DB_CONNECTIONS, Slot
from tests.torture.oracles.violations import Violations
from tests.torture.server import Server

_SESSIONS = "select application_name as app, count(*) as sessions from pg_stat_activity group by 1"


@dataclass(frozen=True)
class Census:
    """Of one process. `sessions` counts what Postgres sees of it."""

    memory_mb: float
    files: int
    threads: int
    tasks: int
    sessions: int


async def census(slot: Slot, server: Server) -> Census:
    """Count. Raises httpx.TransportError."""
    process = Path("/proc") / str(slot.pid)
    async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
        told = (await http.get(f"{slot.address}/functions/v1/load/census", headers={"apikey": SECRET})).json()
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line)
    sessions = await _sessions(slot, server)
    return Census(
        memory_mb=int(status["VmRSS"].split()[0]) / 1024,
        files=len(list((process / "fd").iterdir())),
        threads=int(status["Threads"]),
        tasks=told["tasks"],
        sessions=sessions,
    )


async def _sessions(slot: Slot, server: Server) -> int:
    rows = await server.rows(_SESSIONS)
    return sum(row["sessions"] for row in rows if f"-{slot.pid}-" in row["app"])


async def check_sessions(slots: list[Slot], server: Server, violations: Violations) -> None:
    """No instance keeps more sessions than it may, whatever became of its earlier ones."""
    for slot in slots:
        if slot.up and slot.way != "pooler":
            sessions = await _sessions(slot, server)
            if sessions > DB_CONNECTIONS:
                violations.add("a leak: sessions", slot.name, f"{sessions}, at most {DB_CONNECTIONS}")


def compare(slot: Slot, first: Census, last: Census, violations: Violations) -> None:
    """Say what grew that must not. The bounds hold whatever the time between the two."""
    for what, limit in (
        ("memory_mb", first.memory_mb * 1.5 + 60),
        ("files", first.files + 40),
        ("threads", first.threads + 32),
        ("tasks", first.tasks + 30),
        ("sessions", DB_CONNECTIONS),
    ):
        if getattr(last, what) > limit:
            violations.add(f"a leak: {what}", slot.name, f"first {first}, last {last}; at most {limit:.0f}")
