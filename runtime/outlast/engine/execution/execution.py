"""One execution of one workflow: what its body called, what that came to, and in which order it gets it.

The body is driven from here: it runs until it is at rest, is handed the next completion, and so on. On replay
the completions are the recorded ones. A call without a record begins once all that is recorded was handed
over, and never before all that its body had been handed when it called is durable.
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
"""So long may what was stopped take to end. Then it is left where it stands."""


class Operations(NamedTuple):
    """How the operations of bodies are done."""

    begin: Callable[[Execution, PendingCall], None]
    """Do it, as it has no completion on record."""
    value: Callable[[PendingCall, StepRecord], Any]
    """What a recorded completion gives the body. Whatever it raises says that it no longer fits."""
    failure: Callable[[Execution, PendingCall, StepRecord], Exception]
    """What a recorded error raises in the body."""
    leave: Callable[[Execution], None]
    """Leave the memory if the body only waits, for long; else record what it waits for."""


class Execution:
    """All of it runs on the host's event loop.

    What it begins with in every workflow stands here once, not in each.
    """

    stay: Stay | None = None
    """Where there are traces."""
    version: str | None = None
    """Of the code, as far as it is known."""
    began: str | None = None
    """The version as which its workflow began, if that is known."""
    unserved = False
    """Whether its version isn't served here."""
    context: FunctionContext | None = None
    """Made when the function asks for it."""
    task: asyncio.Task[None] | None = None
    """Its life; kept here, since the loop itself keeps tasks weakly."""
    stopped: Stopped | None = None
    undoing: Stopped | None = None
    """Why the body only undoes from now on, and then ends."""
    suspension: Suspension | None = None
    """How it left the memory."""
    published_ahead = 0
    leave_timer: asyncio.TimerHandle | None = None
    """Until it looks whether it can leave the memory."""
    at_rest_since = 0.0
    """By the clock of its loop, where it may leave."""
    draining = False
    last_timed: str | None = None
    """The last call whose time may have been over when the body was handed what it came to."""
    _undone_before = 0
    _live = False
    """Whether nothing recorded is left."""
    _handed: asyncio.Future[bool] | None = None
    _handed_place = 0
    """Of the last completion that the body was handed."""
    _body: Driven | None = None
    _patience: asyncio.TimerHandle | None = None
    _advancing = False
    _scheduled = False
    _paused = False
    _asked: Stopped | None = None
    """Why the body is to undo and end, as soon as all that is recorded was handed over."""
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
        """Of the lease, in which it was last known that the row is this instance's."""
        self.load_bytes = claimed.load_bytes
        self.deadline_s = claimed.deadline_s
        born = {} if claimed.born is None else from_json(claimed.born)
        self.root_id: str = born.get("root", claimed.workflow_id)
        # guard: forks-draw-anew = claimed.workflow_id
        self.drawn_as: str = born.get("id", claimed.workflow_id)
        """The workflow whose random draws are its body's: of a fork with records the one that they are of."""
        self.host = asyncio.get_running_loop()
        self.calls = PendingCalls()
        self.waiting = Waiting()
        """Those of them that wait, and hold nothing."""
        self.sagas: dict[OpenSaga, None] = {}
        """Those that the body is in, in their order."""
        self.stood: list[CompensationFailed] = []
        """What they could not undo when the body could no longer hear of it."""
        self.again: dict[CompensationFailed, StandingSaga] = {}
        """What they could not undo, and is tried again once the body has ended: its workflow was retried."""
        self.left_running: set[ThreadFuture[Any]] = set()
        """What runs in threads though it was given up: what undoes it waits for its end."""
        self.inboxes: dict[str, Inbox] = {}
        """Of messages, by topic."""
        self.cursors: dict[tuple[str, str, int], Cursor] = {}
        """In events of other workflows, by id, name and the number of the last one that was taken."""
        self.received = last_received(claimed.history.received)
        self.refused: dict[int, InvalidInput | InvalidJson] = {}
        """Of a batch: inputs that are none for the function, by place from 1."""
        self.unsaved: list[StepRecord] = []
        """Waits that are recorded with the suspension."""
        self._operations = operations
        self.generation = claimed.generation
        self.created_s = claimed.created_s or 0.0
        self.undone: list[str] = []
        """The notes of what sagas have undone."""
        self._history = claimed.history
        self._history.begin()
        # guard: time-passes-before-the-body = claimed.created_s
        began_s = claimed.began_s or claimed.created_s or 0.0
        self._goes_on_s: float = born.get("goes_on_s", began_s)
        """When it began in this generation. What is recorded before may be of long ago."""
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
        """Calls that are to be begun."""
        self._outcomes: list[tuple[PendingCall, Success | Failure]] = []
        """What calls came to since the body last went on."""
        self.unwinding: set[asyncio.Task[Any]] = set()
        """Tasks of calls that were given up, until they have ended."""
        self._ended: asyncio.Future[None] = self.host.create_future()
        self._pace = Pace()
        self.has_sagas = kinds.UNDO in claimed.history.kinds
        """Whether it may have something to undo."""
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
        self._body = None  # which refers to this: without the collector neither would be freed
        await self._unwound()

    @property
    def replaying(self) -> bool:
        """Whether the body still does what it did before."""
        return self._history.replaying

    def running_steps(self) -> list[RunningStep]:
        """What it runs at this moment."""
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
        """Let running steps end, begin no other, then hand over."""
        self.draining = True
        self.schedule()

    def reason(self) -> Stopped | None:
        """Why the execution ended before its body did; None if it didn't."""
        return None if type(self.stopped) is Stopped else self.stopped

    def stop(self, reason: Stopped) -> None:
        """End this execution: what it does is cancelled, later calls are refused. The first reason counts."""
        if self.stopped is not None:
            return
        self.stopped = reason
        self.recording.end()
        self._end_calls()
        if self._body is not None:
            self.host.call_soon(self._unwind, context=NO_CONTEXT)
            self._patience = self.host.call_later(STOP_GRACE_S, self._leave_behind, context=NO_CONTEXT)

    def ask_to_stop(self, reason: Stopped) -> None:
        """Let the body undo what it can, and end; what is paused undoes nothing. The first reason counts."""
        if not self.has_sagas or isinstance(reason, Paused):
            self.stop(reason)
        elif self._asked is None and self._stop_call is None:
            self._asked = reason
            self.schedule()

    def refusal(self, context: Context) -> Stopped | None:
        """Why a call of the body that is made in this context is refused; None if it isn't."""
        # guard: goes-on-after-its-stop
        return self.stopped or (None if self.undoing is None or undoes(context) else self.undoing)

    def tell_unawaited(self, name: str, place: str) -> None:
        """See `sdk.running.Body`. What a stop threw away is no slip; of a replay it was told once."""
        if self.reason() is None and not self.replaying:
            self.services.observe(CallUnawaited(self.workflow_id, self.function, name, place))

    def tell_read(self, what: str, place: str, instead: str) -> None:
        """The body reads a clock, or chance. Of a replay it was told the first time."""
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
        call.task = None  # its traceback refers back to the call
        if task.cancelled():
            # Python 3.14's asyncio.wait refers to the task: with its error left in it neither were freed.
            # guard: what-was-cancelled-is-kept
            with suppress(asyncio.CancelledError):
                task.exception()
        if call.limit is not None:
            self._leave_limit(call)

    def _leave_limit(self, call: PendingCall) -> None:
        """It was given up, or the execution ends: its place is free once nothing of it runs any more."""
        thread = next(iter(self.left_running), None)
        if thread is not None:
            thread.add_done_callback(lambda _: self._leave_limit_from_thread(call))
            return
        name, call.limit = call.limit, None
        # What waits for a place, and only leaves the memory, keeps its turn.
        if name is not None and (self.stopped is None or call.began is not None):
            # guard: given-up-keeps-its-place
            self.services.limits.leave(LimitUse(name, self.workflow_id, self.epoch, call.step_id))

    def _leave_limit_from_thread(self, call: PendingCall) -> None:
        with suppress(RuntimeError):  # the host's loop is closed
            self.host.call_soon_threadsafe(self._leave_limit, call)

    def _unwind(self) -> None:
        if self._body is None:
            return  # it ended meanwhile
        self._body.unwind()
        self.check_over()

    def check_over(self) -> None:
        """See whether the body has ended. What it called, and what it left running, is over then too."""
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
                timer.cancel()  # it would keep all this in memory

    def release(self) -> None:
        """Refer to nothing that refers back: all of it, and its history, is freed without the collector."""
        # guard: what-waited-is-kept
        self.waiting.forget()
        self._stop_call = None
        for held in (self.calls, self.sagas, self.again):
            held.clear()
        for reason in (self.stopped, self.undoing):
            if reason is not None:
                reason.__traceback__ = None  # its frames refer to this

    async def _unwound(self) -> None:
        """Wait until what was cancelled has ended, for a while."""
        if self.unwinding:
            await asyncio.wait(set(self.unwinding), timeout=STOP_GRACE_S)

    # --- what the body does -------------------------------------------------------------------------------

    def make(self, operation: Operation, step_id: str, answer: Answer, context: Context) -> PendingCall:
        """The body calls. Raises Stopped."""
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
            self._handed = self.recording.write()  # its record has a commit of its own
        call = PendingCall(step_id, operation, answer, context, record, self._handed, self._handed_place)
        self.calls[step_id] = call
        if record is None or record.completion_order is None:
            self._held.append(call)  # until the body is at rest, and all that is recorded was handed over
        return call

    def _anew(self, timer: Timer) -> Timer:
        """The body's time may be of long before a retry or a fork: a timeout has its time from then on."""
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
        """See Body. `unheard`: the body has ended, and hears of nothing."""
        if again:
            self.again[error] = saga
        # guard: stands-in-silence
        elif unheard or self.undoing is not None:
            self.stood.append(error)

    @property
    def undone_by_stop(self) -> list[str]:
        """The notes of what was undone since the body was stopped."""
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
        """Whether the body goes the new way of a change: not where it has passed this place before.

        The answer is written with what is written next: until then a replay comes to the same. Only where
        something is on its way that the body has not been handed yet, a replay would take this for an old
        place: then what the body calls next waits for the answer's own commit. Raises Stopped.
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
        """The body wants a call no more; whether it is given up at once.

        A transaction isn't: it may be committing. The body learns in its turn what came of it.
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
        """Hand the body one completion after another, as long as there are some.

        It is called by plain callbacks of the host's loop alone, never within a task.
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
        except Exception as error:  # noqa: BLE001 - the engine's own fault must not leave the workflow hanging
            self.stop(Broken(f"it can't go on: {error!r}"))
        finally:
            self._advancing = False
        if again:
            self.schedule()
        elif again is None:
            self.check_over()

    def _go_on(self, body: Driven) -> bool | None:
        """Let the body go on as long as it can; whether it is to go on soon, None if it is over."""
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
                self.stop(self.undoing)  # the body caught its end, and waits for anything else
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
        """Whether the body still waits for something of an undo, or for what came of a transaction."""
        return any(undoes(call.context) or call.asked or call.settled for call in self.calls.values())

    def _meet_stop(self) -> None:
        """It is recorded: it will come in its place."""
        record = self._history.meet(kinds.STOP_ID, kinds.STOP, Stop.name)
        call = PendingCall(kinds.STOP_ID, Stop(), _StopAnswer(self), NO_CONTEXT, record, None)
        self.calls[call.step_id] = self._stop_call = call

    def _record_stop(self, reason: Stopped) -> None:
        """All that came before has its place: the stop comes after it."""
        self._asked = None
        call = PendingCall(kinds.STOP_ID, Stop(), _StopAnswer(self), NO_CONTEXT, None, self._handed)
        self.calls[call.step_id] = self._stop_call = call
        document = stop_document(reason)
        # guard: stop-not-recorded
        self.recording.complete(call, to_json(document).decode(), value=document, attempts=0)

    def undo(self, document: dict[str, Any]) -> None:
        """The stop has come: from now on the body only undoes."""
        self.undoing = stop_of(document)
        self._undone_before = len(self.undone)
        if self._body is not None:
            self._body.interrupt(self.undoing)

    def _resume(self) -> None:
        self._paused = False
        self.schedule()

    def _hand_over_next(self) -> bool:
        """Hand over the next completion; False if there is none, or it is the others' turn."""
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
        """The body learns it; of a call that it gave up only what time it is."""
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
            except Exception as error:  # a validator of the user's may raise anything
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
        if call.timer is not None:  # one that has struck refers to the call, too
            call.timer.cancel()
        if call.wake_s is not None:
            self.waiting.drop(call)

    def performed(self, call: PendingCall, outcome: Success | Failure) -> None:
        """What a call came to goes to journal and body in one go: what that does next joins the commit."""
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
        if isinstance(error, ShuttingDown) and self.services.stopping():  # else a step has raised it
            call.running = False  # this instance ends: that is nobody's result
            self.drain()
            return
        in_doubt = call.operation.kind == kinds.TRANSACTION
        self.recording.complete(call, error=encode_failure(error), attempts=call.attempt, certain=in_doubt)

    def _leave_if_at_rest(self) -> None:
        """The body waits for what isn't there yet: see whether it can leave."""
        if self.draining:
            # guard: drains-wait-for-the-next-attempt = not any(call.running for call in self.calls.values())
            if not any(call.running and call.retry_at is None for call in self.calls.values()):
                self.stop(HandedOver("the instance shuts down"))
        else:
            self._operations.leave(self)


class _StopAnswer:
    """Where a stop comes to."""

    __slots__ = ("_execution",)

    def __init__(self, execution: Execution) -> None:
        self._execution = execution

    def set_result(self, value: Any, /) -> None:
        self._execution.undo(value)

    def set_exception(self, error: BaseException, /) -> None: ...
    def give_up(self) -> None: ...
