"""The one door into execution: fresh, woken, recovered and handed-over workflows all run here."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from pydantic_core import from_json

from outlast.core.budget import Taken
from outlast.core.callers import Caller
from outlast.core.claims import ClaimedWorkflow
from outlast.core.clock import monotonic
from outlast.core.errors import CompensationFailed, InvalidInput, InvalidJson, ShuttingDown
from outlast.core.failures import forget_traceback
from outlast.core.holds import INPUT_MISMATCH, Hold, detail_of
from outlast.core.maps import is_map
from outlast.core.names import BATCH
from outlast.core.observations import WorkflowEnded, WorkflowHeld, WorkflowResumed, WorkflowStopped
from outlast.core.origins import comes_from_record, mark_standing, mark_undone, standing_of
from outlast.core.ports import BadData
from outlast.core.records import Ending, RunningStep, Suspension, WorkflowState
from outlast.core.status import Status
from outlast.core.stops import (
    REFUSED_BY_THE_PROJECT,
    Cancelled,
    Diverged,
    HandedOver,
    LeaseLost,
    Stopped,
    Suspended,
    TimedOut,
    stop_document,
)
from outlast.core.tracebacks import described
from outlast.core.tracing import stay_of
from outlast.engine.bodies.async_body import AsyncBody
from outlast.engine.bodies.sync_body import SyncBody
from outlast.engine.endings import InputRefused, batch_success, error_text, failure, refusal_of, success
from outlast.engine.execution.execution import Execution
from outlast.engine.execution.services import Services
from outlast.engine.execution.versions import settle_version
from outlast.engine.operations.table import OPERATIONS
from outlast.engine.waits.ends import Waits
from outlast.sdk.context import Context, MakeClients, Tick, WorkflowLogger, enter_context, known_context
from outlast.sdk.definitions import WorkflowDefinition
from outlast.sdk.environment import enter_environment
from outlast.sdk.requests import Request
from outlast.sdk.running import Line, enter_host, enter_line

FREES_BYTES = 64 * 1024
"""A workflow that used this much memory may have kept others waiting for it."""
SHOWN_AFTER_S = 2.0
SHOWN_MAX = 1_000
"""So many running steps are shown to other instances."""

_NO_CODE = compile("", "", "exec")
TIMER_MAX_S = 30 * 24 * 3600.0

_logger = logging.getLogger("outlast.function")


class Executor:
    """Runs the workflows of this instance, and knows which they are."""

    def __init__(
        self,
        services: Services,
        waits: Waits,
        body_threads: ThreadPoolExecutor,
        version_of: Callable[[str], str | None],
    ) -> None:
        """`version_of` gives the version of a function's code as it is served now."""
        self.live: dict[str, Execution] = {}
        self.suspects: set[str] = set()
        """Workflows that were lost often enough to be run alone."""
        self._services = services
        self._waits = waits
        self._body_threads = body_threads
        self._version_of = version_of
        self._operations = OPERATIONS
        self._idle = asyncio.Event()
        self._idle.set()
        self._awaited: tuple[int, Callable[[], None]] | None = None

    @property
    def suspects_wait(self) -> bool:
        """Whether another suspect may run: all that run make progress, or wait, perhaps for another suspect.

        A suspect whose row refuses its writes counts as waiting, too: its writes may be refused for ever.
        """
        is_aside = self._services.journal.is_aside
        # guard: unwritten-suspect-keeps-others-out = [self.live[each] for each in self.suspects]
        running = [self.live[each] for each in self.suspects if not is_aside(each)]
        # guard: suspects-beside-each-other = True
        return all(each.recording.progressed or each.calls.pause for each in running)

    def ask_again(self, workflow_id: str) -> None:
        """If the workflow runs here, its steps that wait for places under limits ask for them now."""
        if (execution := self.live.get(workflow_id)) is not None:
            for call in list(execution.calls.values()):
                if call.ask_again is not None:
                    call.ask_again()

    def awaiting_here(self) -> AbstractContextManager[None]:
        """Within this block the step that runs here, if any, waits for another workflow's end."""
        here = known_context()
        execution = None if here is None else self.live.get(here.workflow_id)
        if here is None or here.step_id is None or execution is None:
            return nullcontext()
        return execution.calls.awaiting(here.step_id)

    def taken(self) -> Taken:
        """The memory of the workflows here. Those that wait for others free nothing before these run."""
        active = waiting = 0
        for each in self.live.values():
            if each.calls.only_wait:
                waiting += each.load_bytes
            else:
                active += each.load_bytes
        return Taken(active, waiting)

    def launch(
        self,
        claimed: ClaimedWorkflow,
        definition: WorkflowDefinition,
        arguments: dict[str, Any] | None = None,
        *,
        term: int,
        suspect: bool = False,
        unserved: bool = False,
    ) -> None:
        """Run a workflow that this instance has claimed, in this term of its lease.

        `arguments`: its validated input, if known. `unserved`: its version isn't served here, and
        `definition` is of another version.
        """
        _give_deadline(claimed, definition)
        execution = Execution(claimed, definition, self._services, term, self._operations)
        if self._services.tracing is not None:
            self._trace(execution, claimed)
        execution.version = self._version_of(claimed.function)
        execution.unserved = unserved
        execution.began = claimed.version
        former = self.live.get(claimed.workflow_id)
        if former is not None:
            # guard: claimed-again-both-run
            former.stop(LeaseLost("claimed again"))
        self.live[claimed.workflow_id] = execution
        if suspect:
            self.suspects.add(claimed.workflow_id)
        self._idle.clear()
        # A new context: the workflow and its children must see nothing of the caller that started it.
        execution.task = execution.host.create_task(
            self._live(execution, claimed, arguments), context=self._outside.copy()
        )

    @cached_property
    def _outside(self) -> contextvars.Context:
        """A context in which only the host is set."""
        outside = contextvars.Context()
        outside.run(enter_host, self._services.host)
        return outside

    def _trace(self, execution: Execution, claimed: ClaimedWorkflow) -> None:
        stay = execution.stay = stay_of(claimed, self._services.clock.now_s())
        if stay.former is not None:
            self._services.observe(WorkflowResumed(claimed.workflow_id, stay))

    def when_at_most(self, count: int, call: Callable[[], None]) -> None:
        """Call `call` once, when at most `count` workflows run here. Only the last request counts."""
        self._awaited = (count, call)
        self._check_awaited()

    def _check_awaited(self) -> None:
        if self._awaited is not None and len(self.live) <= self._awaited[0]:
            (_, call), self._awaited = self._awaited, None
            call()

    def long_running(self) -> list[RunningStep]:
        """The steps that have run here for over SHOWN_AFTER_S, the oldest first: at most SHOWN_MAX."""
        since_s = self._services.clock.now_s() - SHOWN_AFTER_S
        running = [
            step for each in self.live.values() for step in each.running_steps() if step.began_s <= since_s
        ]
        return sorted(running, key=lambda step: step.began_s)[:SHOWN_MAX]

    async def idle(self) -> None:
        """Wait until no workflow runs here."""
        await self._idle.wait()

    async def _live(
        self, execution: Execution, claimed: ClaimedWorkflow, arguments: dict[str, Any] | None
    ) -> None:
        """A workflow's life on this instance: run the body, write how it ended, wake those who wait."""
        began, waited = monotonic(), 0
        deadline = self._watch_deadline(execution, claimed)
        try:
            ending, cause = await self._run_body(execution, claimed, arguments)
            waited = self._waits.begun
            if isinstance(ending, Hold):
                await self._write_hold(execution, ending)
            elif isinstance(ending, Ending):
                ending, cause = await self._write_ending(execution, ending, cause)
            elif isinstance(ending, Suspension):
                ending, cause = await self._write_suspension(execution, ending)
        finally:
            execution.task = None
            execution.release()
            if deadline is not None:
                deadline.cancel()
            if self.live.get(execution.workflow_id) is execution:
                del self.live[execution.workflow_id]
                if execution.workflow_id in self.suspects:
                    self.suspects.remove(execution.workflow_id)
                    self._services.suspended(self._services.clock.now_s())  # the next suspect's turn
            if claimed.queue is not None:
                self._services.left_queue()
            if execution.load_bytes > FREES_BYTES:
                self._services.suspended(self._services.clock.now_s())  # there is memory for another workflow
            if not self.live:
                self._idle.set()
            self._check_awaited()
            context, execution.context = execution.context, None  # its logger refers back, too
            if context is not None and context.clients is not None:
                await context.clients.close()
        if isinstance(ending, Ending):
            self._tell(execution, claimed, ending, cause, monotonic() - began, waited)
        else:
            self._tell_stopped(execution, monotonic() - began)

    async def _run_body(
        self, execution: Execution, claimed: ClaimedWorkflow, arguments: dict[str, Any] | None
    ) -> tuple[Ending | Suspension | Hold | None, str | None]:
        """The body's outcome: the workflow's end, a suspension or a hold; None if others decide."""
        try:
            await settle_version(execution, claimed)
            keywords = self._enter(execution, claimed, arguments)
            if (reason := execution.reason()) is not None:
                raise reason
            count = (
                len(keywords[str(execution.definition.inputs.whole)]) if execution.definition.batches else 0
            )
            result = await self._call(execution, keywords)
            if (reason := execution.reason() or execution.undoing) is not None:
                raise reason  # the body caught it
            if execution.stood:
                raise execution.stood[0]  # it left that task running
            if not execution.definition.batches:
                return success(execution, result), None
            single = not claimed.workflow_id.endswith(BATCH)
            return batch_success(execution, result, count, single=single), None
        except BaseException as error:  # noqa: BLE001 - any exception of a body must end only this workflow
            try:
                return self._end_of(execution, claimed, error)
            except Exception as refusal:  # noqa: BLE001 - without an end it would run for ever
                told = f"a {type(error).__name__} can't be recorded: {described(refusal)}"
                return failure(RuntimeError(told))
            finally:
                # guard: what-failed-is-kept
                forget_traceback(error)

    def _end_of(
        self, execution: Execution, claimed: ClaimedWorkflow, error: BaseException
    ) -> tuple[Ending | Suspension | Hold | None, str | None]:
        """The same for a body that raised `error`."""
        stopped = execution.reason()
        if isinstance(error, Stopped) and error.code is not None:
            stopped = error
        if stopped is None or stopped is execution.undoing:
            stopped, error = _undone(execution, error)
        if stopped is not None:
            return self._end_stopped(execution, stopped)
        return failure(error, execution.last_timed)

    def _enter(
        self, execution: Execution, claimed: ClaimedWorkflow, arguments: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Set this task's context variables. Returns the body's keyword arguments."""
        inputs = execution.definition.inputs
        enter_environment(execution.definition.environment)
        if arguments is None:
            try:
                arguments, execution.refused = _bind(claimed, execution.definition)
            except Exception as error:  # a user's validator may raise anything
                # guard: inputs-that-cant-be-read-fail = isinstance(error, InputRefused)
                if claimed.history.records:
                    why = (
                        str(error) if isinstance(error, InputRefused) else described(error.__cause__ or error)
                    )
                    raise Diverged(
                        f"the recorded input no longer fits: {why}", reason=INPUT_MISMATCH
                    ) from error
                raise

        def known() -> Context:
            if execution.context is None:
                execution.context = _context_of(execution, claimed, self._services.clients)
            return execution.context

        enter_context(known)
        if not inputs.request_parameters:
            return arguments
        return {**arguments, **dict.fromkeys(inputs.request_parameters, known().request)}

    async def _call(self, execution: Execution, keywords: dict[str, Any]) -> Any:
        definition = execution.definition
        if not definition.is_async:
            in_thread = SyncBody(execution)
            in_thread.begin(self._body_threads, definition.fn, keywords)
            try:
                await execution.drive(in_thread)
                return in_thread.result()
            finally:
                in_thread.release()
        body = AsyncBody(execution)
        enter_line(Line(body, threaded=False))
        body.begin(definition.fn(**keywords))
        try:
            await execution.drive(body)
            return body.result()
        finally:
            body.release()

    def _end_stopped(
        self, execution: Execution, stopped: Stopped
    ) -> tuple[Ending | Suspension | Hold | None, str | None]:
        # guard: diverged-is-failed
        if isinstance(stopped, Diverged):
            return self._hold_of(execution, stopped), None
        if stopped.code is not None:
            status = Status.CANCELLED if isinstance(stopped, Cancelled) else Status.ERROR
            document = stop_document(stopped)
            if undone := execution.undone_by_stop:
                document["undone"] = undone
            return Ending(status, error=error_text(document)), str(stopped)
        if isinstance(stopped, Suspended):
            return execution.suspension, None
        # guard: not-handed-over
        if isinstance(stopped, HandedOver):
            return Suspension(None), None
        return None, None

    def _hold_of(self, execution: Execution, diverged: Diverged) -> Hold:
        """The hold of a workflow whose records don't fit this code: other code must run it."""
        execution.stopped = diverged
        since = datetime.fromtimestamp(self._services.clock.now_s(), UTC).isoformat(timespec="seconds")
        body = getattr(inspect.unwrap(execution.definition.fn), "__code__", _NO_CODE).co_names
        return Hold(detail_of(diverged, execution.version, since, execution.began, body))

    async def _write_hold(self, execution: Execution, hold: Hold) -> None:
        """Give the workflow back for other code. Report it if no instance has such code."""
        held = await self._services.holds.hold(execution.workflow_id, execution.epoch, hold)
        if held is None:
            execution.stopped = LeaseLost("its hold was refused: it was cancelled or runs elsewhere")
        elif held:
            self._services.observe(WorkflowHeld(execution.workflow_id, execution.function, hold.detail))

    async def _write_ending(
        self, execution: Execution, ending: Ending, cause: str | None
    ) -> tuple[Ending | None, str | None]:
        """Make the end durable. Returns the end and its cause; None if it was refused."""
        journal = self._services.journal
        try:
            accepted = await journal.write(execution.workflow_id, execution.epoch, (), ending)
        except BadData as error:
            return await self._write_refusal(execution, error)
        if not accepted:
            execution.stopped = LeaseLost("its end was refused: it was cancelled or runs elsewhere")
        # guard: refused-end-told = ending, cause
        return ending if accepted else None, cause

    async def _write_suspension(
        self, execution: Execution, suspension: Suspension
    ) -> tuple[Ending | None, str | None]:
        """Make the suspension durable. Returns the end if Postgres refuses to store the suspension."""
        journal = self._services.journal
        try:
            records = [*execution.recording.take_attached(), *execution.unsaved]
            await journal.write(execution.workflow_id, execution.epoch, records, suspension)
        except BadData as error:
            return await self._write_refusal(execution, error)
        self._services.suspended(suspension.claimable_s)
        return None, None

    async def _write_refusal(
        self, execution: Execution, refusal: BadData
    ) -> tuple[Ending | None, str | None]:
        """End a workflow as ERROR whose last write Postgres refused. Returns None if it refuses this too.

        Then the row still says that it runs here, and the next beat gives it back.
        """
        message = f"how the workflow went on can't be recorded: {refusal}; {REFUSED_BY_THE_PROJECT}"
        ending = Ending(Status.ERROR, error=error_text({"code": "not_recordable", "message": message}))
        why = "it was cancelled or runs elsewhere"
        try:
            if await self._services.journal.write(execution.workflow_id, execution.epoch, (), ending):
                return ending, message
        except BadData as error:
            why = str(error)
        execution.stopped = LeaseLost(f"its end was refused: {why}")
        return None, None

    def _watch_deadline(self, execution: Execution, claimed: ClaimedWorkflow) -> asyncio.TimerHandle | None:
        if claimed.deadline_s is None:
            return None
        left_s = claimed.deadline_s - self._services.clock.now_s()
        reason = TimedOut(f"{claimed.function} passed its timeout")
        if left_s <= 0:
            # guard: passed-deadline-ignored
            execution.ask_to_stop(reason)
            return None
        if left_s > TIMER_MAX_S:
            return None  # loops refuse such long timers; a suspension or a deploy comes before
        return asyncio.get_running_loop().call_later(left_s, execution.ask_to_stop, reason)

    def _tell(
        self,
        execution: Execution,
        claimed: ClaimedWorkflow,
        ending: Ending,
        cause: str | None,
        duration_s: float,
        waited: int,
    ) -> None:
        self._waits.ended(
            WorkflowState(
                workflow_id=execution.workflow_id,
                function=execution.function,
                status=ending.status,
                fingerprint=None,
                subject=claimed.subject,
                output=ending.output,
                error=ending.error,
                response=ending.response,
                generation=claimed.generation,
            ),
            waited,
        )
        for each in claimed.members:
            self._waits.moved(each)
        self._services.events.written(execution.workflow_id)
        age_s = None if claimed.created_s is None else self._services.clock.now_s() - claimed.created_s
        self._services.observe(
            WorkflowEnded(
                execution.workflow_id,
                execution.function,
                ending.status.value,
                duration_s,
                cause,
                age_s,
                execution.stay,
            )
        )

    def _tell_stopped(self, execution: Execution, duration_s: float) -> None:
        stopped = execution.stopped or LeaseLost()
        if isinstance(stopped, HandedOver) and self._services.stopping():
            self._waits.fail(
                execution.workflow_id,
                ShuttingDown("this instance shuts down; the workflow goes on elsewhere"),
            )
        else:
            self._waits.moved(execution.workflow_id)
        self._services.observe(
            WorkflowStopped(
                execution.workflow_id,
                execution.function,
                type(stopped).__name__,
                str(stopped),
                duration_s,
                execution.stay,
            )
        )


def _undone(execution: Execution, error: BaseException) -> tuple[Stopped | None, BaseException]:
    """The end of a body that ended by itself, or after undoing: its stop, unless something isn't undone."""
    error = _as_it_would_have(execution, error)
    failed = {id(each): each for each in [*_compensations_in(error), *execution.stood]}
    stood = list(failed.values())
    # guard: left-in-sagas-unheard
    if standing := [each for saga in execution.sagas for each in saga.standing()]:
        text = f"the body didn't leave its saga: {len(standing)} could not be undone"
        stood.append(CompensationFailed(text, (), standing))
    if not stood:
        return execution.undoing, error
    return None, stood[0] if len(stood) == 1 else _all_of(stood)


def _as_it_would_have(execution: Execution, error: BaseException) -> BaseException:
    """The error without those failed compensations that were undone by now, or failed again."""
    if not execution.again:
        return error
    if isinstance(error, BaseExceptionGroup):
        return error.derive([_as_it_would_have(execution, each) for each in error.exceptions])
    saga = execution.again.get(error) if isinstance(error, CompensationFailed) else None
    if saga is None or saga.left_by is None:
        return error
    cause = saga.left_by
    if isinstance(cause, asyncio.CancelledError):
        cause = TimeoutError("it was left by a timeout, or cancelled")  # it has no other text
    mark_undone(cause, saga.undone)
    return cause


def _compensations_in(error: BaseException) -> list[CompensationFailed]:
    """The error itself, or those in its groups, that aren't from a record."""
    if isinstance(error, BaseExceptionGroup):
        return [found for each in error.exceptions for found in _compensations_in(each)]
    own = isinstance(error, CompensationFailed) and not comes_from_record(error)
    return [error] if own else []  # type: ignore[list-item]


def _all_of(stood: list[CompensationFailed]) -> CompensationFailed:
    all_of_them = CompensationFailed(
        "; ".join(map(str, stood)),
        [each for one in stood for each in one.undone],
        [each for one in stood for each in one.standing],
    )
    mark_standing(all_of_them, [each for one in stood for each in standing_of(one)])
    return all_of_them


def _give_deadline(claimed: ClaimedWorkflow, definition: WorkflowDefinition) -> None:
    """Set the deadline from the function's own timeout, if the row doesn't have it.

    A start by SQL knows neither the file's version nor its timeout. The timeout counts from the start,
    or from the end of its delay.

    The timeout of a map's item counts from when the item begins, because it waits for others. Its row has the
    deadline of its map.
    """
    if definition.timeout_s is None:
        return
    born = from_json(claimed.born or "{}")
    # guard: waiting-uses-up-an-items-timeout
    if claimed.parent is not None and is_map(claimed.parent):
        ends_by_s = born.get("goes_on_s", claimed.began_s or claimed.created_s) + definition.timeout_s
        claimed.deadline_s = min(ends_by_s, claimed.deadline_s or ends_by_s)
        return
    # A fork with records of a workflow that was started by SQL has the version of that.
    by_sql = (
        claimed.version is None or claimed.retried_s is not None or definition.version is not None
        or "id" in born
    )  # fmt: skip
    if by_sql and claimed.deadline_s is None and claimed.created_s is not None:
        from_s = claimed.retried_s or born.get("counts_from_s", claimed.created_s)
        claimed.deadline_s = from_s + definition.timeout_s


def _bind(
    claimed: ClaimedWorkflow, definition: WorkflowDefinition
) -> tuple[dict[str, Any], dict[int, InvalidInput | InvalidJson]]:
    """The arguments in the recorded input; of a batch, also its invalid inputs. Raises InputRefused."""
    inputs, text = definition.inputs, claimed.input or "{}"
    if inputs.request_parameters and claimed.request is None:
        raise InputRefused(f"{claimed.function} takes a Request: it can be called over HTTP only")
    if not inputs.reads_json:
        return {}, {}
    try:
        if not definition.batches:
            return inputs.bind_json(text), {}
        # A workflow that isn't in a batch came by another queue, or was started before there were batches.
        arguments, refused = inputs.bind_batch(text if claimed.workflow_id.endswith(BATCH) else f"[{text}]")
        if refused and not any(arguments.values()):
            raise refused[1]  # no valid input is left to run
    except (InvalidInput, InvalidJson) as error:
        raise refusal_of(error) from error
    return arguments, refused


def _context_of(execution: Execution, claimed: ClaimedWorkflow, clients: MakeClients | None) -> Context:
    caller = Caller.from_record(claimed.claims)
    request = Request.from_record(claimed.request, claimed.input) if claimed.request else None
    return Context(
        function=claimed.function,
        workflow_id=claimed.workflow_id,
        root_id=execution.root_id,
        logger=WorkflowLogger(_logger, claimed.workflow_id, lambda: execution.replaying),
        request=request,
        caller=caller,
        recovery_attempt=claimed.recovery_attempts,
        tick=None if claimed.tick is None else Tick.from_record(claimed.tick),
        clients=None if clients is None else clients(caller, claimed.token),
        trace_id=None if execution.stay is None else execution.stay.trace_id,
    )
