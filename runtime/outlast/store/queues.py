"""Queues: how calls enter them one by one, and what code says of them; over the instance's pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import errors
from pydantic_core import to_json

from outlast.core.ports import BadData
from outlast.core.records import DeclaredQueue, Entered, LimitsFreed, LimitUse, NewWorkflow
from outlast.store.pool import Pool
from outlast.store.queries import load
from outlast.store.repeatable import rows_of

_SQL = load("queues.sql")


class PostgresQueues:
    """`QueueStore`."""

    def __init__(self, pool: Pool, instance_id: str) -> None:
        self._pool = pool
        self._instance_id = instance_id

    async def enqueue(self, new: NewWorkflow, nonce: int) -> Entered:
        """See QueueStore. Run twice it finds what the first run has written, by its nonce."""
        try:
            rows = await rows_of(
                self._pool,
                _SQL["enqueue"],
                {**new._asdict(), "nonce": nonce},
                f"the door of queue {new.queue!r}",
            )
        except (errors.DataError, errors.IntegrityError, errors.RaiseException, UnicodeEncodeError) as error:
            raise BadData(str(error).strip().partition("\n")[0]) from error
        if not rows:
            return Entered("exists")
        return Entered(rows[0]["outcome"], rows[0]["target"], rows[0]["retry_s"])

    async def take_limit(self, use: LimitUse, options: Mapping[str, Any]) -> float | None:
        """See QueueStore."""
        parameters = {**use._asdict(), "options": to_json(options).decode()}
        (row,) = await rows_of(self._pool, _SQL["take_limit"], parameters, f"limit {use.name!r}")
        wait_s: float | None = row["wait_s"]
        return wait_s

    async def free_limits(
        self, instance_id: str, given_up: Sequence[LimitUse], names: Sequence[str]
    ) -> LimitsFreed:
        """See QueueStore."""
        uses = to_json([each._asdict() for each in given_up]).decode()
        parameters = {"me": instance_id, "given_up": uses, "names": list(names)}
        (row,) = await rows_of(self._pool, _SQL["free_limits"], parameters)
        return LimitsFreed(row["here"], row["due"])

    async def declare(self, queues: Sequence[DeclaredQueue]) -> bool:
        """See QueueStore."""
        (row,) = await rows_of(
            self._pool,
            _SQL["declare"],
            {
                "me": self._instance_id,
                "names": [each.name for each in queues],
                "options": [to_json(each.options).decode() for each in queues],
                "functions": to_json([each.functions for each in queues]).decode(),
            },
        )
        changed: bool = row["changed"]
        return changed
