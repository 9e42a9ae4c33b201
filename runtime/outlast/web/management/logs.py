"""What a workflow logged and printed of late, out of this host's memory: never required for anything."""

from __future__ import annotations

import asyncio

from outlast.core.lines import Line, ReadLines
from outlast.core.resources import LOGS
from outlast.web.http.answers import Answer
from outlast.web.http.calls import Call
from outlast.web.http.documents import documents, row_document
from outlast.web.http.pages import PageRequest
from outlast.web.invoking.results import location_of
from outlast.web.management.owned import Owned


class LogRoutes:
    """`GET /workflows/v1/ID/logs`, for holders of a secret key."""

    def __init__(self, owned: Owned, read: ReadLines) -> None:
        self._owned = owned
        self._read = read

    async def page(self, call: Call, workflow_id: str) -> Answer:
        """A page of lines, the oldest first. Raises ProblemError."""
        # guard: logs-for-users
        await self._owned.owner(call, secret=True)
        asked = PageRequest(call, LOGS)
        await self._owned.ownership(workflow_id, None)
        lines = await asyncio.to_thread(self._read, workflow_id)
        if (step_id := asked.filters["step_id"]) is not None:
            lines = [each for each in lines if each.step_id == step_id]
        rows = [{"at": each.at, **each._asdict()} for each in lines if _is_after(each, asked.after)]
        page, more = rows[: asked.limit], len(rows) > asked.limit
        items = documents(row_document(LOGS.columns, row, secret=True) for row in page)
        return asked.answer(items, f"{location_of(workflow_id)}/logs", page[-1] if more else None)


def _is_after(line: Line, place: tuple[object, ...] | None) -> bool:
    return place is None or (line.at, line.number) > place
