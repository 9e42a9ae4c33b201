"""What a test sees of one workflow: how it ended, what it did, what it waits for."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from pydantic_core import from_json, to_jsonable_python

from outlast.core import kinds
from outlast.core.errors import UsageError
from outlast.core.events import event_of
from outlast.core.failures import globals_of
from outlast.core.records import StepRecord, WorkflowState
from outlast.core.status import Status
from outlast.engine.waits.results import result_of
from outlast.sdk.operations import Result
from outlast.testing.asking import Asked
from outlast.testing.ends import error_of
from outlast.testing.waiting import Wait, waits_of
from outlast.testing.worlds import World


class Step(NamedTuple):
    """A call of a workflow. `input` is by parameter name; `error` is a text if it failed."""

    step_id: str
    kind: str
    name: str
    input: Any
    output: Any
    error: str | None
    attempts: int


class Event(NamedTuple):
    """What a workflow published."""

    name: str
    data: Any


class Emitted(NamedTuple):
    """What a step emitted in one of its attempts."""

    step_id: str
    name: str
    attempt: int
    data: Any


class Run(Asked):
    """A workflow of the test. In an `async def` test it is available once it was awaited."""

    def __init__(self, world: World, workflow_id: str = "") -> None:
        super().__init__()
        self._world = world
        self._workflow_id = workflow_id

    @property
    def workflow_id(self) -> str:
        """Its id."""
        self._check_asked()
        return self._workflow_id

    @property
    def status(self) -> str:
        """`PENDING`, `SUCCESS`, `ERROR`, `CANCELLED` or `EXHAUSTED`."""
        return self._state().status.value

    @property
    def result(self) -> Any:
        """Its result as callers get it: plain JSON. Raises what it raised, or how else it ended."""
        state = self._state()
        if not state.status.ended:
            raise UsageError(
                f"{self.workflow_id} hasn't ended, it waits for {self.waiting_on}: "
                "`outlast.advance(…)` lets time pass, `outlast.finish(run)` goes to its end"
            )
        return result_of(state, self._scope(state))

    @property
    def error(self) -> Exception | None:
        """What it raised, or how it ended without a result; None while it runs, and after a success."""
        state = self._state()
        return error_of(state, self._scope(state)) if state.status.ended else None

    @property
    def steps(self) -> list[Step]:
        """Its ended steps and transactions, in the order in which it learned of their ends."""
        return [
            self._step(each)
            for each in self._records()
            if each.completion_order is not None and each.kind in (kinds.STEP, kinds.TRANSACTION)
        ]

    @property
    def events(self) -> list[Event]:
        """What it published, in order."""
        found = []
        for each in self._records():
            name = event_of(each.name, each.kind)
            if name is not None:
                found.append(Event(name, _decode(each.output)))
        return found

    @property
    def emitted(self) -> list[Emitted]:
        """What its steps emitted, in order: in all attempts, also those that a crash ended."""
        self._check_asked()
        return [
            Emitted(each.step_id, each.name, each.attempt, from_json(each.value))
            for life in self._world.seen.lives
            for each in life.emitted.get(self._workflow_id, ())
        ]

    @property
    def children(self) -> list[Run]:
        """The workflows it started."""
        return [
            Run._begun(self._world, _decode(each.output))
            for each in self._records()
            if each.kind == kinds.START and each.error is None and each.output is not None
        ]

    @property
    def slept(self) -> timedelta:
        """The total time of its ended sleeps, both `outlast.sleep` and asyncio's."""
        seconds = 0.0
        for each in self._records():
            if each.completion_order is not None and each.kind == kinds.SLEEP:
                given = self._world.seen.inputs.get((self.workflow_id, each.step_id), {})
                seconds += max(0.0, given.get("seconds", 0.0))
        return timedelta(seconds=round(seconds, 6))

    @property
    def waiting_on(self) -> list[Wait]:
        """What it waits for now; empty once it has ended."""
        self._check_asked()
        return waits_of(self._world.process, self._world.database, self._workflow_id)

    @property
    def started_at(self) -> datetime:
        """When it was started, in the test's time."""
        row = self._world.database.workflows[self.workflow_id]
        return datetime.fromtimestamp(row.created_at, UTC)

    def snapshot(self) -> str:
        """All of it as JSON text that is the same in each run, for golden tests."""
        document: dict[str, Any] = {"status": self.status}
        if self.status == Status.SUCCESS.value:
            document["result"] = self.result
        elif (error := self.error) is not None:
            document["error"] = f"{type(error).__name__}: {error}"
        document["steps"] = [
            {key: value for key, value in self._step(each)._asdict().items() if value is not None}
            for each in self._records()
            if each.completion_order is not None
        ]
        document["slept_s"] = self.slept.total_seconds()
        document["waiting_on"] = [{"kind": each.kind, "name": each.name} for each in self.waiting_on]
        return json.dumps(document, indent=2, default=str, ensure_ascii=False) + "\n"

    def __repr__(self) -> str:
        if not self._asked:
            return "<a run that was not awaited>"
        return f"<run of {self._workflow_id}: {self.status}>"

    @classmethod
    def _begun(cls, world: World, workflow_id: str) -> Run:
        run = cls(world, workflow_id)
        run._asked = True
        return run

    def _begin(self, workflow_id: str) -> None:
        """Set the id: the workflow is started."""
        self._workflow_id, self._asked = workflow_id, True

    def _state(self) -> WorkflowState:
        found = self._world.state(self.workflow_id)
        if found is None:
            raise UsageError(f"there is no workflow {self.workflow_id!r}")
        return found

    def _scope(self, state: WorkflowState) -> dict[str, Any]:
        workflow = self._world.catalog.workflow(state.function)
        return {} if workflow is None else globals_of(workflow.fn)

    def _records(self) -> list[StepRecord]:
        records = self._world.database.steps_of(self.workflow_id).values()
        return sorted(records, key=lambda each: (each.completion_order is None, each.completion_order or 0))

    def _step(self, record: StepRecord) -> Step:
        key = (self.workflow_id, record.step_id)
        given = self._world.seen.inputs.get(key)
        operation = self._world.seen.operations.get(key)
        if given is None and isinstance(operation, Result):
            given = {"workflow_id": operation.workflow_id}
        error = None
        if record.error is not None:
            document = from_json(record.error)
            error = f"{document.get('type', document.get('code'))}: {document.get('message', '')}"
        return Step(
            record.step_id,
            record.kind,
            record.name,
            to_jsonable_python(given, fallback=repr),
            _decode(record.output),
            error,
            record.attempts,
        )


def _decode(output: str | None) -> Any:
    return None if output is None else from_json(output)
