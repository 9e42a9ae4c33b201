"""The rows of a test in memory, and its time, which jumps to what is due next."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from outlast.core.clock import monotonic
from outlast.store.instances import RecoveryLimits
from outlast.testing.database import Database
from outlast.testing.listings import shown
from outlast.testing.processes import DrivenEngine, threads_at_rest
from outlast.testing.rows import Limits, Transaction
from outlast.testing.stores import DirectLink, MemoryStore
from outlast.testing.virtual import Time, VirtualLoop

BEGAN_S = 1_767_225_600.0
ROUND_TRIP_S = 0.000_5
T = TypeVar("T")


class VirtualTime:
    """Of the test that runs."""

    _now = Time(1000.0)
    engines: list[DrivenEngine]

    @classmethod
    def new_loop(cls) -> asyncio.AbstractEventLoop:
        """The loop of the next test. It stops where nothing is left that could happen."""
        cls._now, cls.engines = Time(1000.0), []
        loop = VirtualLoop(cls._now, lambda at: at is not None, lambda: True)
        loop.resting = lambda: sum(map(threads_at_rest, cls.engines))
        return loop

    @classmethod
    def monotonic(cls) -> float:
        """See core.clock."""
        return cls._now.now


class Memory(str):
    """Stands for a database's URL."""

    database: Database

    def __new__(cls) -> Memory:
        """An empty one."""
        self = super().__new__(cls, "memory")
        self.database = Database(_unix_s, random.Random(1), Limits())
        return self

    def store(self, instance_id: str, limits: RecoveryLimits, sessions: bool | None) -> MemoryStore:
        """That of one instance."""
        self.database.limits = Limits(
            limits.attempts_max, limits.suspect_after, limits.batch, limits.backoff_s,
            limits.backoff_max_s, 100,
        )  # fmt: skip
        link = _Link(self.database, sessions=sessions is not False)
        return MemoryStore(self.database, link, instance_id)

    def crash(self, instance_id: str) -> None:
        """The lease of an instance has run out."""
        self.database.instances[instance_id].lease_until = _unix_s() - 3600

    def row(self, workflow_id: str) -> dict[str, Any]:
        """As the driver gives a row of `workflow_status`."""
        row = self.database.workflows[workflow_id]
        found = shown(self.database, row)
        for name in ("input", "output", "error", "response", "held"):
            found[name] = _read(found[name])
        new = row.new
        return found | {
            "request": _read(new.request),
            "claims": _read(new.claims),
            "fingerprint": new.fingerprint,
            "awaits": _read(row.awaits),
            "mail": row.mail,
            "untold": row.untold,
            "nonce": row.nonce,
            "load_bytes": max(row.load_bytes, new.load_bytes),
            "later": row.claimable_at is not None and row.claimable_at > _unix_s(),
        }

    def steps(self, workflow_id: str) -> list[dict[str, Any]]:
        """As the driver gives rows of `operation_outputs`, in order of completion."""
        found = []
        for (owner, _), record in self.database.records.items():
            step = record.step
            if owner == workflow_id:
                found.append(
                    step._asdict()
                    | {
                        "workflow_id": owner,
                        "nonce": record.nonce,
                        "output": _read(step.output),
                        "error": _read(step.error),
                        "at": None if step.at_s is None else datetime.fromtimestamp(step.at_s, UTC),
                        "started_at": _date(record.completed_at, step.began),
                        "completed_at": _date(record.completed_at, step.ended),
                    }
                )
        return sorted(
            found,
            key=lambda each: (
                each["completion_order"] is None, each["completion_order"] or 0, each["step_id"],
            ),
        )  # fmt: skip

    def pass_time(self, workflow_id: str, seconds: float) -> None:
        """Let all that a suspended workflow waits for lie this much nearer."""
        for (owner, _), record in self.database.records.items():
            step = record.step
            if owner == workflow_id and step.completion_order is None:
                record.step = step._replace(output=json.dumps(json.loads(step.output or "0") - seconds))
        row = self.database.workflows[workflow_id]
        if row.claimable_at is not None:
            row.claimable_at -= seconds


class _Link(DirectLink):
    async def call(self, what: str, statement: Callable[[], T], within: Transaction | None = None) -> T:
        """See Link. The way takes its time: meanwhile others go on."""
        await asyncio.sleep(ROUND_TRIP_S)
        return await super().call(what, statement, within)


def _unix_s() -> float:
    return BEGAN_S + VirtualTime.monotonic() - 1000.0


def _read(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _date(written_s: float, reading: float | None) -> datetime:
    return datetime.fromtimestamp(written_s if reading is None else _unix_s() - (monotonic() - reading), UTC)
