"""The engine's operations, watched: stubs, counted runs, and points to be killed at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial, wraps
from typing import Any

from outlast.core import kinds
from outlast.core.errors import UsageError
from outlast.core.places import shown_place
from outlast.engine.execution.calls import PendingCall
from outlast.engine.execution.execution import Execution
from outlast.engine.operations.table import OPERATIONS
from outlast.sdk.context import Context, context
from outlast.sdk.definitions import StepDefinition, TransactionDefinition
from outlast.sdk.operations import Operation, Sleep, Step, Transaction
from outlast.testing.doubles import Definition, Doubles, bind_call
from outlast.testing.points import Points
from outlast.testing.seen import EffectSeen, Seen, comparable_text

NEEDS_POSTGRES = (
    "transaction {name} is a conversation with Postgres, and this test has none: let something stand in for "
    "it by `outlast.stub({name}, returns=…)`, or run the tests with `--outlast-pg`, on an embedded Postgres"
)


class WatchedOperations:
    """Begins operations. All processes of a world share one."""

    def __init__(
        self,
        doubles: Doubles,
        seen: Seen,
        points: Points,
        refuse: Callable[[str], None],
        has_postgres: bool,
        *,
        closely: bool,
        hear: Callable[[BaseException], None],
        count: Callable[[str, str, Operation], None],
    ) -> None:
        """`closely`: also record what is called, and with which arguments.

        `hear` gets raised exceptions, `count` each call that isn't recorded.
        """
        self._hear, self._count = hear, count
        self._doubles = doubles
        self._seen = seen
        self._points = points
        self._refuse = refuse
        self._has_postgres = has_postgres
        self._closely = closely
        self._watched: dict[int, tuple[Definition, Any]] = {}

    def begin(self, execution: Execution, call: PendingCall) -> None:
        """See Operations."""
        operation = call.operation
        key = (execution.workflow_id, call.step_id)
        if self._closely:
            self._look_at(execution, key, operation)
        if call.record is None:
            self._count(*key, operation)
        if isinstance(operation, Step):
            call.operation = Step(self._watch_step(operation.definition), operation.args, operation.kwargs)
        elif isinstance(operation, Transaction):
            watched = self._watch_transaction(operation.definition)
            call.operation = Transaction(watched, operation.args, operation.kwargs)
        OPERATIONS.begin(execution, call)

    def _look_at(self, execution: Execution, key: tuple[str, str], operation: Operation) -> None:
        self._seen.operations.setdefault(key, operation)
        if isinstance(operation, Step | Transaction):
            self._seen.inputs.setdefault(
                key, bind_call(operation.definition, operation.args, operation.kwargs)
            )
        elif isinstance(operation, Sleep):
            now_s, duration_s = execution.services.clock.now_s(), operation.duration_s
            seconds = (operation.until_s or now_s) - now_s if duration_s is None else duration_s
            self._seen.inputs.setdefault(key, {"seconds": seconds})

    def _watch_step(self, definition: StepDefinition) -> StepDefinition:
        known = self._watched.get(id(definition))
        if known is not None:
            return known[1]  # type: ignore[no-any-return]

        async def run(*args: Any, **kwargs: Any) -> Any:
            stub = self._doubles.of(definition)
            if stub is not None:
                return await stub.call(definition, context(), args, kwargs)
            if self._doubles.only_stubs:
                raise self._refuse_unstubbed(definition, context())
            if definition.is_async:
                return await definition.fn(*args, **kwargs)
            return await asyncio.to_thread(definition.fn, *args, **kwargs)

        watched = replace(definition, fn=self._watch(definition, run, kinds.STEP), is_async=True)
        self._watched[id(definition)] = (definition, watched)
        return watched

    def _watch(
        self, definition: Definition, run: Callable[..., Coroutine[Any, Any, Any]], kind: str
    ) -> Callable[..., Coroutine[Any, Any, Any]]:
        """`run` between two points, and counted."""
        points, seen, name = self._points, self._seen, definition.name
        place = definition.fn.__code__.co_filename, definition.fn.__code__.co_firstlineno

        @wraps(definition.fn)  # exceptions are looked up where it is defined
        async def watched(*args: Any, **kwargs: Any) -> Any:
            here = context()
            step_id = here.step_id or ""
            of = partial(_name_attempt, name, step_id, here.attempt)
            if points.reach(lambda: f"before {of()}", place):
                await points.here()
            before = comparable_text((args, kwargs)) if self._closely else ""
            effect = EffectSeen(here.workflow_id, step_id, kind, name, here.attempt, definition)
            seen.effects.append(effect)
            points.changed()
            try:
                value = await run(*args, **kwargs)
            except BaseException as error:
                self._hear(error)
                failed = isinstance(error, Exception)
                if failed and points.reach(lambda: f"after {of()} failed, before its record", place):
                    await points.here()
                raise
            if self._closely and kind == kinds.STEP and comparable_text((args, kwargs)) != before:
                seen.mutated.setdefault(place, effect)
            if points.reach(lambda: f"after {of()}, before its record", place):
                await points.here()
            return value

        return watched

    def _watch_transaction(self, definition: TransactionDefinition) -> TransactionDefinition:
        known = self._watched.get(id(definition))
        if known is not None:
            return known[1]  # type: ignore[no-any-return]
        stubbed = self._doubles.of(definition) is not None
        if self._has_postgres and not stubbed and not self._doubles.only_stubs:
            if not definition.is_async:
                return replace(definition, fn=self._count_runs(definition))
            run = definition.fn
        else:

            async def run(tx: Any, *args: Any, **kwargs: Any) -> Any:
                stub = self._doubles.of(definition)
                if stub is None:
                    raise self._refuse_unstubbed(definition, context())
                return await stub.call(definition, context(), args, kwargs)

        watched = replace(definition, fn=self._watch(definition, run, kinds.TRANSACTION), is_async=True)
        if stubbed:
            self._watched[id(definition)] = (definition, watched)
        return watched

    def _count_runs(self, definition: TransactionDefinition) -> Callable[..., Any]:
        """A `def` transaction runs in a thread, where it can be killed only at its COMMIT."""

        def counted(*args: Any, **kwargs: Any) -> Any:
            here = context()
            self._seen.effects.append(
                EffectSeen(
                    here.workflow_id,
                    here.step_id or "",
                    kinds.TRANSACTION,
                    definition.name,
                    here.attempt,
                    definition,
                )
            )
            try:
                return definition.fn(*args, **kwargs)
            except BaseException as error:
                self._hear(error)
                raise

        return counted

    def _refuse_unstubbed(self, definition: Definition, here: Context) -> UsageError:
        """Remember a step without a stand-in: the test fails with that, no matter what the body does."""
        place = self._seen.place_of(here.workflow_id, here.step_id or "")
        where = "" if place is None else f"{shown_place(*place)}: "
        if self._doubles.only_stubs:
            message = f"{where}step {definition.name} runs, and nothing stands in for it: only_stubs is set"
        else:
            message = where + NEEDS_POSTGRES.format(name=definition.name)
        self._refuse(message)
        return UsageError(message)


def _name_attempt(name: str, step_id: str, attempt: int) -> str:
    return f"{name} ({step_id})" if attempt == 1 else f"attempt {attempt} of {name} ({step_id})"
