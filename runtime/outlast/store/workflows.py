"""Reading and cancelling workflows, over the instance's pool."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg import DataError, Error, errors
from psycopg.sql import SQL, Composed, Identifier, Placeholder
from psycopg.types.json import Jsonb

from outlast.core import faults
from outlast.core.budget import weigh
from outlast.core.callbacks import Link, message_key
from outlast.core.claims import ClaimedWorkflow
from outlast.core.ports import NoSuchRow, NotNow, Unacceptable, WorkflowStore
from outlast.core.records import (
    RECORD_BYTES,
    BulkRan,
    Concerned,
    EventQuery,
    EventsFound,
    NewWorkflow,
    Ownership,
    PublishedEvent,
    StepRecord,
    WorkflowState,
    WorkflowStates,
)
from outlast.core.resources import WORKFLOWS, Kind, Resource
from outlast.core.resources.resource import Page
from outlast.core.status import Status
from outlast.core.verbs import KEY, UNDO, Verb
from outlast.store.connections import as_unreachable
from outlast.store.pool import OverPool
from outlast.store.queries import load
from outlast.store.repeatable import rows_of, rows_read, rows_within, streamed

_SQL = load("workflows.sql") | load("resources.sql")
_AS_JSON = (Kind.RATE, Kind.OBJECT, Kind.JSON)
LOAD_WAIT_S = 10.0
"""How long to wait for a connection of the pool, as long transactions may hold them."""

LOOK_BYTES_MAX = 16 * 2**20
"""How large the results of one query for ended workflows may be."""

_REFUSED = (errors.RaiseException, errors.IntegrityError)
"""What triggers and checks of the project raise."""

EVENTS_MAX = 100
"""How many events one look of a reader returns."""

PAGE_BYTES_MAX = 4 * 2**20
"""How large the rows of a page, or of one query of a stream, may be."""

SEARCH_S = 5.0
"""The time limit of a search for workflows: a text that no error contains is searched in all of them."""


class PostgresWorkflows(OverPool, WorkflowStore):
    """`WorkflowStore`, and what the management pages read."""

    async def load(
        self, workflows: Sequence[ClaimedWorkflow], enough: Callable[[ClaimedWorkflow], bool]
    ) -> AsyncGenerator[ClaimedWorkflow]:
        """See WorkflowStore. Reads row by row, so that no more is in memory than was asked for."""
        whole: ClaimedWorkflow | None = None
        parameters = {"ids": [each.workflow_id for each in workflows]}
        async with (
            as_unreachable(),
            self._pool.connection(LOAD_WAIT_S) as connection,
            connection.with_settings(),
            streamed(connection, connection.cursor(), _SQL["load"], parameters) as rows,
        ):
            async for place, step_id, name, output, error, *rest in rows:
                workflow = workflows[place - 1]
                if whole is not None and whole is not workflow:
                    yield whole
                whole = workflow
                if step_id is None:
                    workflow.input, workflow.request, workflow.load_bytes = output, error, 0
                    workflow.stop = name
                    workflow.generation, last_place, workflow.born, workflow.retried_s, *_ = rest
                    workflow.last_place = last_place or 0
                else:
                    workflow.history.add(StepRecord(step_id, name, output, error, *rest))
                    # guard: records-weigh-nothing
                    workflow.load_bytes += RECORD_BYTES
                workflow.load_bytes += weigh(output, error)
                if enough(workflow):
                    return
        if whole is not None:
            yield whole

    async def states(self, ids: Sequence[str]) -> WorkflowStates:
        return await self._states(ids, ended=False)

    async def same_payload(self, new: NewWorkflow) -> bool:
        parameters = {"workflow_id": new.workflow_id, "input": new.input, "request": new.request}
        try:
            (row,) = await self._rows("same_payload", parameters)
        except DataError:  # JSON that isn't a valid jsonb, such as a number of a million digits
            return False
        return bool(row["same"])

    async def attributes(self, workflow_id: str) -> str | None:
        rows = await self._rows("attributes", {"workflow_id": workflow_id})
        return rows[0]["attributes"] if rows else None

    async def step_name(self, workflow_id: str, step_id: str) -> str | None:
        rows = await self._rows("step_name", {"workflow_id": workflow_id, "step_id": step_id})
        return rows[0]["name"] if rows else None

    async def concerned(
        self, filter: Any, step: str | None, after: tuple[datetime, str] | None, most: int
    ) -> Concerned:
        """See WorkflowStore."""
        created_at, workflow_id = after or (None, None)
        given = {"filter": Jsonb(filter), "step": step, "most": most}
        try:
            (row,) = await self._rows(
                "concerned", {**given, "created_at": created_at, "workflow_id": workflow_id}
            )
        except errors.InvalidParameterValue:
            return Concerned(set(), 0, None)
        last = (row["last_created_at"], row["last_workflow_id"]) if row["number"] == most else None
        return Concerned({(function, name) for function, name in row["concerns"]}, row["number"], last)

    async def ended(self, ids: Sequence[str]) -> WorkflowStates:
        return await self._states(ids, ended=True)

    async def published(self, queries: Sequence[EventQuery]) -> tuple[dict[int, EventsFound], bool]:
        workflows, events, afters, newests = zip(*queries, strict=True)
        parameters = {
            "workflows": list(workflows),
            "events": list(events),
            "afters": list(afters),
            "newests": list(newests),
            "limit": EVENTS_MAX,
        }
        rows, cut = await rows_within(self._pool, _SQL["published"], parameters, PAGE_BYTES_MAX)
        found: dict[int, EventsFound] = {}
        for row in rows:
            place = row["place"] - 1
            events_of_one = found.setdefault(place, EventsFound([], row["ended"])).events
            if row["number"] is not None:
                events_of_one.append(PublishedEvent(row["number"], row["value"]))
        last = max(found, default=None)
        for place, each in found.items():
            # guard: stream-ends-early
            if len(each.events) == EVENTS_MAX or (cut and place == last):
                found[place] = each._replace(ended=False)
        return found, cut

    async def cancel(
        self, workflow_id: str, by: str, why: str | None = None, mode: str = UNDO
    ) -> Status | None:
        """See WorkflowStore. The nonce recognizes an earlier try whose answer was lost.

        Raises NotNow if a trigger or a check of the project refuses it.
        """
        parameters = {
            "workflow_id": workflow_id,
            "nonce": secrets.randbits(63),
            "by": by,
            "why": why,
            "mode": mode,
        }
        try:
            rows = await rows_of(self._pool, _SQL["cancel"], parameters, f"workflow {workflow_id}")
        # guard: refusals-of-cancels-unexplained
        except _REFUSED as error:
            raise NotNow(_refusal(error)) from error
        rows = rows or await self._rows("changed", parameters)
        return Status(rows[0]["status"]) if rows else None

    async def ownership(self, ids: Sequence[str]) -> dict[str, Ownership]:
        """The owners of these workflows; unknown ids are left out. Raises Unreachable."""
        rows = await self._rows("ownership", {"ids": list(ids)})
        return {row["workflow_id"]: Ownership(**{**row, "status": Status(row["status"])}) for row in rows}

    async def counts(self, subject: str, sleeping_max: int, stored_max: int) -> tuple[int, int]:
        """How many of a user's workflows sleep, and how many are stored. Counting stops at the limits.

        Raises Unreachable.
        """
        parameters = {"subject": subject, "sleeping_max": sleeping_max, "stored_max": stored_max}
        (row,) = await self._rows("counts", parameters)
        return row["sleeping"], row["stored"]

    async def show(
        self, workflow_id: str, *, whole: bool = True, brief: bool = False
    ) -> dict[str, Any] | None:
        """All columns of one workflow that people may see; JSON as text. Raises Unreachable.

        Unless `whole`, what it waits for names no other workflow and no person. With `brief`, values longer
        than 4 KiB are null, and `large` says so.
        """
        rows = await self._rows("show", {"workflow_id": workflow_id, "whole": whole, "brief": brief})
        return rows[0] if rows else None

    async def listing(
        self,
        resource: Resource,
        given: Mapping[str, Any],
        after: Sequence[Any] | None = None,
        limit: int | None = None,
    ) -> Page:
        """A page of any resource, in its order; recorded JSON as text. Raises Unreachable, TookTooLong.

        `given`: the filters, the keys of one row and of what it belongs to, and the `subject` whose workflows
        are wanted (None: all). `after`: the order's columns of the previous page's last row. Raises TypeError
        for an unknown filter: ignoring it would return everything.
        """
        known = [*(each.name for each in resource.filters), *resource.keys, "subject"]
        if unknown := given.keys() - set(known):
            raise TypeError(f"{resource.name} have no filter {', '.join(sorted(unknown))}")
        parameters = dict.fromkeys(known) | dict(given)
        for each in resource.filters:
            if each.kind is Kind.PAIR and parameters[each.name] is not None:
                parameters[each.name] = [f"{key}:{value}" for key, value in given[each.name]]
        places = after or [None] * len(resource.order)
        parameters |= {f"after_{name}": place for name, place in zip(resource.order, places, strict=True)}
        filters = any(parameters[each.name] is not None for each in resource.filters)
        limit_s = SEARCH_S if resource is WORKFLOWS and filters else None
        return await self._page(resource.name, parameters, limit, limit_s)

    async def act(
        self, verb: Verb, key: str | None, arguments: Mapping[str, Any], by: str
    ) -> Mapping[str, Any]:
        """Call the function of a verb; returns its row. `by` says who does it.

        Raises NoSuchRow, Unacceptable, NotNow, Unreachable (in doubt: doing it again is no error).
        """
        if verb.check is not None:
            try:
                verb.check(arguments)
            except ValueError as error:
                raise Unacceptable(str(error)) from error
        if any(each.name == KEY for each in verb.arguments):
            # A repetition after a lost answer must have the same key.
            arguments = {KEY: secrets.token_hex(16), **arguments}
        given: dict[str, Any] = {"by": by} if key is None else {verb.noun.key: key, "by": by}
        settings = {each.name for each in verb.arguments if each.setting}
        if settings:
            given["settings"] = Jsonb({name: value for name, value in arguments.items() if name in settings})
        for each in verb.arguments:
            if each.name in arguments and each.name not in settings:
                value = arguments[each.name]
                given[each.name] = Jsonb(value) if each.kind in _AS_JSON else value
        try:
            of = None if key is None else f"{verb.noun.one} {key}"
            row = (await rows_of(self._pool, _call(verb.function, given), given, of))[0]
        except errors.NoDataFound:
            raise NoSuchRow from None
        except errors.InvalidParameterValue as error:
            raise Unacceptable(_reason(error), error.diag.column_name) from error
        except errors.ObjectNotInPrerequisiteState as error:
            raise NotNow(_reason(error)) from error
        # guard: refusals-of-verbs-unexplained
        except _REFUSED as error:
            raise NotNow(_refusal(error)) from error
        return row if verb.complete is None else verb.complete(row)

    async def run_bulk(self) -> BulkRan:
        (row,) = await rows_of(self._pool, _SQL["run_bulk"], {})
        if row["ran"] is not None:
            faults.reach("bulk.after_commit")
        return BulkRan(row["ran"], row["next_s"], row["fault"])

    async def callback(self, link: Link) -> dict[str, Any] | None:
        """A callback: its `function`, `live`, the recorded `output` (JSON), and how often it was `used`.

        None if there is no such workflow. Raises Unreachable.
        """
        keys = message_key(link.step_id, link.mark, "")
        rows = await self._rows("callback", {**link._asdict(), "keys": keys})
        return rows[0] if rows else None

    async def running(self, workflow_id: str) -> list[dict[str, Any]]:
        """The steps that another instance has been running for some seconds: `step_id`, `name`, `attempt`,
        `began_at`, `retry_at`, `instance_id`. Raises Unreachable.
        """
        return await self._rows("running", {"workflow_id": workflow_id})

    async def steps_after(self, workflow_id: str, order: int, limit: int) -> Page:
        """Completions after the `order`-th, with the `value` of published events. Raises Unreachable."""
        return await self._page("steps_after", {"workflow_id": workflow_id, "after": order}, limit)

    async def _rows(self, query: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        return await rows_read(self._pool, _SQL[query], parameters)

    async def _page(
        self, query: str, parameters: dict[str, Any], limit: int | None, limit_s: float | None = None
    ) -> Page:
        """A page. It reads one more row than asked for, to know whether others follow."""
        parameters["limit"] = None if limit is None else limit + 1
        rows, cut = await rows_within(self._pool, _SQL[query], parameters, PAGE_BYTES_MAX, limit_s)
        return Page(rows[:limit], cut or (limit is not None and len(rows) > limit))

    async def _states(self, ids: Sequence[str], *, ended: bool) -> WorkflowStates:
        parameters = {"ids": list(ids), "ended": ended}
        rows, cut = await rows_within(self._pool, _SQL["states"], parameters, LOOK_BYTES_MAX)
        states = {row.pop("asked"): WorkflowState(**{**row, "status": Status(row["status"])}) for row in rows}
        return WorkflowStates(states, cut)


def _call(function: str, given: Iterable[str]) -> Composed:
    """A call with named arguments. Those left out have their defaults."""
    arguments = SQL(", ").join(SQL("{} => {}").format(Identifier(each), Placeholder(each)) for each in given)
    return SQL("select * from outlast.{}({})").format(Identifier(function), arguments)


def _refusal(error: Error) -> str:
    return f"the database refuses it: {error.diag.message_primary}"


def _reason(error: Error) -> str:
    """The message of an exception that a function raised, without the function's name, and its hint."""
    text = (error.diag.message_primary or str(error)).partition(": ")[2] or str(error)
    return f"{text}; {error.diag.message_hint}" if error.diag.message_hint else text
