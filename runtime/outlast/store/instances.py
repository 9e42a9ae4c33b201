"""Leases, claims and recovery on Postgres, over one connection of their own."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from psycopg import DatabaseError
from pydantic_core import to_json

from outlast.core import faults
from outlast.core.budget import SMALL_BYTES
from outlast.core.claims import ClaimedWorkflow, Claims, LostInstance, QueueClaims, Room
from outlast.core.ports import InstanceStore, TookTooLong, Unreachable
from outlast.core.records import Beat, RunningStep
from outlast.core.storable import unstorable
from outlast.store.connections import CONFLICTS, Database, SoleConnection
from outlast.store.queries import load
from outlast.store.refusals import Refusals

_SQL = load("instances.sql")
_TIMEOUT_S = 30.0
_CONFLICTS_MAX = 10


@dataclass(frozen=True, slots=True)
class RecoveryLimits:
    """How lost workflows are treated."""

    attempts_max: int = 10
    suspect_after: int = 3
    """A workflow with this many recovery attempts is claimed alone."""
    backoff_s: float = 0.5
    backoff_max_s: float = 60.0
    batch: int = 1000


class PostgresInstances(InstanceStore):
    """`InstanceStore` for one instance."""

    def __init__(self, database: Database, instance_id: str, version: str, limits: RecoveryLimits) -> None:
        self._leases = SoleConnection(database, "outlast_due")
        self._instance_id = instance_id
        self._version = version
        self._limits = limits
        self._refusals = Refusals()
        self._functions: list[str] | None = None
        """The functions that it claims, for other instances to see."""

    def when_lost(self, call: Callable[[], None]) -> None:
        self._leases.when_ended(call)

    def when_due(self, call: Callable[[], None]) -> None:
        self._leases.when_notified(call)

    async def beat(self, lease_ttl_s: float, running: Sequence[RunningStep] | None = None) -> Beat:
        parameters = {
            "instance": self._instance_id,
            "ttl": lease_ttl_s,
            "host": socket.gethostname(),
            "version": self._version,
            "running": None if running is None else _running_json(running),
            "functions": self._functions,
        }
        ((database_s, ids, epochs),) = await self._run("beat", parameters)
        return Beat(database_s, dict(zip(ids, epochs, strict=True)))

    async def claim(self, room: Room, *, strict: bool = True, limit_s: float | None = None) -> Claims:
        parameters = {**self._claim_parameters(room), "strict": strict}
        ((claimed, refused, lost, undelivered, untold, queued, full, stops),) = await self._run(
            "claim", parameters, limit_s
        )
        self._refusals.note(refused)
        workflows = [ClaimedWorkflow(**each, input=None, request=None) for each in claimed]
        if workflows:
            faults.reach("claim.after_commit")
        # JSON has no infinity, so Postgres writes it as text.
        gone = [LostInstance(**{**each, "lease_until_s": float(each["lease_until_s"])}) for each in lost]
        return Claims(
            workflows,
            gone,
            undelivered=undelivered,
            untold=untold,
            queued=queued,
            full_queues=frozenset(full),
            stops=stops,
            refused=self._refusals.news(),
        )

    async def claim_queued(self, room: Room, *, limit_s: float | None = None) -> QueueClaims:
        parameters = self._claim_parameters(room)
        try:
            rows = await self._run("claim_queued", {**parameters, "apart": False}, limit_s)
        # guard: one-queue-stops-all
        except DatabaseError:  # one queue can't decide, or a row refuses to begin: decide each queue alone
            rows = await self._run("claim_queued", {**parameters, "apart": True}, limit_s)
        ((claimed, more, again_s, undecided, refused, _),) = rows
        self._refusals.note(refused)
        workflows = [ClaimedWorkflow(**each, input=None, request=None) for each in claimed]
        if workflows:
            faults.reach("claim.after_commit")
        return QueueClaims(workflows, more, again_s, undecided, self._refusals.news())

    def _claim_parameters(self, room: Room) -> dict[str, Any]:
        self._functions = sorted(room.functions)
        large = room.large or room.space
        return {
            "instance": self._instance_id,
            "functions": list(room.functions),
            "room": room.workflows,
            "suspects": room.suspects,
            "suspect_after": self._limits.suspect_after,
            "bytes": room.space.bytes_left,
            "alone": room.space.alone,
            "small": SMALL_BYTES,
            "large_bytes": large.bytes_left,
            "large_alone": large.alone,
            "refused": self._refusals.now(),
        }

    async def recover(self, lost: Sequence[LostInstance]) -> list[tuple[str, str]]:
        limits = self._limits
        gone = [instance for instance in lost if not instance.expired]
        parameters = {
            "lost": [instance.instance_id for instance in lost],
            "gone": [instance.instance_id for instance in gone],
            "gone_leases": [instance.lease_until_s for instance in gone],
            "limit": limits.batch,
            "attempts_max": limits.attempts_max,
            "backoff": limits.backoff_s,
            "backoff_max": limits.backoff_max_s,
            "refused": self._refusals.now(),
        }
        ((recovered, refused, _),) = await self._run("recover", parameters)
        self._refusals.note(refused)
        return [(each["workflow_id"], each["status"]) for each in recovered]

    async def release(
        self,
        epochs: dict[str, int],
        load_bytes: Mapping[str, int] | None = None,
        due_s: Mapping[str, float | None] | None = None,
    ) -> None:
        epochs = {each: epochs[each] for each in epochs.keys() - self._refusals.now()}
        parameters = {
            "instance": self._instance_id,
            "ids": list(epochs),
            "epochs": list(epochs.values()),
            "load_bytes": [(load_bytes or {}).get(each) for each in epochs],
            "due": [(due_s or {}).get(each) for each in epochs],
        }
        ((refused,),) = await self._run("release", parameters)
        self._refusals.note(refused)

    async def leave(self) -> None:
        await self._run("leave", {"instance": self._instance_id})

    async def tidy(self) -> None:
        await self._run("forget_old_instances", {})
        # guard: orphans-not-adopted
        await self._run("adopt_orphans", {})

    async def close(self) -> None:
        """Close the connection."""
        await self._leases.close()

    async def _run(
        self, query: str, parameters: dict[str, Any], limit_s: float | None = None
    ) -> list[tuple[Any, ...]]:
        """The rows of a statement. If it conflicts with another transaction, it did nothing and is run again.

        After `limit_s` it is cancelled, and TookTooLong is raised. The connection can be used again then.
        """
        async with self._leases.use(_TIMEOUT_S) as connection:
            # If this is a real session, its end shows others that the instance has ended.
            parameters = {**parameters, "session": connection.kind.sessions}
            for tries in count(1):
                try:
                    # guard: claim-without-limit
                    async with asyncio.timeout(limit_s):
                        cursor = await connection.execute(_SQL[query], parameters)
                    return await cursor.fetchall() if cursor.description else []
                except TimeoutError as error:
                    raise TookTooLong(query) from error
                except CONFLICTS as error:
                    if tries == _CONFLICTS_MAX:
                        raise Unreachable(str(error)) from error
                    await asyncio.sleep(random.uniform(0, 0.02))
        raise AssertionError("count() ended")


def _running_json(running: Sequence[RunningStep]) -> str:
    """The JSON of `instances.running`, without steps whose names Postgres can't store."""
    return to_json([each._asdict() for each in running if unstorable(each.name) is None]).decode()
