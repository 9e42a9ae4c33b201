"""Reading and cancelling workflows, over the instance's pool."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from outlast.core.listing import Filters
from outlast.core.records import ClaimedWorkflow, Ownership, Standing, StepRecord
from outlast.core.status import Status
from outlast.store.connections import away
from outlast.store.pool import Pool
from outlast.store.queries import load
from outlast.store.repeatable import rows_of

_SQL = load("workflows.sql")
LOAD_WAIT_S = 10.0
"""For a connection of the pool, which long transactions may hold."""


class PostgresWorkflows:
    """`WorkflowStore`, and what the management pages read."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def load(
        self, workflows: Sequence[ClaimedWorkflow], enough: Callable[[ClaimedWorkflow], bool]
    ) -> AsyncGenerator[ClaimedWorkflow]:
        """See WorkflowStore. Row by row: no more of the answer is in memory than was asked for."""
        whole: ClaimedWorkflow | None = None
        parameters = {"ids": [each.workflow_id for each in workflows]}
        async with (
            away(),
            self._pool.connection(LOAD_WAIT_S) as connection,
            connection.settled(),
            connection.cursor() as cursor,
        ):
            async for place, step_id, name, output, error, attempts, order in cursor.stream(
                _SQL["load"], parameters
            ):
                workflow = workflows[place - 1]
                if whole is not None and whole is not workflow:
                    yield whole
                whole = workflow
                if step_id is None:
                    workflow.input, workflow.request, workflow.load_bytes = output, error, 0
                else:
                    workflow.history.append(StepRecord(step_id, name, output, error, attempts, order))
                workflow.load_bytes += len(output or "") + len(error or "")
                if enough(workflow):
                    return
        if whole is not None:
            yield whole

    async def standing(self, ids: Sequence[str]) -> dict[str, Standing]:
        """See WorkflowStore."""
        return _standings(await self._rows("standing", {"ids": list(ids)}))

    async def ended(self, ids: Sequence[str]) -> dict[str, Standing]:
        """See WorkflowStore."""
        return _standings(await self._rows("ended", {"ids": list(ids)}))

    async def cancel(self, workflow_id: str) -> bool:
        """See WorkflowStore."""
        parameters = {"workflow_id": workflow_id, "nonce": secrets.randbits(63)}
        return bool(await self._rows("cancel", parameters) or await self._rows("cancelled", parameters))

    async def ownership(self, ids: Sequence[str]) -> dict[str, Ownership]:
        """Whose these workflows are; unknown ids are left out. Raises Unreachable."""
        rows = await self._rows("ownership", {"ids": list(ids)})
        return {row["workflow_id"]: Ownership(**{**row, "status": Status(row["status"])}) for row in rows}

    async def show(self, workflow_id: str) -> dict[str, Any] | None:
        """All columns that people may see of one workflow; JSON as text. Raises Unreachable."""
        rows = await self._rows("show", {"workflow_id": workflow_id})
        return rows[0] if rows else None

    async def page(self, filters: Filters) -> list[dict[str, Any]]:
        """A page of workflows, newest first; JSON as text. Raises Unreachable."""
        attribute, value = filters.attribute or (None, None)
        after_created, after_id = filters.after or (None, None)
        parameters = {
            "subject": filters.subject,
            "function": filters.function,
            "status": list(filters.statuses) if filters.statuses else None,
            "version": filters.version,
            "error": filters.error,
            "queue": filters.queue,
            "parent": filters.parent,
            "since": filters.since,
            "until": filters.until,
            "attribute": attribute,
            "attribute_value": value,
            "after_created": after_created,
            "after_id": after_id,
            "limit": filters.limit,
        }
        return await self._rows("page", parameters)

    async def steps(
        self, workflow_id: str, after: tuple[int, str] | None = None, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Recorded steps in order of completion, then sleeps that aren't over; JSON as text.

        `after` is the last one (`place`, `step_id`) of the page before. Raises Unreachable.
        """
        place, step_id = after or (None, None)
        parameters = {"workflow_id": workflow_id, "after_place": place, "after_step": step_id, "limit": limit}
        return await self._rows("steps", parameters)

    async def steps_after(self, workflow_id: str, order: int, limit: int) -> list[dict[str, Any]]:
        """Completions later than the `order`-th; of published events the `value` too. Raises Unreachable."""
        parameters = {"workflow_id": workflow_id, "after": order, "limit": limit}
        return await self._rows("steps_after", parameters)

    async def events(
        self, workflow_id: str, after: int, limit: int, event: str | None = None
    ) -> list[dict[str, Any]]:
        """Published events later than number `after`, all or those of one name. Raises Unreachable."""
        parameters = {"workflow_id": workflow_id, "after": after, "event": event, "limit": limit}
        return await self._rows("events", parameters)

    async def _rows(self, query: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        return await rows_of(self._pool, _SQL[query], parameters)


def _standings(rows: list[dict[str, Any]]) -> dict[str, Standing]:
    return {row["workflow_id"]: Standing(**{**row, "status": Status(row["status"])}) for row in rows}
