"""Engines in the test's own process, on a real database, with functions made by the test."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from psycopg.rows import dict_row

from outlast.core.background import end_tasks
from outlast.core.names import fresh_workflow_id
from outlast.core.observations import Observation
from outlast.core.outcomes import value_of
from outlast.core.records import DeclaredQueue, NewWorkflow
from outlast.core.schedules import Declared
from outlast.core.stops import LeaseLost
from outlast.core.versions import FIRST, number_of
from outlast.engine.engine import Engine
from outlast.engine.new_workflows import new_workflow
from outlast.engine.options import EngineOptions
from outlast.functions.options import consumed_queues, declared_queues, schedules_of
from outlast.observe.listeners import Listeners
from outlast.sdk.definitions import WorkflowDefinition
from outlast.sdk.workflows import Workflow
from outlast.store.connections import Database
from outlast.store.instances import RecoveryLimits
from outlast.store.postgres import PostgresStore
from outlast.testing.processes import SEALS, DrivenEngine
from tests.engine.memory import Memory, VirtualTime
from tests.hosts import pause_s
from tests.looks import look

WAIT_S = 30.0

BEGUN_BY_THEN_S = 2.0
"""A deadline that a workflow has surely begun before, on a busy machine too."""


class Functions:
    """A catalog of workflows that the test holds in its hand."""

    def __init__(self, *workflows: Workflow[..., Any]) -> None:
        found = sorted((each.definition for each in workflows), key=lambda each: each.number)
        self._numbered = {(name, each.number): each for each in found for name in (each.name, *each.aliases)}
        self._workflows = {name: each for (name, _), each in self._numbered.items()}

    def workflow(self, function: str) -> WorkflowDefinition | None:
        return self._workflows.get(function)

    def version(self, function: str) -> str | None:
        return "v1"

    def name_of(self, definition: WorkflowDefinition) -> str | None:
        return next((name for (name, _), each in self._numbered.items() if each is definition), None)

    def of_version(self, function: str, version: str | None) -> WorkflowDefinition | None:
        newest = self._workflows.get(function)
        if newest is None or newest.version is None or version is None:
            return newest
        return self._numbered.get((function, number_of(version) or FIRST))

    def workflow_names(self) -> Sequence[str]:
        return list(self._workflows)

    def versions(self) -> dict[str, str]:
        return {name: str(self.version(name)) for name in self.workflow_names()}

    def message_queues(self) -> Mapping[str, Sequence[str]]:
        return consumed_queues(self._workflows)

    def queues(self) -> Sequence[DeclaredQueue]:
        return list(declared_queues(self._workflows).values())

    def schedules(self) -> Sequence[Declared]:
        return schedules_of(self._workflows, dict.fromkeys(self._workflows, "v1"))

    def retentions(self) -> dict[str, float | None]:
        return {}

    def broken_files(self) -> Sequence[str]:
        return ()


@dataclass
class Bench:
    """An engine, its store, and what the test does with them."""

    engine: Engine
    store: PostgresStore
    """Or the MemoryStore of outlast.testing, which is asked for the same."""
    url: str
    instance_id: str
    observations: list[Observation] = field(default_factory=list)
    abandoned: bool = False

    async def start(
        self, workflow: Workflow[..., Any], *args: Any, workflow_id: str | None = None, **kwargs: Any
    ) -> str:
        """Start a workflow under an id of the test's choice."""
        definition = workflow.definition
        new = self.new(definition, args, kwargs, workflow_id=workflow_id)
        await self.engine.starts.start_new(new, definition, None)
        return new.workflow_id

    def new(
        self,
        definition: WorkflowDefinition,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        workflow_id: str | None = None,
        **others: Any,
    ) -> NewWorkflow:
        """The row of a workflow, as a handler starts one."""
        return new_workflow(
            workflow_id or fresh_workflow_id(definition.name),
            definition.name,
            definition,
            definition.inputs.encode_call(args, kwargs or {}),
            version="v1",
            now_s=self.engine.clock.now_s(),
            **others,
        )

    async def result(self, workflow_id: str) -> Any:
        """What a workflow returns. Raises WorkflowError."""
        state = await self.engine.wait(workflow_id, WAIT_S)
        assert state is not None, f"{workflow_id} did not end"
        return value_of(state)

    async def run(self, workflow: Workflow[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Start a workflow and wait for what it returns."""
        return await self.result(await self.start(workflow, *args, **kwargs))

    async def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """What Postgres holds. A test that asks for it is marked `postgres`."""
        assert not isinstance(self.url, Memory), "SQL needs Postgres: mark the test `postgres`"
        return await look(self.url, query, *parameters, rows=dict_row)

    async def row(self, workflow_id: str) -> dict[str, Any]:
        """The row of a workflow."""
        if isinstance(self.url, Memory):
            return self.url.row(workflow_id)
        (row,) = await self.rows("select * from outlast.workflow_status where workflow_id = %s", workflow_id)
        return row

    async def steps(self, workflow_id: str) -> list[dict[str, Any]]:
        """The recorded steps of a workflow, in order of completion."""
        if isinstance(self.url, Memory):
            return self.url.steps(workflow_id)
        query = """
            select * from outlast.operation_outputs where workflow_id = %s order by completion_order, step_id
        """
        return await self.rows(query, workflow_id)

    async def failure(self, workflow_id: str) -> dict[str, Any]:
        """The `error` column of a workflow that has ended as ERROR."""
        await self.until(lambda: self._ended(workflow_id))
        row = await self.row(workflow_id)
        assert row["status"] == "ERROR", row
        return row["error"]

    async def held(self, workflow_id: str) -> dict[str, Any]:
        """The `held` column of a workflow, once it is held."""

        async def held() -> Any:
            return (await self.row(workflow_id))["held"]

        found: dict[str, Any] = await self.until(held)
        return found

    async def _ended(self, workflow_id: str) -> bool:
        return (await self.row(workflow_id))["status"] not in ("ENQUEUED", "PENDING")

    async def suspended(self, workflow_id: str) -> dict[str, Any]:
        """Wait until a workflow has left the memory; its row."""

        async def waiting() -> dict[str, Any] | None:
            row = await self._row_and_later(workflow_id)
            assert row["status"] == "PENDING", row
            return row if row["later"] and workflow_id not in self.live else None

        return await self.until(waiting)

    async def _row_and_later(self, workflow_id: str) -> dict[str, Any]:
        """Its row, and as `later` whether it becomes due only later."""
        if isinstance(self.url, Memory):
            return self.url.row(workflow_id)
        query = "select *, claimable_at > now() as later from outlast.workflow_status where workflow_id = %s"
        (row,) = await self.rows(query, workflow_id)
        return row

    @property
    def live(self) -> dict[str, Any]:
        """The executions in memory."""
        return self.engine._executor.live

    async def at_rest(self) -> None:
        """Wait until no loop of the engine has a round to do: the first ones may come late."""
        await self.until(lambda: all(loop.asleep for loop in self.engine.loops))

    async def until(self, condition: Callable[[], Any]) -> Any:
        """Wait until an (async) condition is true; what it gave."""
        began = time.monotonic()
        async with asyncio.timeout(WAIT_S):
            while True:
                found = condition()
                if asyncio.iscoroutine(found):
                    found = await found
                if found:
                    return found
                await asyncio.sleep(pause_s(time.monotonic() - began))

    async def abandon(self) -> None:
        """As a crash leaves it: nothing more is written, and the lease has run out."""
        self.abandoned = True
        engine = self.engine
        tasks = [loop._task for loop in engine.loops if loop._task is not None]
        executions = list(self.live.values())
        lives = [execution.task for execution in executions]
        for task in tasks:
            task.cancel()
        for execution in executions:
            execution.stop(LeaseLost("crashed"))
        async with asyncio.timeout(WAIT_S):
            left = {task for task in lives if task is not None}
            while left:
                for execution in executions:
                    if execution._ended.done() and execution.task is not None:
                        # It waits for the journal to write its end, or will: it may take this for its body's.
                        execution.task.cancel()
                _, left = await asyncio.wait(left, timeout=0.1)
            await end_tasks(tasks)
        engine._step_threads.shutdown(wait=False, cancel_futures=True)
        engine._body_threads.shutdown(wait=False, cancel_futures=True)
        if isinstance(self.url, Memory):
            self.url.crash(self.instance_id)
            return
        await self.store.close()
        await self.rows(
            "update outlast.instances set lease_until = now() - interval '1 hour' where instance_id = %s",
            self.instance_id,
        )


async def pass_time(bench: Bench, workflow_id: str, seconds: float) -> None:
    """Let all that a suspended workflow waits for lie this much nearer."""
    if isinstance(bench.url, Memory):
        bench.url.pass_time(workflow_id, seconds)
        return
    await bench.rows(
        "update outlast.operation_outputs set output = to_json((output::text)::float8 - %s)"
        " where workflow_id = %s and completion_order is null",
        seconds,
        workflow_id,
    )
    await bench.rows(
        "update outlast.workflow_status set claimable_at = claimable_at - make_interval(secs => %s)"
        " where workflow_id = %s",
        seconds,
        workflow_id,
    )


@contextlib.asynccontextmanager
async def engine_on(
    url: str,
    *workflows: Workflow[..., Any],
    limits: RecoveryLimits | None = None,
    connections: int = 6,
    sessions: bool | None = None,
    spans: Any = None,
    **options: Any,
) -> AsyncIterator[Bench]:
    """An open engine; crashes are made by `abandon`. Of its connections all but two are the pool's.

    `sessions`: False as over a transaction pooler. `spans` hears what is observed, and knows traces.
    """
    instance_id = f"test-{secrets.token_hex(4)}"
    limits = limits or RecoveryLimits()
    in_memory = isinstance(url, Memory)
    if isinstance(url, Memory):
        store = cast(PostgresStore, url.store(instance_id, limits, sessions))
    else:
        store = PostgresStore(Database.at(url, "tests", sessions), instance_id, "test", connections, limits)
    observations: list[Observation] = []
    # Tests put rows of functions that no engine of theirs serves: these are not held meanwhile.
    usual = {"tick_s": 0.2, "drain_s": 5.0, "moment_s": 0.2, "database_wait_s": WAIT_S, "unserved_s": 1e6}
    chosen = EngineOptions(**{**usual, **options})
    engine = (DrivenEngine if in_memory else Engine)(
        instance_id,
        store,
        Functions(*workflows),
        observations.append if spans is None else Listeners(observations.append, spans),
        chosen,
        None,
        SEALS,
        spans,
    )
    if isinstance(engine, DrivenEngine):
        VirtualTime.engines.append(engine)
    await engine.open()
    bench = Bench(engine, store, url, instance_id, observations)
    try:
        yield bench
    finally:
        if not bench.abandoned:
            await engine.close()
            if not in_memory:
                await store.close()
