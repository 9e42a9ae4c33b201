"""Workflows over HTTP: list them, look at one and its steps, wait for it, cancel it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from outlast.core.errors import ShuttingDown
from outlast.core.listing import Filters
from outlast.core.records import Ownership
from outlast.core.status import Status
from outlast.engine.engine import Engine
from outlast.store.workflows import PostgresWorkflows
from outlast.web.callers.shares import Shares
from outlast.web.http.answers import JSON, Answer
from outlast.web.http.calls import Call
from outlast.web.http.documents import (
    Verbatim,
    document,
    documents,
    running_document,
    step_document,
    summary_document,
    workflow_document,
)
from outlast.web.http.pages import PAGE_DEFAULT, PAGE_MAX, page_answer
from outlast.web.http.parameters import Parameters, bad_cursor, cursor_of, invalid
from outlast.web.http.problems import Problem, ProblemError, problem_of
from outlast.web.http.routes import WORKFLOWS, workflow_not_found
from outlast.web.invoking.results import accepted_headers, location_of
from outlast.web.management.owned import Owned, owner_of, reaching

WAIT_S_MAX = 60
FILTERS = (
    "function", "version", "status", "error", "queue", "parent", "since", "until", "attribute",
    "limit", "cursor",
)  # fmt: skip


class WorkflowRoutes:
    """The endpoints under WORKFLOWS: all of them for holders of a secret key, a user's own for a user.

    What is another caller's is not there.
    """

    def __init__(self, engine: Engine, workflows: PostgresWorkflows, owned: Owned, shares: Shares) -> None:
        self._engine = engine
        self._shares = shares
        self._workflows = workflows
        self._owned = owned

    async def page(self, call: Call) -> Answer:
        """A page of workflows, newest first."""
        owner = await self._owned.owner(call)
        parameters = Parameters(call, FILTERS)
        limit = parameters.whole("limit", PAGE_DEFAULT, 1, PAGE_MAX)
        with reaching():
            rows, more = await self._workflows.page(_filters(parameters, owner, limit))
        last = rows[-1] if more else None
        cursor = None if last is None else cursor_of(last["created_at"].isoformat(), last["workflow_id"])
        items = documents(summary_document(row) for row in rows)
        return page_answer("workflows", items, WORKFLOWS, parameters, cursor)

    async def show(self, call: Call, workflow_id: str) -> Answer:
        """One workflow; with `wait`, once it has ended or the time is over."""
        admitted = await self._owned.admitted(call)
        owner = owner_of(admitted)
        wait_s = Parameters(call, ("wait",)).seconds("wait", WAIT_S_MAX)
        # guard: anybodys-workflow-shown = await self._owned.ownership(workflow_id, None)
        found = await self._owned.ownership(workflow_id, owner)
        if wait_s and not found.status.ended:
            with self._shares.in_flight(call, admitted):
                await self._wait(workflow_id, wait_s)
        values = await self._owned.shows_values(found, owner)
        row = await self._row(workflow_id)
        return _answer(workflow_id, workflow_document(row, secret=owner is None, values=values))

    async def steps(self, call: Call, workflow_id: str) -> Answer:
        """A page of recorded steps, in order of completion; then what waits, and what runs."""
        owner = await self._owned.owner(call)
        parameters = Parameters(call, ("limit", "cursor"))
        limit = parameters.whole("limit", PAGE_MAX, 1, PAGE_MAX)
        after = _after_step(parameters)
        found = await self._owned.ownership(workflow_id, owner)
        visible = self._owned.visible_steps(found, owner)
        with reaching():
            running = [] if found.status.ended else await self._running(workflow_id)
            rows, more = await self._workflows.steps(workflow_id, after, limit)
        last = rows[-1] if more else None
        cursor = None if last is None else cursor_of(last["place"], last["step_id"])
        items = [
            step_document(row, secret=owner is None, visible=visible is None or row["name"] in visible)
            for row in rows
        ]
        if last is None:
            recorded = {row["step_id"] for row in rows}
            left = [row for row in running if row["step_id"] not in recorded]
            items += [running_document(row, secret=owner is None) for row in left]
        return page_answer("steps", documents(items), f"{location_of(workflow_id)}/steps", parameters, cursor)

    async def cancel(self, call: Call, workflow_id: str) -> Answer:
        """Cancel it. Cancelling again is no error; what has ended otherwise stays as it is."""
        owner = await self._owned.owner(call)
        Parameters(call, ())
        if owner is not None:
            # guard: anybodys-workflow-cancelled
            await self._owned.ownership(workflow_id, owner)
        if not await self._engine.cancel(workflow_id):
            found = await self._owned.ownership(workflow_id, owner)
            if found.status is not Status.CANCELLED:
                raise ProblemError(_ended(found))
        return _answer(workflow_id, document({"workflow_id": workflow_id, "status": Status.CANCELLED}))

    async def _running(self, workflow_id: str) -> list[dict[str, Any]]:
        """The steps that run at this moment here, or have been for some seconds elsewhere."""
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

    async def _row(self, workflow_id: str) -> dict[str, Any]:
        with reaching():
            row = await self._workflows.show(workflow_id)
        if row is None:  # removed since
            raise ProblemError(workflow_not_found(workflow_id))
        return row

    async def _wait(self, workflow_id: str, wait_s: float) -> None:
        try:
            await self._engine.wait(workflow_id, wait_s)
        except ShuttingDown as error:
            problem = problem_of(error, workflow_id)
            headers = (*problem.headers, ("location", location_of(workflow_id)))
            raise ProblemError(
                Problem(problem.status, problem.code, problem.detail, True, workflow_id, headers=headers)
            ) from error


def _date(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)


def _filters(parameters: Parameters, owner: str | None, limit: int) -> Filters:
    return Filters(
        subject=owner,
        function=parameters.one("function"),
        statuses=_statuses(parameters.many("status")),
        version=parameters.one("version"),
        error=parameters.one("error"),
        queue=parameters.one("queue"),
        parent=parameters.one("parent"),
        since=parameters.moment("since"),
        until=parameters.moment("until"),
        attribute=_attribute(parameters.one("attribute")),
        after=_after_workflow(parameters),
        limit=limit,
    )


def _statuses(names: Sequence[str]) -> list[Status] | None:
    known = {status.value: status for status in Status}
    for name in names:
        if name.upper() not in known:
            raise invalid("status", f"there is no status {name!r}; use {', '.join(known)}")
    return [known[name.upper()] for name in dict.fromkeys(names)] or None


def _attribute(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    key, colon, value = text.partition(":")
    if not key or not colon:
        raise invalid("attribute", f"attribute must be a key and its value, as in customer:42, not {text!r}")
    return key, value


def _after_workflow(parameters: Parameters) -> tuple[datetime, str] | None:
    place = parameters.cursor(str, str)
    if place is None:
        return None
    try:
        created_at = datetime.fromisoformat(place[0])
    except ValueError:
        raise bad_cursor() from None
    if created_at.tzinfo is None or "\0" in place[1]:
        raise bad_cursor()
    return created_at, place[1]


def _after_step(parameters: Parameters) -> tuple[int, str] | None:
    place = parameters.cursor(int, str)
    if place is None:
        return None
    if not 0 <= place[0] < 2**31 or "\0" in place[1]:
        raise bad_cursor()
    return place[0], place[1]


def _ended(found: Ownership) -> Problem:
    return Problem(
        409,
        "workflow_ended",
        f"the workflow has ended as {found.status}; only one that has not ended can be cancelled",
        workflow_id=found.workflow_id,
        # `status` is the answer's own, by RFC 9457.
        more={"workflow_status": found.status.value},
    )


def _answer(workflow_id: str, body: Verbatim) -> Answer:
    return Answer(200, body.json, [JSON, *accepted_headers(workflow_id)])
