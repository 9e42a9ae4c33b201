"""One execution of one workflow: the calls of its body, their results, and the order of delivery.

The execution drives the body. The body runs until it is at rest, receives the next completion, and so on.
On replay the completions are the recorded ones. A call without a record begins only after all recorded
completions were handed over, and after all that the body had received before the call is durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future as ThreadFuture
from contextlib import suppress
from contextvars import Context
from functools import partial
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from outlast.core import kinds
from outlast.core.claims import ClaimedWorkflow
from outlast.core.clock import monotonic
from outlast.core.errors import CompensationFailed, InvalidInput, InvalidJson, ShuttingDown
from outlast.core.failures import CANCELLED, encode_failure
from outlast.core.holds import OUTPUT_MISMATCH
from outlast.core.messages import last_received
from outlast.core.observations import BodyReads, CallUnawaited
from outlast.core.origins import mark_step
from outlast.core.patches import patch_record
from outlast.core.places import place_of_definition
from outlast.core.records import LimitUse, RunningStep, StepRecord, Suspension
from outlast.core.stops import (
    Broken,
    Diverged,
    HandedOver,
    LeaseLost,
    Paused,
    Stopped,
    stop_document,
    stop_of,
)
from outlast.core.tracebacks import text_of
from outlast.core.tracing import Stay
from outlast.engine.execution.arguments import compare_arguments
from outlast.engine.execution.calls import NO_CONTEXT, Answer, Failure, PendingCall, PendingCalls, Success
from outlast.engine.execution.driven import Driven
from outlast.engine.execution.pace import Pace
from outlast.engine.execution.recording import Recording
from outlast.engine.execution.services import Services
from outlast.engine.execution.waiting import Waiting
from outlast.engine.waits.events import Cursor
from outlast.engine.waits.messages import Inbox
from outlast.sdk.context import Context as FunctionContext
from outlast.sdk.definitions import WorkflowDefinition
from outlast.sdk.operations import Operation, Stop, Timer, Undo
from outlast.sdk.running import OpenSaga, StandingSaga, undoes

STOP_GRACE_S = 5.0
"""A stopped execution may take this long to end. Then its remaining tasks are left behind."""


class Operations(NamedTuple):
    """How the operations that bodies call are carried out."""

    begin: Callable[[Execution, PendingCall], None]
    """Begin the operation: it has no recorded completion."""
    value: Callable[[PendingCall, StepRecord], Any]
    """The value that a recorded completion gives the body. Any exception means that it no longer fits."""
    failure: Callable[[Execution, PendingCall, StepRecord], Exception]
    """The exception that a recorded error raises in the body."""
    leave: Callable[[Execution], None]
    """Leave the memory if the body only has long waits. Otherwise record the long waits."""


class Execution:
    """Runs entirely on the host's event loop.

    Attributes that start with the same value in every workflow are class attributes, to save memory.
    """

    stay: Stay | None = None
    """Set only if tracing is on."""
    version: str | None = None
    """The version of the code, if it is known."""
    began: str | None = None
    """The version that the workflow began with, if it is known."""
    unserved = False
    """Whether this instance doesn't serve the workflow's version."""
    context: FunctionContext | None = None
    """Made when the function first asks for it."""
    task: asyncio.Task[None] | None = None
    """The task that runs this execution. Kept here because the loop only holds weak references to tasks."""
    stopped: Stopped | None = None
    undoing: Stopped | None = None
    """The reason why the body now only undoes its sagas and then ends."""
    suspension: Suspension | None = None
    """The suspension with which the workflow leaves the memory."""
    published_ahead = 0
    leave_timer: asyncio.TimerHandle | None = None
    """The timer of the next check whether the workflow can leave the memory."""
    at_rest_since = 0.0
    """When the body came to rest, by the host loop's clock. Only set if it may leave."""
    draining = False
    last_timed: str | None = None
    """The last call handed to the body that can time out."""
    _undone_before = 0
    _live = False
    """Whether all records were replayed."""
    _handed: asyncio.Future[bool] | None = None
    _handed_place = 0
    """The place of the last completion that was handed to the body."""
    _body: Driven | None = None
    _patience: asyncio.TimerHandle | None = None
    _advancing = False
    _scheduled = False
    _paused = False
    _asked: Stopped | None = None
    """The reason for a stop that takes effect once all recorded completions were handed over."""
    _stop_call: PendingCall | None = None

    def __init__(
        self,
        claimed: ClaimedWorkflow,
        definition: WorkflowDefinition,
        services: Services,
        term: int,
        operations: Operations,
    ) -> None:
        self.workflow_id = claimed.workflow_id
        self.function = claimed.function
        self.epoch = claimed.epoch
        self.definition = definition
        self.services = services
        self.term = term
        """The lease term in which the instance last knew that it owns the row."""
        self.load_bytes = claimed.load_bytes
        self.deadline_s = claimed.deadline_s
        born = {} if claimed.born is None else from_json(claimed.born)
        self.root_id: str = born.get("root", claimed.workflow_id)
        # guard: forks-draw-anew = claimed.workflow_id
        self.drawn_as: str = born.get("id", claimed.workflow_id)
        """The workflow whose id seeds the random draws. A fork with records keeps that of its original."""
        self.host = asyncio.get_running_loop()
        self.calls = PendingCalls()
        self.waiting = Waiting()
        """The calls that only wait and hold no resources."""
        self.sagas: dict[OpenSaga, None] = {}
        """The sagas that the body is in, in order."""
        self.stood: list[CompensationFailed] = []
        """Failed compensations that could no longer be reported to the body."""
        self.again: dict[CompensationFailed, StandingSaga] = {}
        """Failed compensations to try again when the body has ended, because the workflow was retried."""
        self.left_running: set[ThreadFuture[Any]] = set()
        """Threads of steps that were given up. What undoes such a step waits until its thread has ended."""
        self.inboxes: dict[str, Inbox] = {}
        """The inboxes of messages, by topic."""
        self.cursors: dict[tuple[str, str, int], Cursor] = {}
        """Readers of other workflows' events, by workflow id, event name and number of the last event."""
        self.received = last_received(claimed.history.received)
        self.refused: dict[int, InvalidInput | InvalidJson] = {}
        """For a batch: the inputs that aren't valid for the function, by place from 1."""
        self.unsaved: list[StepRecord] = []
        """Waits that are recorded together with the suspension."""
        self._operations = operations
        self.generation = claimed.generation
        self.created_s = claimed.created_s or 0.0
        self.undone: list[str] = []
        """The records that note what sagas have undone."""
        self._history = claimed.history
        self._history.begin()
        # guard: time-passes-before-the-body = claimed.created_s
        began_s = claimed.began_s or claimed.created_s or 0.0
        self._goes_on_s: float = born.get("goes_on_s", began_s)
        """When this generation began. Earlier records may be much older."""
        self.recording = Recording(
            self.workflow_id,
            self.epoch,
            services,
            self.calls,
            max(claimed.last_place, self._history.last_place),
            born.get("at_s", began_s),
            self.stop,
            self.advance,
        )
        self._held: list[PendingCall] = []
        """Calls that haven't begun."""
        self._outcomes: list[tuple[PendingCall, Success | Failure]] = []
        """Results of calls since the body last ran."""
        self.unwinding: set[asyncio.Task[Any]] = set()
        """Tasks of calls that were given up, until they have ended."""
        self._ended: asyncio.Future[None] = self.host.create_future()
        self._pace = Pace()
        self.has_sagas = kinds.UNDO in claimed.history.kinds
        """Whether the workflow may have something to undo."""
        if kinds.STOP_ID in claimed.history.records:
            self._meet_stop()
        elif claimed.stop is not None:
            self._asked = stop_of(from_json(claimed.stop))

    # --- its life -----------------------------------------------------------------------------------------

    async def drive(self, body: Driven) -> None:
        """Run `body` until it has ended, or was stopped and unwound."""
        self._body = body
        if self.stopped is not None:
            self.host.call_soon(self._unwind, context=NO_CONTEXT)
        else:
            self.schedule()
        await self._ended
        self._body = None  # the body refers back: only the garbage collector could free such a cycle
        await self._unwound()

    @property
    def replaying(self) -> bool:
        """Whether recorded operations are left to replay."""
        return self._history.replaying

    def running_steps(self) -> list[RunningStep]:
        """The steps that run at this moment."""
        now, now_s = monotonic(), self.services.clock.now_s()
        return [
            RunningStep(
                self.workflow_id,
                self.epoch,
                call.step_id,
                call.operation.name,
                call.attempt,
                now_s - now + (now if call.began is None else call.began),
                None if call.retry_at is None else now_s - now + call.retry_at,
            )
            for call in self.calls.values()
            if call.running
        ]

    def drain(self) -> None:
        """Let running steps end, begin no others, then hand the workflow over."""
        self.draining = True
        self.schedule()

    def reason(self) -> Stopped | None:
        """Why the execution ended before its body did; None if it didn't."""
        return None if type(self.stopped) is Stopped else self.stopped

    def stop(self, reason: Stopped) -> None:
        """End this execution: cancel its calls and refuse later ones. Only the first reason counts."""
        if self.stopped is not None:
            return
        self.stopped = reason
        self.recording.end()
        self._end_calls()
        if self._body is not None:
            self.host.call_soon(self._unwind, context=NO_CONTEXT)
            self._patience = self.host.call_later(STOP_GRACE_S, self._leave_behind, context=NO_CONTEXT)

    def ask_to_stop(self, reason: Stopped) -> None:
        """Let the body undo what it can, then end. A pause undoes nothing. The first reason counts."""
        if not self.has_sagas or isinstance(reason, Paused):
            self.stop(reason)
        elif self._asked is None and self._stop_call is None:
            self._asked = reason
            self.schedule()

    def refusal(self, context: Context) -> Stopped | None:
        """Why a call that the body makes in this context is refused; None if it is allowed."""
        # guard: goes-on-after-its-stop
        return self.stopped or (None if self.undoing is None or undoes(context) else self.undoing)

    def tell_unawaited(self, name: str, place: str) -> None:
        """See `sdk.running.Body`. Not reported after a stop, nor again on replay."""
        if self.reason() is None and not self.replaying:
            self.services.observe(CallUnawaited(self.workflow_id, self.function, name, place))

    def tell_read(self, what: str, place: str, instead: str) -> None:
        """Report that the body reads a clock or a source of randomness. Not reported again on replay."""
        if not self.replaying:
            self.services.observe(BodyReads(self.function, what, place, instead))

    def _end_calls(self) -> None:
        for call in self.calls.values():
            self._end_call(call)

    def _end_call(self, call: PendingCall) -> None:
        if (task := call.end()) is not None:
            self.unwinding.add(task)
            task.add_done_callback(partial(self._call_ended, call))
        elif call.limit is not None:
            self._leave_limit(call)

    def _call_ended(self, call: PendingCall, task: asyncio.Task[Any]) -> None:
        self.unwinding.discard(task)
        call.task = None  # the task's traceback refers back to the call
        if task.cancelled():
            # Python 3.14's asyncio.wait refers to the task: an error left in it would keep both in memory.
            # guard: what-was-cancelled-is-kept
            with suppress(asyncio.CancelledError):
                task.exception()
        if call.limit is not None:
            self._leave_limit(call)

    def _leave_limit(self, call: PendingCall) -> None:
        """Free the place of a call that was given up or ends with its execution, once no thread runs."""
        thread = next(iter(self.left_running), None)
        if thread is not None:
            thread.add_done_callback(lambda _: self._leave_limit_from_thread(call))
            return
        name, call.limit = call.limit, None
        # A call that waits for a place keeps its turn if its workflow only leaves the memory.
        if name is not None and (self.stopped is None or call.began is not None):
            # guard: given-up-keeps-its-place
            self.services.limits.leave(LimitUse(name, self.workflow_id, self.epoch, call.step_id))

    def _leave_limit_from_thread(self, call: PendingCall) -> None:
        with suppress(RuntimeError):  # the host's loop is closed
            self.host.call_soon_threadsafe(self._leave_limit, call)

    def _unwind(self) -> None:
        if self._body is None:
            return  # the body ended meanwhile
        self._body.unwind()
        self.check_over()

    def check_over(self) -> None:
        """Check whether the body has ended. Then all its pending calls and tasks end too."""
        if self._body is None or not self._body.over or self._ended.done():
            return
        self._end_calls()
        if self.stopped is None:
            self.stopped = Stopped("the workflow has ended")
            try:
                self._history.check_all_reached()
            except Diverged as reason:
                reason.place = place_of_definition(self.definition.fn)
                self.stopped = reason
            self._body.unwind()
        self._leave_behind()

    def _leave_behind(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)
        self.recording.end()
        for timer in (self._patience, self.leave_timer):
            if timer is not None:
                timer.cancel()  # the timer would keep this execution in memory

    def release(self) -> None:
        """Drop references that form cycles, so that this execution is freed without the garbage collector."""
        # guard: what-waited-is-kept
        self.waiting.forget()
        self._stop_call = None
        for held in (self.calls, self.sagas, self.again):
            held.clear()
        for reason in (self.stopped, self.undoing):
            if reason is not None:
                reason.__traceback__ = None  # the frames of the traceback refer to this execution

    async def _unwound(self) -> None:
        """Wait until the cancelled tasks have ended, but not longer than STOP_GRACE_S."""
        if self.unwinding:
            await asyncio.wait(set(self.unwinding), timeout=STOP_GRACE_S)

    # --- what the body does -------------------------------------------------------------------------------

    def make(self, operation: Operation, step_id: str, answer: Answer, context: Context) -> PendingCall:
        """Make a call of the body. Raises Stopped."""
        if (refusal := self.refusal(context)) is not None:
            raise refusal
        if isinstance(operation, Undo):
            self.has_sagas = True
            self._note(operation, step_id)
        record = None if self._live else self._find_record(operation, step_id)
        if record is None and isinstance(operation, Timer):
            operation = self._anew(operation)
        # guard: transactions-before-their-patch
        if operation.kind == kinds.TRANSACTION and self.recording.attached and not self.replaying:
            self._handed = self.recording.write()  # the transaction's record has a commit of its own
        call = PendingCall(step_id, operation, answer, context, record, self._handed, self._handed_place)
        self.calls[step_id] = call
        if record is None or record.completion_order is None:
            self._held.append(call)  # it begins once the body is at rest and all records were handed over
        return call

    def _anew(self, timer: Timer) -> Timer:
        """Count a new timeout from the last retry or fork: the body's time may be older."""
        # guard: timeouts-over-before-the-retry
        if self.recording.now_s < self._goes_on_s:
            return Timer(self._goes_on_s + timer.when_s - self.recording.now_s)
        return timer

    def _note(self, operation: Undo, step_id: str) -> None:
        if operation.name == Undo.UNDONE:
            self.undone += operation.note
        else:
            operation.note.append(step_id)

    def stands(self, saga: StandingSaga, error: CompensationFailed, *, again: bool, unheard: bool) -> None:
        """See Body. `unheard`: the body has ended, so the error can't be reported to it."""
        if again:
            self.again[error] = saga
        # guard: stands-in-silence
        elif unheard or self.undoing is not None:
            self.stood.append(error)

    @property
    def undone_by_stop(self) -> list[str]:
        """The records of what was undone since the body was stopped."""
        return [] if self.undoing is None else self.undone[self._undone_before :]

    def _find_record(self, operation: Operation, step_id: str) -> StepRecord | None:
        """The record of this call, if there is one. Raises Diverged."""
        self._live = not self.replaying
        if self._live:
            return None
        try:
            former = getattr(operation, "former_names", ())
            record = self._history.meet(step_id, operation.kind, operation.name, former)
            if record is not None:
                compare_arguments(self.services, self.workflow_id, self.function, operation, record)
        except Diverged as reason:
            if reason.place is None and self._body is not None:
                reason.place = self._body.place(calling=True)
            self.stop(reason)
            raise
        return record

    def patched(self, name: str) -> bool:
        """Whether the body takes the new path of a code change: not if it passed this place before it.

        The answer is written with the next record: until then a replay gives the same answer. But if a
        completion is pending that the body hasn't received, a replay would take this for an old place.
        Then the body's next call waits for a commit of the answer itself. Raises Stopped.
        """
        if (stopped := self.reason()) is not None:
            raise stopped
        answer = self._history.patches.get(name)
        if answer is None:
            # guard: patched-on-replay = True
            answer = not self.replaying
            self._history.patches[name] = answer
            self.recording.attach(patch_record(name, self._handed_place, answer=answer))
            # guard: patch-behind-its-effects = False
            ahead = answer and bool(self.recording.completions.places)
            if ahead:
                self._handed = self.recording.write()
        return answer

    def give_up(self, call: PendingCall) -> bool:
        """The body no longer wants a call. Returns whether the call is given up at once.

        A transaction isn't: it may be committing. The body receives its outcome in order.
        """
        if call.operation.kind == kinds.TRANSACTION and self.stopped is None:
            recorded = call.record is not None and call.record.completion_order is not None
            if call.running and not (call.asked or call.settled):
                self._give_up_in_doubt(call)
            # guard: given-up-in-doubt
            if recorded or call.running or call.settled:
                call.asked = True
                return False
        self._forget(call)
        self._end_call(call)
        if self.draining:
            self.schedule()
        return True

    def _give_up_in_doubt(self, call: PendingCall) -> None:
        self._end_call(call)
        call.running = False
        self.recording.complete(call, error=CANCELLED, certain=True)

    # --- its order ----------------------------------------------------------------------------------------

    def schedule(self) -> None:
        """Let the body go on soon."""
        if not self._scheduled and not self._advancing and not self._ended.done():
            self._scheduled = True
            self.host.call_soon(self.advance, context=NO_CONTEXT)

    def advance(self) -> None:
        """Hand the body one completion after another, as long as there are any.

        Only plain callbacks of the host's loop call this, never a task.
        """
        self._scheduled = False
        body = self._body
        if body is None or self._advancing or self.stopped is not None or self._ended.done():
            return
        self._advancing = True
        again: bool | None = False
        try:
            if self._outcomes:
                self._record_outcomes()
            again = self._go_on(body)
        except Stopped as reason:
            self.stop(reason)
        except Exception as error:  # noqa: BLE001 - an engine fault must not leave the workflow hanging
            self.stop(Broken(f"it can't go on: {error!r}"))
        finally:
            self._advancing = False
        if again:
            self.schedule()
        elif again is None:
            self.check_over()

    def _go_on(self, body: Driven) -> bool | None:
        """Let the body run as long as it can. Returns whether it needs another turn; None if it has ended."""
        self._pace.begin_turn()
        at_rest = body.run(self._hand_over_next, self._pace.waited_for)
        if body.over:
            return None
        if at_rest is None or self.stopped is not None:
            return False
        if self._pace.cut_short:
            return True
        if at_rest:
            self._pace.rested()
            if self.undoing is not None and not self._undoes:
                self.stop(self.undoing)  # the body caught its stop, and waits for something else
                return False
            if self.draining or self.waiting.calls:
                self._leave_if_at_rest()
            return False
        pause_s = self._pace.went_on()
        if pause_s and not self._paused:
            self._paused = True
            self.host.call_later(pause_s, self._resume, context=NO_CONTEXT)
        return not pause_s

    @property
    def _undoes(self) -> bool:
        """Whether the body still waits for an undo, or for the outcome of a transaction."""
        return any(undoes(call.context) or call.asked or call.settled for call in self.calls.values())

    def _meet_stop(self) -> None:
        """The stop is already recorded: it is delivered at its recorded place."""
        record = self._history.meet(kinds.STOP_ID, kinds.STOP, Stop.name)
        call = PendingCall(kinds.STOP_ID, Stop(), _StopAnswer(self), NO_CONTEXT, record, None)
        self.calls[call.step_id] = self._stop_call = call

    def _record_stop(self, reason: Stopped) -> None:
        """Record the stop, after all earlier completions have their places."""
        self._asked = None
        call = PendingCall(kinds.STOP_ID, Stop(), _StopAnswer(self), NO_CONTEXT, None, self._handed)
        self.calls[call.step_id] = self._stop_call = call
        document = stop_document(reason)
        # guard: stop-not-recorded
        self.recording.complete(call, to_json(document).decode(), value=document, attempts=0)

    def undo(self, document: dict[str, Any]) -> None:
        """The stop was delivered: from now on the body only undoes."""
        self.undoing = stop_of(document)
        self._undone_before = len(self.undone)
        if self._body is not None:
            self._body.interrupt(self.undoing)

    def _resume(self) -> None:
        self._paused = False
        self.schedule()

    def _hand_over_next(self) -> bool:
        """Hand over the next completion. Returns False if there is none, or if others must have a turn."""
        body = self._body
        if self.stopped is not None or body is None or body.over:
            return False
        # guard: recorded-order-ignored
        if self._history.left:
            if self._pace.turn_is_over():
                return False
            try:
                record = self._history.take()
            except Diverged as reason:
                reason.place = body.place(calling=False)
                raise
            self._hand_over(self.calls.get(record.step_id), record, None, None)
            return True
        if self._asked is not None:
            self._record_stop(self._asked)
        if self._held and not self.draining and (self._stop_call is None or self.undoing is not None):
            held, self._held, begin = self._held, [], self._operations.begin
            for call in held:
                if self.calls.get(call.step_id) is call and self.stopped is None:
                    begin(self, call)
        completions = self.recording.completions
        if not completions.places or self._pace.turn_is_over() or (completion := completions.next()) is None:
            return False
        call, record, value, write = completion
        self._hand_over(call if self.calls.get(call.step_id) is call else None, record, value, write)
        return True

    def _hand_over(
        self, call: PendingCall | None, record: StepRecord, value: Any, write: asyncio.Future[bool] | None
    ) -> None:
        """Hand a completion to the body. If the body gave the call up, only set the body's time."""
        if record.at_s is not None and record.at_s > self.recording.now_s:
            self.recording.now_s = record.at_s
        # guard: called-before-all
        self._handed_place = record.completion_order or self._handed_place
        if call is None:
            return
        self._pace.rested()
        if write is not None:
            self._handed = write
        if record.error is None and call.record is record:
            try:
                value = self._operations.value(call, record)
            except Exception as error:  # a user's validator may raise anything
                raise Diverged(
                    f"the recorded output of step {record.step_id} {record.name!r} no longer fits its "
                    f"annotation: {text_of(error)}",
                    reason=OUTPUT_MISMATCH,
                    step=record.step_id,
                    recorded=(record.kind, record.name),
                    called=(call.operation.kind, call.operation.name),
                    place=None if self._body is None else self._body.place(calling=False),
                ) from error
        self._forget(call)
        if record.kind in kinds.TIMED:
            self.last_timed = record.step_id
        if record.error is None:
            call.answer.set_result(value)
        elif record.error == CANCELLED:
            call.answer.give_up()
        else:
            failure = self._operations.failure(self, call, record)
            mark_step(failure, record.step_id)
            call.answer.set_exception(failure)

    def _forget(self, call: PendingCall) -> None:
        self.calls.pop(call.step_id, None)
        if call.timer is not None:  # a timer that has fired refers to the call, too
            call.timer.cancel()
        if call.wake_s is not None:
            self.waiting.drop(call)

    def performed(self, call: PendingCall, outcome: Success | Failure) -> None:
        """Keep a call's result until the body's next turn: its next calls can then join the commit."""
        self._outcomes.append((call, outcome))
        self.schedule()

    def _record_outcomes(self) -> None:
        outcomes, self._outcomes = self._outcomes, []
        for call, outcome in outcomes:
            if self.stopped is not None:
                return
            if isinstance(outcome, Failure):
                self._record_failure(call, outcome.error)
            elif outcome.record is None:
                self.recording.complete(call, outcome.text, value=outcome.value, attempts=call.attempt)
            elif outcome.record.completion_order in call.places:
                call.record = outcome.record
                self.recording.fill(call, outcome.record, None, None)
            else:
                self.stop(LeaseLost(f"{call.operation.name!r} was recorded by another execution"))

    def _record_failure(self, call: PendingCall, error: Exception) -> None:
        # guard: shutdown-is-the-childs-error
        # guard: steps-shut-down-for-ever without 2
        if isinstance(error, ShuttingDown) and self.services.stopping():  # otherwise a step has raised it
            call.running = False  # the instance shuts down: the error is no result of the call
            self.drain()
            return
        in_doubt = call.operation.kind == kinds.TRANSACTION
        self.recording.complete(call, error=encode_failure(error), attempts=call.attempt, certain=in_doubt)

    def _leave_if_at_rest(self) -> None:
        """Nothing more can be handed to the body now: check whether the workflow can leave."""
        if self.draining:
            # guard: drains-wait-for-the-next-attempt = not any(call.running for call in self.calls.values())
            if not any(call.running and call.retry_at is None for call in self.calls.values()):
                self.stop(HandedOver("the instance shuts down"))
        else:
            self._operations.leave(self)


class _StopAnswer:
    """The answer of a stop's call."""

    __slots__ = ("_execution",)

    def __init__(self, execution: Execution) -> None:
        self._execution = execution

    def set_result(self, value: Any, /) -> None:
        self._execution.undo(value)

    def set_exception(self, error: BaseException, /) -> None: ...
    def give_up(self) -> None: ...
