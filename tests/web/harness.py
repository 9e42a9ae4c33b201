"""The web floor without the floors below it: its protocols made by hand, called as a server would call it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import httpx

from outlast.core.callbacks import Seals
from outlast.core.clock import Clock
from outlast.core.errors import WorkflowEnded, WorkflowNotFound
from outlast.core.ports import Unreachable
from outlast.core.records import Ownership, RunningStep, WorkflowState
from outlast.core.resources import EVENTS, STEPS, WORKFLOWS, Resource
from outlast.core.resources.resource import Page
from outlast.core.status import Status
from outlast.core.verbs import BULK, Verb
from outlast.store.workflows import PostgresWorkflows
from outlast.web.app import Web
from outlast.web.callers.admission import Admission
from outlast.web.callers.audit import Audit
from outlast.web.callers.credentials import ApiKeys
from outlast.web.callers.key_sets import KeySet
from outlast.web.callers.shares import CallerLimits, Shares
from outlast.web.callers.tokens import Tokens
from outlast.web.dashboard.gate import Gate
from outlast.web.dashboard.pages import Pages
from outlast.web.dashboard.static import Assets
from outlast.web.dashboard.viewers import Keys
from outlast.web.dashboard.views import RAIL
from outlast.web.endpoints import management_app
from outlast.web.http.large_answers import ByteBudget, LargeAnswers

SECRET = "sb_secret_of_the_tests"
JWT_SECRET = "a secret of the tests that signs tokens"
SECRET_HEADERS = {"authorization": f"Bearer {SECRET}"}
START = datetime(2026, 11, 22, 10, 0, 0, 123456, UTC)


def workflow(workflow_id: str, status: str = "PENDING", **columns: Any) -> dict[str, Any]:
    """A row as the store gives it: JSON as text."""
    return {
        "workflow_id": workflow_id,
        "function": workflow_id.partition(":")[0],
        "status": status,
        "input": None,
        "output": None,
        "error": None,
        "response": None,
        "request": None,
        "large": None,
        "idempotency_key": None,
        "subject": None,
        "queue": None,
        "priority": 0,
        "version": None,
        "parent": None,
        "forked_from": None,
        "attributes": None,
        "owner": None,
        "epoch": 1,
        "generation": 1,
        "recovery_attempts": 0,
        "claimable_at": None,
        "waiting_on": None,
        "held": None,
        "deadline": None,
        "created_at": START,
        "started_at": START,
        "updated_at": START,
        "completed_at": None,
        **columns,
    }


def step(step_id: str, completion_order: int | None = 1, **columns: Any) -> dict[str, Any]:
    """A recorded step as the store gives it."""
    return {
        "step_id": step_id,
        "name": "charge",
        "kind": "step",
        "output": None,
        "error": None,
        "attempts": 1,
        "completion_order": completion_order,
        "started_at": START,
        "completed_at": START + timedelta(seconds=1),
        "place": 2**31 - 1 if completion_order is None else completion_order,
        "over_at": None,
        "instance": "vm-1",
        "output_bytes": None,
        "settled": None,
        **columns,
    }


def event(number: int, value: str = "null", name: str = "progress") -> dict[str, Any]:
    """A published event as the store gives it."""
    published_at = START + timedelta(seconds=number)
    return {"number": number, "event": name, "value": value, "published_at": published_at}


@dataclass
class Rows:
    """What is read of workflows. `away` makes every read fail."""

    workflows: list[dict[str, Any]] = field(default_factory=list)
    recorded: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    published: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    runs_elsewhere: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    asked: list[SimpleNamespace] = field(default_factory=list)
    away: bool = False

    def find(self, workflow_id: str) -> dict[str, Any] | None:
        if self.away:
            raise Unreachable("connection refused")
        return next((row for row in self.workflows if row["workflow_id"] == workflow_id), None)

    async def show(self, workflow_id: str, *, whole: bool, brief: bool) -> dict[str, Any] | None:
        return self.find(workflow_id)

    async def listing(
        self,
        resource: Resource,
        given: Mapping[str, Any],
        after: Sequence[Any] | None = None,
        limit: int | None = None,
    ) -> Page:
        self.find("")
        if resource not in (WORKFLOWS, STEPS, EVENTS):
            return Page([dict.fromkeys(column.name for column in resource.columns)], False)
        if resource is STEPS:
            rows = self.recorded.get(given["workflow_id"], [])
        elif resource is EVENTS:
            rows = self.published.get(given["workflow_id"], [])
            rows = [row for row in rows if given["event"] in (None, row["event"])]
        else:
            self.asked.append(SimpleNamespace(after=after, limit=limit, **given))
            rows = sorted(self.workflows, key=_place, reverse=True)
            rows = [row for row in rows if given["subject"] in (None, row["subject"])]
            rows = [row for row in rows if not given["status"] or row["status"] in given["status"]]
        if after is not None:
            last = tuple(after)
            places = [tuple(row[name] for name in resource.order) for row in rows]
            rows = [
                row
                for row, place in zip(rows, places, strict=True)
                if (place < last if resource is WORKFLOWS else place > last)
            ]
        return Page(rows[:limit], limit is not None and len(rows) > limit)

    async def act(self, verb: Verb, *given: Any) -> dict[str, Any]:
        self.find("")
        return dict.fromkeys(column.name for column in verb.answer)

    async def running(self, workflow_id: str) -> list[dict[str, Any]]:
        self.find("")
        return self.runs_elsewhere.get(workflow_id, [])

    async def ownership(self, ids: Sequence[str]) -> dict[str, Ownership]:
        found = {each: row for each in ids if (row := self.find(each)) is not None}
        return {
            each: Ownership(each, row["function"], Status(row["status"]), row["subject"], row["parent"])
            for each, row in found.items()
        }


def _place(row: dict[str, Any]) -> tuple[datetime, str]:
    return row["created_at"], row["workflow_id"]


class Engine:
    """Waits until a test says that a workflow ended; cancels in the rows."""

    held: ClassVar[dict[str, int]] = {}

    instance_id = "this-one"

    def __init__(self, rows: Rows) -> None:
        self.clock = Clock()
        self.seals = Seals(("the secret key of the tests",), "http://localhost")
        self.rows = rows
        self.stopping = False
        self.journal_stalled = False
        self.waits: list[tuple[str, float | None]] = []
        self.waiting = asyncio.Event()
        self.ended = asyncio.Event()
        self.error: Exception | None = None
        self.host = self  # which functions reach
        self.sent: list[tuple[str, str, str, str | None]] = []
        self.runs_here: dict[str, list[RunningStep]] = {}

    def running_steps(self, workflow_id: str) -> list[RunningStep] | None:
        return self.runs_here.get(workflow_id)

    async def wait(
        self, workflow_id: str, timeout_s: float | None, *, or_held: bool = False
    ) -> WorkflowState | None:
        self.waits.append((workflow_id, timeout_s))
        self.waiting.set()
        if self.error is not None:
            raise self.error
        await self.ended.wait()
        return None

    def look(self) -> None: ...

    async def cancel(
        self, workflow_id: str, by: str, why: str | None = None, mode: str = "undo"
    ) -> Status | None:
        row = self.rows.find(workflow_id)
        if row is None or Status(row["status"]).ended:
            return None
        row["status"] = "CANCELLED"
        return Status.CANCELLED

    async def act(self, verb: Verb, *given: Any) -> dict[str, Any]:
        return await self.rows.act(verb, *given)

    async def act_on_many(self, *given: Any) -> dict[str, Any]:
        return await self.rows.act(BULK, *given)

    async def send(self, workflow_id: str, body: str, topic: str, key: str | None) -> int:
        row = self.rows.find(workflow_id)
        if self.error is not None:
            raise self.error
        if row is None:
            raise WorkflowNotFound(workflow_id)
        if Status(row["status"]).ended:
            raise WorkflowEnded(f"the workflow {workflow_id} has ended")
        self.sent.append((workflow_id, body, topic, key))
        return len(self.sent)


@dataclass
class File:
    """A function file."""

    name: str
    version: str = "1"
    error: str | None = None
    served: dict[str, Any] = field(default_factory=dict)

    @property
    def served_as(self) -> str:
        return self.name


async def nothing_measured(accept: str) -> tuple[str, bytes]:
    return "text/plain", b""


class Project:
    """A management application, within the web application that answers its errors.

    `workflows` takes the place of rows made by hand; with it there is a dashboard, for callers by key.
    """

    def __init__(self, workflows: PostgresWorkflows | None = None) -> None:
        self.rows = Rows()
        self.engine = Engine(self.rows)
        self.function_files: list[File] = []
        self.schema: bool | Exception | asyncio.Event = True
        self.schema_looks = 0
        self.schema_asked = asyncio.Event()
        tokens = Tokens(KeySet(None, JWT_SECRET, None), (), ("authenticated",), Clock())
        keys = ApiKeys({"default": SECRET}, {})
        admission = Admission(keys, tokens, verify_jwt=True, of_function=lambda name: None)
        shares = Shares(CallerLimits(100, 100, 1_000, 100), lambda workflow_id: False)
        missing = cast(Any, None)
        pages = Pages(Assets(), RAIL)
        gate = Gate(missing, Keys({"default": SECRET}, None), admission, Audit(lambda seen: None), pages)
        management = management_app(
            engine=cast(Any, self.engine),
            workflows=workflows or cast(Any, self.rows),
            functions=cast(Any, self),
            admission=admission,
            visible_steps=lambda function: frozenset(),
            shares=shares,
            schema_current=self.schema_current,
            failed_apps=list,
            version="1.2.3",
            body_bytes_max=1_000,
            scrape=nothing_measured,
            gate=None if workflows is None else gate,
        )
        bodies = ByteBudget(100_000, 50_000)
        self.app = Web(
            missing, missing, missing, missing, shares, admission, management, bodies, LargeAnswers(bodies)
        )

    def files(self) -> list[File]:
        return self.function_files

    async def schema_current(self) -> bool:
        self.schema_looks += 1
        self.schema_asked.set()
        if isinstance(self.schema, Exception):
            raise self.schema
        if isinstance(self.schema, asyncio.Event):
            await self.schema.wait()
            return True
        return self.schema

    @asynccontextmanager
    async def stranger(self):
        """A client without any key."""
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://project.test") as client:
            yield client

    @asynccontextmanager
    async def client(self):
        """A client with the secret key."""
        async with self.stranger() as client:
            client.headers.update(SECRET_HEADERS)
            yield client
