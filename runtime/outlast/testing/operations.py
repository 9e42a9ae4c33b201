"""The engine's operations, watched: stubs stand in, runs are counted, and there are points to be killed at."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from outlast.core import kinds
from outlast.core.errors import UsageError
from outlast.engine.calls import PendingCall
from outlast.engine.execution import Execution
from outlast.engine.operations.attempts import in_thread
from outlast.engine.operations.table import Table
from outlast.sdk.context import context
from outlast.sdk.operations import Sleep, Step, Transaction
from outlast.testing.doubles import Definition, Doubles, bound
from outlast.testing.points import Points
from outlast.testing.seen import EffectSeen, Seen, told

NEEDS_POSTGRES = (
    "transaction {name} is a conversation with Postgres, and this test has none: let something stand in for it "
    "by `outlast.stub({name}, returns=…)`, or run the tests with `--outlast-pg`, on an embedded Postgres"
)


class WatchedOperations(Table):
    """See engine.execution.Operations."""

    def __init__(self, doubles: Doubles, seen: Seen, points: Points, refuse: Callable[[str], None]) -> None:
        self._doubles = doubles
        self._seen = seen
        self._points = points
        self._refuse = refuse
        self.has_postgres = False

    def begin(self, execution: Execution, call: PendingCall) -> None:
        """See Operations."""
        operation = call.operation
        key = (execution.workflow_id, call.step_id)
        self._seen.operations.setdefault(key, operation)
        if isinstance(operation, Step):
            self._seen.inputs.setdefault(key, bound(operation.definition, operation.args, operation.kwargs))
            call.operation = self._watched_step(execution, call, operation)
        elif isinstance(operation, Transaction):
            self._seen.inputs.setdefault(key, bound(operation.definition, operation.args, operation.kwargs))
            call.operation = self._watched_transaction(execution, call, operation)
        elif isinstance(operation, Sleep):
            now_s = execution.services.clock.now_s()
            self._seen.inputs.setdefault(
                key,
                {"seconds": (operation.until_s or now_s) - now_s}
                if operation.duration_s is None
                else {"seconds": operation.duration_s},
            )
        super().begin(execution, call)

    def _watched_step(self, execution: Execution, call: PendingCall, operation: Step) -> Step:
        definition = operation.definition
        stub = self._doubles.of(definition)

        async def run(*args: Any, **kwargs: Any) -> Any:
            if stub is not None:
                return await stub.call((execution.workflow_id, call.step_id, context().attempt), args, kwargs)
            if self._doubles.only_stubs:
                raise self._unstubbed(execution, definition, call.step_id)
            if definition.is_async:
                return await definition.fn(*args, **kwargs)
            return await in_thread(execution.services.step_threads, definition.fn, *args, **kwargs)

        def told_arguments() -> str:
            return told((operation.args, operation.kwargs))

        watched = self._watched(execution, call, definition, run, stub is None, told_arguments)
        return Step(replace(definition, fn=watched, is_async=True), operation.args, operation.kwargs)

    def _watched(
        self,
        execution: Execution,
        call: PendingCall,
        definition: Definition,
        run: Callable[..., Coroutine[Any, Any, Any]],
        real: bool,
        arguments: Callable[[], str],
    ) -> Callable[..., Coroutine[Any, Any, Any]]:
        points, seen, name = self._points, self._seen, definition.name
        place = definition.fn.__code__.co_filename, definition.fn.__code__.co_firstlineno
        kind = call.operation.kind

        async def watched(*args: Any, **kwargs: Any) -> Any:
            attempt = context().attempt
            of = f"{name} ({call.step_id})" if attempt == 1 else f"attempt {attempt} of {name} ({call.step_id})"
            await points.reach(f"before {of}", place)
            before = arguments() if real else ""
            effect = EffectSeen(execution.workflow_id, call.step_id, kind, name, attempt, definition)
            seen.effects.append(effect)
            points.changed()
            try:
                value = await run(*args, **kwargs)
            except Exception:
                await points.reach(f"after {of} failed, before its record", place)
                raise
            if real and arguments() != before:
                seen.mutated.setdefault((execution.workflow_id, call.step_id), effect)
            await points.reach(f"after {of}, before its record", place)
            return value

        return watched

    def _watched_transaction(
        self, execution: Execution, call: PendingCall, operation: Transaction
    ) -> Transaction:
        definition = operation.definition
        stub = self._doubles.of(definition)
        if stub is None and self.has_postgres and not self._doubles.only_stubs:
            return operation if not definition.is_async else self._on_postgres(execution, call, operation)

        async def run(tx: Any, *args: Any, **kwargs: Any) -> Any:
            if stub is None:
                raise self._unstubbed(execution, definition, call.step_id)
            return await stub.call((execution.workflow_id, call.step_id, context().attempt), args, kwargs)

        watched = self._watched(execution, call, definition, run, False, str)
        return Transaction(replace(definition, fn=watched, is_async=True), operation.args, operation.kwargs)

    def _on_postgres(self, execution: Execution, call: PendingCall, operation: Transaction) -> Transaction:
        definition = operation.definition
        watched = self._watched(execution, call, definition, definition.fn, False, str)
        return Transaction(replace(definition, fn=watched), operation.args, operation.kwargs)

    def _unstubbed(self, execution: Execution, definition: Definition, step_id: str) -> UsageError:
        """Remember that something has no stand-in: the test fails with that, whatever the body does."""
        place = self._seen.place_of(execution.workflow_id, step_id)
        where = "" if place is None else f"{place[0]}:{place[1]}: "
        if self._doubles.only_stubs:
            message = f"{where}step {definition.name} runs, and nothing stands in for it: only_stubs is set"
        else:
            message = where + NEEDS_POSTGRES.format(name=definition.name)
        self._refuse(message)
        return UsageError(message)


WAITS = frozenset({kinds.SLEEP, kinds.RECEIVE})
