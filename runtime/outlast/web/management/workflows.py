"""Workflows over HTTP: show one and its steps, wait for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from outlast.core.errors import ShuttingDown
from outlast.core.resources import STEPS, WORKFLOWS
from outlast.engine.engine import Engine
from outlast.store.workflows import PostgresWorkflows
from outlast.web.callers.shares import Shares
from outlast.web.http.answers import JSON, Answer
from outlast.web.http.calls import Call
from outlast.web.http.documents import (
    documents,
    running_document,
    step_document,
    workflow_document,
)
from outlast.web.http.pages import PageRequest
from outlast.web.http.parameters import Parameters
from outlast.web.http.problems import ProblemError
from outlast.web.http.routes import not_found
from outlast.web.invoking.results import (
    accepted_headers,
    generation_header,
    location_of,
    problem_with_location,
)
from outlast.web.management.owned import Owned, as_unavailable, owner_of

WAIT_S_MAX = 60


class WorkflowRoutes:
    """The endpoints under WORKFLOWS: all of them for holders of a secret key, a user's own for a user.

    What is another caller's is not there.
    """

    def __init__(self, engine: Engine, workflows: PostgresWorkflows, owned: Owned, shares: Shares) -> None:
        self._engine = engine
        self._shares = shares
        self._workflows = workflows
        self._owned = owned

    async def show(self, call: Call, workflow_id: str) -> Answer:
        """One workflow; with `wait`, once it has ended or the time is over."""
        admitted = await self._owned.admitted(call)
        owner = owner_of(admitted)
        parameters = Parameters(call, ("wait", "brief"))
        wait_s, brief = parameters.seconds("wait", WAIT_S_MAX), parameters.flag("brief") or False
        # guard: anybodys-workflow-shown = await self._owned.ownership(workflow_id, None)
        found = await self._owned.ownership(workflow_id, owner)
        if wait_s and not found.status.ended:
            with self._shares.count_call(call, admitted):
                await self._wait(workflow_id, wait_s)
        values = await self._owned.shows_values(found, owner)
        # guard: others-named-to-owners = await self._row(workflow_id, whole=True, brief=brief)
        row = await self._row(workflow_id, whole=owner is None, brief=brief)
        shown = workflow_document(row, secret=owner is None, values=values)
        return Answer(
            200, shown.json, [JSON, *accepted_headers(workflow_id), *generation_header(row["generation"])]
        )

    async def steps(self, call: Call, workflow_id: str) -> Answer:
        """A page of recorded steps, in order of completion; then what waits, and what runs. Or backwards."""
        owner = await self._owned.owner(call)
        asked = PageRequest(call, STEPS)
        found = await self._owned.ownership(workflow_id, owner)
        visible = self._owned.visible_steps(found, owner)
        with as_unavailable():
            running = [] if found.status.ended else await self._running(workflow_id)
            given = {**asked.filters, "workflow_id": workflow_id}
            rows, more = await self._workflows.listing(STEPS, given, asked.after, asked.limit)
        items = [
            step_document(row, secret=owner is None, visible=visible is None or row["name"] in visible)
            for row in rows
        ]
        newest = bool(asked.filters["newest"])
        if asked.after is None if newest else not more:
            recorded = {row["step_id"] for row in rows}
            wanted = asked.filters["step_id"]
            left = [
                row for row in running if row["step_id"] not in recorded and wanted in (None, row["step_id"])
            ]
            shown = [running_document(row, secret=owner is None) for row in left]
            items = [*shown, *items] if newest else [*items, *shown]
        path = f"{location_of(workflow_id)}/steps"
        return asked.answer(documents(items), path, rows[-1] if more else None)

    async def _running(self, workflow_id: str) -> list[dict[str, Any]]:
        """The steps that run now on this instance, or have run for some seconds on another."""
        here = self._engine.running_steps(workflow_id)
        if here is None:
            return await self._workflows.running(workflow_id)
        return [
            {
                "step_id": step.step_id,
                "name": step.name,
                "attempt": step.attempt,
                "began_at": _date(step.began_s),
                "retry_at": None if step.retry_s is None else _date(step.retry_s),
                "instance_id": self._engine.instance_id,
            }
            for step in here
        ]

    async def _row(self, workflow_id: str, *, whole: bool, brief: bool) -> dict[str, Any]:
        with as_unavailable():
            row = await self._workflows.show(workflow_id, whole=whole, brief=brief)
        if row is None:  # it was removed meanwhile
            raise ProblemError(not_found(WORKFLOWS, workflow_id))
        return row

    async def _wait(self, workflow_id: str, wait_s: float) -> None:
        try:
            await self._engine.wait(workflow_id, wait_s, or_held=True)
        except ShuttingDown as error:
            raise ProblemError(problem_with_location(error, workflow_id)) from error


def _date(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)
