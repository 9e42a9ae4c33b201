"""What functions can use of the engine: handlers, ASGI apps, steps, and workflows that start others."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from itertools import count
from typing import Any

from outlast.core.callbacks import Link
from outlast.core.clock import monotonic
from outlast.core.errors import (
    KeyReused,
    OutlastError,
    ScheduleNotFound,
    UsageError,
    WorkflowNotFound,
    WrongState,
)
from outlast.core.events import Taken
from outlast.core.failures import globals_of
from outlast.core.maps import BLOCK, ItemEnd, NewMap
from outlast.core.names import actor_of, fresh_workflow_id, same_line, workflow_id_of
from outlast.core.observations import CallUnawaited
from outlast.core.placement import USUAL, Placement
from outlast.core.ports import (
    Catalog,
    Conflicted,
    Fence,
    MessageStore,
    NoSuchRow,
    NotNow,
    TransactionWork,
    Unacceptable,
    WorkflowStore,
)
from outlast.core.records import DeclaredQueue, NewWorkflow, StepRecord, WorkflowState
from outlast.core.verbs import FORK, KEY, PAUSE, UNDO, Verb
from outlast.engine.concurrency import in_thread
from outlast.engine.entrance import Entrance, reaching
from outlast.engine.execution.services import Child, Children, ExecutionHost, Services
from outlast.engine.executor import Executor
from outlast.engine.new_workflows import new_workflow
from outlast.engine.operations.transactions import conflict_pause
from outlast.engine.starts import Starts
from outlast.engine.waits.events import Cursor
from outlast.engine.waits.results import result_of
from outlast.sdk.context import current_caller, known_context, who_acts
from outlast.sdk.definitions import TransactionDefinition, WorkflowDefinition
from outlast.sdk.operations import Args, Kwargs, Map
from outlast.sdk.queues import Queue
from outlast.sdk.running import NextEvent

ENCODED_AT_ONCE = 100
"""So many inputs are encoded before others on the loop have a turn."""


class FunctionHost(ExecutionHost):
    """Is `sdk.running.Host` for functions, and starts the children of executions."""

    def __init__(
        self,
        entrance: Entrance,
        starts: Starts,
        wait: Callable[[str, float | None], Coroutine[Any, Any, WorkflowState | None]],
        runs_here: Callable[[str], bool],
        executor: Executor,
        catalog: Catalog,
        messages: MessageStore,
        services: Services,
        workflows: WorkflowStore,
        changed: Callable[[], None],
        cancel: Callable[[str, str, str | None, str], Coroutine[Any, Any, object]],
        act: Callable[[Verb, str, Mapping[str, Any], str], Coroutine[Any, Any, Mapping[str, Any]]],
    ) -> None:
        """`changed` is called after a verb was done to a schedule."""
        self._entrance = entrance
        self._starts = starts
        self._wait = wait
        self._runs_here = runs_here
        self._executor = executor
        self._catalog = catalog
        self._messages = messages
        self._services = services
        self._workflows = workflows
        self._changed = changed
        self._cancel = cancel
        self._act = act

    async def start(
        self,
        workflow: WorkflowDefinition,
        args: Args,
        kwargs: Kwargs,
        key: str | None,
        placement: Placement = USUAL,
    ) -> str:
        return await self._start(workflow, args, kwargs, key, None, placement)

    async def start_child(
        self, child: Child, workflow: WorkflowDefinition, args: Args, kwargs: Kwargs
    ) -> str:
        return await self._start(workflow, args, kwargs, child.key, child, child.placement)

    async def _start(
        self,
        workflow: WorkflowDefinition,
        args: Args,
        kwargs: Kwargs,
        key: str | None,
        child: Child | None,
        placement: Placement,
    ) -> str:
        function = self._name_served(workflow)
        caller, token = current_caller()
        if child is not None and key is None:
            workflow_id = child.workflow_id
        else:
            keyed_as = await self._starts.keyed_as(function, workflow, caller.id, key)
            workflow_id = workflow_id_of(function if key is None else keyed_as, caller.id, key)
        await self._declare(placement.queue)
        text = workflow.inputs.encode_call(args, kwargs)
        new = self._new(workflow_id, workflow, text, child, placement, key)
        state = await self._starts.start_new(new, workflow, None, token)
        if state is None:
            return workflow_id
        # guard: another-functions-child
        if key is None and not self._is_of(workflow, state):
            raise KeyReused(
                f"{workflow_id} is a workflow of {state.function}, which was started at this place"
            )
        return state.workflow_id

    def _is_of(self, workflow: WorkflowDefinition, state: WorkflowState) -> bool:
        """Whether the workflow runs this function, which is also served under its former names."""
        own = self._name_served(workflow)
        return state.function == own or self._catalog.workflow(state.function) is workflow

    async def start_all(
        self, workflow: WorkflowDefinition, items: Sequence[Any], placement: Placement = USUAL
    ) -> list[str]:
        inputs = await self.inputs_of(workflow, items)
        ids: list[str] = []
        for first in range(0, len(inputs), BLOCK):
            block = inputs[first : first + BLOCK]
            ids += filter(None, await self._start_block(None, workflow, first, block, placement))
        return ids

    async def start_block(
        self, children: Children, workflow: WorkflowDefinition, first: int, inputs: Sequence[str]
    ) -> list[str | None]:
        return await self._start_block(children, workflow, first, inputs, children.placement)

    async def those_of(self, workflow_ids: Sequence[str]) -> list[str]:
        states = await asyncio.gather(*map(self._starts.look, workflow_ids))
        return [each for each, state in zip(workflow_ids, states, strict=True) if state is not None][::-1]

    async def _start_block(
        self,
        children: Children | None,
        workflow: WorkflowDefinition,
        first: int,
        inputs: Sequence[str],
        placement: Placement,
    ) -> list[str | None]:
        function = self._name_served(workflow)
        await self._declare(placement.queue)
        news = [
            self._new(
                fresh_workflow_id(function) if children is None else f"{children.prefix}/{place}",
                workflow,
                text,
                children,
                placement,
            )
            for place, text in enumerate(inputs, first)
        ]
        states = await self._starts.start_block(news, workflow, current_caller()[1])
        return [
            new.workflow_id if state is None else self._id_of(workflow, state)
            for new, state in zip(news, states, strict=True)
        ]

    def _id_of(self, workflow: WorkflowDefinition, found: WorkflowState | KeyReused) -> str | None:
        # guard: another-functions-children
        if isinstance(found, KeyReused) or not self._is_of(workflow, found):
            return None
        return found.workflow_id

    def new_map(self, operation: Map, children: Children, fingerprint: str) -> NewMap:
        caller, _ = current_caller()
        return NewMap(
            children.prefix,
            children.parent,
            self._name_served(operation.workflow),
            caller.id,
            caller.record(),
            children.ends_by_s,
            operation.concurrency,
            operation.tolerate,
            operation.on_fail,
            fingerprint,
            tuple(operation.workflow.aliases),
        )

    def new_items(
        self, children: Children, workflow: WorkflowDefinition, inputs: Sequence[str], keys: Sequence[str]
    ) -> list[NewWorkflow]:
        of = children._replace(parent=children.prefix)
        return [
            self._new(f"{children.prefix}/{key}", workflow, text, of, USUAL)._replace(queue=children.prefix)
            for key, text in zip(keys, inputs, strict=True)
        ]

    async def ended(self, workflow_id: str) -> None:
        with self._executor.awaiting_here():
            await self._wait(workflow_id, None)

    def read_items(self, map_id: str, ids: Sequence[str] | None, first: int, limit: int) -> list[ItemEnd]:
        with reaching():
            return self._services.maps.ends(map_id, ids, first, limit)

    def read_failures(self, map_id: str, after: str, limit: int) -> list[ItemEnd]:
        with reaching():
            return self._services.maps.failures(map_id, after, limit)

    def error_of(self, end: ItemEnd, workflow: WorkflowDefinition) -> Exception:
        state = WorkflowState(
            end.workflow_id, workflow.name, end.status, None, None, end.output, end.error, None
        )
        try:
            result_of(state, globals_of(workflow.fn))
        except Exception as error:  # noqa: BLE001 - this is the item's exception
            return error
        raise AssertionError(end)

    async def inputs_of(self, workflow: WorkflowDefinition, items: Sequence[Any]) -> list[str]:
        inputs: list[str] = []
        for place, item in enumerate(items):
            try:
                inputs.append(workflow.inputs.encode_call((item,), {}))
            except OutlastError as error:
                error.args = (f"item {place}, counted from 0: {error}", *error.args[1:])
                raise
            if place % ENCODED_AT_ONCE == 0:
                await asyncio.sleep(0)
        return inputs

    def _new(
        self,
        workflow_id: str,
        workflow: WorkflowDefinition,
        text: str,
        of: Child | Children | None,
        placement: Placement,
        key: str | None = None,
    ) -> NewWorkflow:
        """The row of a workflow that a function starts. `of` is the workflow that it belongs to."""
        function, (caller, _) = self._name_served(workflow), current_caller()
        return new_workflow(
            workflow_id,
            function,
            workflow,
            text,
            version=self._catalog.version(function),
            now_s=self._services.clock.now_s(),
            key=key,
            subject=caller.id,
            claims=caller.record(),
            parent=None if of is None else of.parent,
            ends_by_s=None if of is None else of.ends_by_s,
            detached=of is not None and of.detached,
            placement=placement,
        )

    def _name_served(self, workflow: WorkflowDefinition) -> str:
        """The name under which the workflow is served. Raises UsageError."""
        function = self._catalog.name_of(workflow)
        if function is None:
            raise UsageError(_why_not_served(workflow.fn))
        return function

    async def _declare(self, queue: Queue | None) -> None:
        """Declare a queue that only this start names."""
        if queue is None or not queue.options:
            return
        if all(each.name != queue.name for each in self._catalog.queues()):
            await self._starts.declare(DeclaredQueue(queue.name, queue.options, ()))

    async def result(self, workflow_id: str, awaiting: AbstractContextManager[None] | None = None) -> Any:
        self._entrance.check()
        state = await self._ended_state(workflow_id)
        if state is None:
            # guard: step-that-waits-works
            with awaiting or self._executor.awaiting_here():
                state = await self._wait(workflow_id, None)
        assert state is not None
        workflow = self._catalog.workflow(state.function)
        return result_of(state, {} if workflow is None else globals_of(workflow.fn))

    def events_of(self, workflow_id: str, event: str, after: int = 0, *, newest: bool = False) -> NextEvent:
        cursor = Cursor(workflow_id, event, after, newest=newest)

        async def next_event(timeout_s: float | None = None) -> Taken:
            self._entrance.check()
            ends_at = None if timeout_s is None else monotonic() + timeout_s
            # guard: step-that-reads-works = nullcontext()
            awaiting = self._executor.awaiting_here()
            return await self._services.events.next(cursor, ends_at, awaiting)

        return next_event

    async def _ended_state(self, workflow_id: str) -> WorkflowState | None:
        """The state of a workflow that has ended; None if it hasn't. Raises WorkflowNotFound."""
        if self._runs_here(workflow_id):
            return None
        state = await self._starts.look(workflow_id)
        if state is None:
            raise WorkflowNotFound(f"there is no workflow {workflow_id!r}")
        return state if state.status.ended else None

    async def first_ended(
        self,
        workflow_ids: Sequence[str],
        timeout_s: float | None,
        awaiting: AbstractContextManager[None] | None = None,
    ) -> str | None:
        self._entrance.check()
        for workflow_id, state in zip(
            workflow_ids, await asyncio.gather(*map(self._ended_state, workflow_ids)), strict=True
        ):
            if state is not None:
                return workflow_id
        waits = {asyncio.ensure_future(self._wait(each, None)): each for each in workflow_ids}
        try:
            with awaiting or self._executor.awaiting_here():
                await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        over = [wait for wait in waits if wait.done() and not wait.cancelled()]
        for wait in over:
            wait.result()  # may raise
        return waits[over[0]] if over else None

    async def cancel(
        self, workflow_id: str, by: str | None = None, mode: str = UNDO, why: str | None = None
    ) -> None:
        self._entrance.check()
        try:
            await self._cancel(workflow_id, by or who_acts(), why, mode)
        except NotNow as error:
            raise WrongState(str(error)) from None

    async def act(
        self, verb: Verb, workflow_id: str, arguments: Mapping[str, Any], by: str | None = None
    ) -> Mapping[str, Any]:
        self._entrance.check()
        by = by or who_acts()
        _check_itself(verb, workflow_id, by)
        with reaching("whether it was done is unknown: "):
            try:
                return await self._act(verb, workflow_id, arguments, by)
            except NoSuchRow:
                raise WorkflowNotFound(f"there is no workflow {workflow_id!r}") from None
            except NotNow as error:
                raise WrongState(str(error)) from None
            except Unacceptable as error:
                # This key was made from the call's place: users can't give one here.
                raise (KeyReused if error.argument == KEY else UsageError)(f"{verb.name}: {error}") from None

    async def attributes(self, workflow_id: str) -> str | None:
        self._entrance.check()
        with reaching():
            return await self._workflows.attributes(workflow_id)

    async def send(self, workflow_id: str, body: str, topic: str, key: str | None) -> int:
        self._entrance.check()
        # Without a key of the caller it gets its own, so that a send whose answer is lost can be repeated.
        key = key or f"call-{secrets.token_hex(16)}"
        with reaching("whether the message was sent is unknown: "):
            message_id = await self._messages.send(workflow_id, body, topic, key)
        self._services.delivery.arrived()
        return message_id

    async def send_again(
        self, fence: Fence, workflow_id: str, body: str, topic: str, key: str, generation: int
    ) -> int | None:
        self._entrance.check()
        with reaching("whether the message was sent is unknown: "):
            message_id = await self._messages.send_again(fence, workflow_id, body, topic, key, generation)
        self._services.delivery.arrived()
        return message_id

    async def answer(self, link: Link, body: str, request: str) -> bool:
        """Send the answer of a `request` to a callback. Returns False if the callback takes no more answers.

        Raises WorkflowNotFound, WorkflowEnded, KeyReused (the same request with another answer),
        NotSerializable, DatabaseUnavailable.
        """
        self._entrance.check()
        with reaching("whether the answer was sent is unknown: "):
            message_id = await self._messages.answer(link, body, request)
        self._services.delivery.arrived()
        return message_id is not None

    async def manage_schedule(
        self,
        verb: Verb,
        name: str | None,
        arguments: Mapping[str, Any],
        workflow: WorkflowDefinition | None = None,
    ) -> Mapping[str, Any]:
        self._entrance.check()
        if workflow is not None:
            arguments = {**arguments, "function": self._name_served(workflow)}
        here = known_context()
        by = "a function" if here is None else f"function {here.function}"
        try:
            with reaching():
                row = await self._workflows.act(verb, name, arguments, by)
        except NoSuchRow:
            raise ScheduleNotFound(f"there is no schedule {name!r}") from None
        except (NotNow, Unacceptable) as error:
            raise UsageError(f"schedules.{verb.name}: {error}") from None
        self._changed()
        return row

    async def transact(self, transaction: TransactionDefinition, args: Args, kwargs: Kwargs) -> Any:
        self._entrance.check()
        results: list[Any] = []

        async def run(connection: Any) -> StepRecord:
            if transaction.is_async:
                result = await transaction.fn(connection, *args, **kwargs)
            else:
                result = await in_thread(
                    self._services.step_threads, transaction.fn, connection, *args, **kwargs
                )
            results[:] = [result]
            return StepRecord("", transaction.name)

        caller = current_caller()[0] if transaction.role == "caller" else None
        work = TransactionWork(
            run, threaded=not transaction.is_async, isolation=transaction.isolation, caller=caller
        )
        for conflicts in count(1):
            try:
                with reaching():
                    await self._services.transactions.transact(work, None)
                break
            except Conflicted as error:
                await conflict_pause(conflicts, error)
        return results[0]

    def block(self, call: Coroutine[Any, Any, Any]) -> Any:
        return self.submit(call).result()

    def submit(self, call: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(call, self._entrance.loop)

    def is_here(self) -> bool:
        return self._entrance.is_here()

    def tell_unawaited(self, name: str, place: str) -> None:
        self._services.observe(CallUnawaited("", "", name, place))


def _why_not_served(fn: Callable[..., Any]) -> str:
    """Why a workflow isn't in the catalog, and the remedy."""
    around, _, name = fn.__qualname__.rpartition(".")
    if not around:
        return f"the workflow {name!r} is not served: it must be in a file under functions/"
    made = "within a function" if around.endswith("<locals>") else f"in the class {around}"
    return (
        f"the workflow {name!r} is defined {made}: another instance couldn't find it by its name. "
        "Define it at the top level of a file under functions/, and give it what it needs as arguments"
    )


def _check_itself(verb: Verb, workflow_id: str, by: str) -> None:
    """Refuse verbs that a workflow would do to itself again and again, without end. Raises UsageError."""
    # guard: pauses-itself
    if verb is PAUSE and by == actor_of(workflow_id):
        raise UsageError(
            f"workflow {workflow_id!r} can't pause itself: what pauses it is cut off too, and would do "
            "so again when it is resumed. Let it wait for a message with receive(), or sleep()"
        )
    # guard: forks-itself
    if verb is FORK and same_line(by, actor_of(workflow_id)):
        raise UsageError(
            f"workflow {workflow_id!r} can't fork itself: its fork would do so too, without end. Start "
            "it again with start(), and with an input by which that ends"
        )
