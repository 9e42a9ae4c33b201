"""Queues over the instance's pool: how calls enter them, and how code declares them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import errors
from pydantic_core import to_json

from outlast.core.ports import BadData, QueueStore
from outlast.core.records import DeclaredQueue, Entered, LimitsFreed, LimitUse, NewWorkflow
from outlast.store.arrays import literals
from outlast.store.journal import NEW
from outlast.store.pool import OverPool
from outlast.store.queries import load
from outlast.store.repeatable import rows_of

_SQL = load("queues.sql")


class PostgresQueues(OverPool, QueueStore):
    """`QueueStore`."""

    async def enqueue(self, news: Sequence[NewWorkflow], nonce: int) -> list[Entered]:
        """See QueueStore. If run twice, it finds by its nonce what the first run has written."""
        try:
            rows = await rows_of(
                self._pool,
                _SQL["enqueue"],
                {
                    **literals(NEW, [new[: len(NEW)] for new in news]),
                    "detached": [new.workflow_id for new in news if new.detached],
                    "nonce": nonce,
                },
                f"the door of queue {news[0].queue!r}",
            )
        except (
            errors.DataError,
            errors.IntegrityError,
            errors.RaiseException,
            ValueError,  # a text with NUL, or with half of a surrogate pair
        ) as error:
            raise BadData(str(error).strip().partition("\n")[0]) from error
        entered = {row["workflow_id"]: Entered(row["outcome"], row["target"], row["retry_s"]) for row in rows}
        return [entered.get(new.workflow_id, Entered("exists")) for new in news]

    async def take_limit(self, use: LimitUse, options: Mapping[str, Any]) -> float | None:
        parameters = {**use._asdict(), "options": to_json(options).decode()}
        (row,) = await rows_of(self._pool, _SQL["take_limit"], parameters, f"limit {use.name!r}")
        wait_s: float | None = row["wait_s"]
        return wait_s

    async def free_limits(
        self, instance_id: str, given_up: Sequence[LimitUse], names: Sequence[str]
    ) -> LimitsFreed:
        uses = to_json([each._asdict() for each in given_up]).decode()
        parameters = {"me": instance_id, "given_up": uses, "names": list(names)}
        (row,) = await rows_of(self._pool, _SQL["free_limits"], parameters)
        return LimitsFreed(row["here"], row["due"])

    async def declare(self, queues: Sequence[DeclaredQueue], served: Sequence[str] = ()) -> bool:
        (row,) = await rows_of(
            self._pool,
            _SQL["declare"],
            {
                "me": self._instance_id,
                "names": [each.name for each in queues],
                "options": [to_json(each.options).decode() for each in queues],
                "functions": to_json([each.functions for each in queues]).decode(),
                "served": list(served),
            },
        )
        changed: bool = row["changed"]
        return changed
