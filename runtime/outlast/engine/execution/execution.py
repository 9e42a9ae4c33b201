"""One execution of one workflow: what its body called, what that came to, and in which order it gets it.

The body is driven from here: it runs until it is at rest, is handed the next completion, and so on. On replay
the completions are the recorded ones. A call without a record begins once all that is recorded was handed
over, and never before all that its body had been handed when it called is durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from functools import partial
from typing import Any, NamedTuple

from outlast.core import kinds
from outlast.core.clock import monotonic, whole_microseconds
from outlast.core.errors import NonDeterminism, ShuttingDown
from outlast.core.failures import CANCELLED, encode_failure
from outlast.core.messages import last_received
from outlast.core.observations import ArgumentsChanged, BodyReads, CallUnawaited
from outlast.core.places import place_of_caller
from outlast.core.ports import BadData
from outlast.core.records import ClaimedWorkflow, RunningStep, StepRecord, Suspension
from outlast.core.replay import History
from outlast.core.stops import Broken, Diverged, HandedOver, LeaseLost, Stopped, TimedOut
from outlast.engine.execution.calls import Answer, Failure, PendingCall, Success
from outlast.engine.execution.completions import Completion, Completions
from outlast.engine.execution.driven import Driven
from outlast.engine.execution.services import Services
from outlast.engine.execution.waiting import Waiting
from outlast.engine.waits.messages import Inbox
from outlast.sdk.context import Context as FunctionContext
from outlast.sdk.definitions import WorkflowDefinition
from outlast.sdk.operations import Operation

STOP_GRACE_S = 5.0
"""So long may what was stopped take to end. Then it is left where it stands."""

SLICE_S = 0.0005
"""After so long a replay lets everybody else on the host's loop run: a call of theirs takes some 20 turns."""

RESTLESS_MAX = 5
"""Full runs of its loop after which a body isn't waited for: it may be asking in a loop for what's next."""

PAUSE_STEP_S = 0.001
PAUSE_MAX_S = 0.05
"""So long it then waits for its next turn, each time a little longer, until something is handed to it."""

NO_CONTEXT = Context()


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
    """All of it runs on the host's event loop."""

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
        self.now_s = claimed.created_s or 0.0
        """The time of the body: as of what it was handed last."""
        self.context: FunctionContext | None = None
        """Made when the function asks for it."""
        self.task: asyncio.Task[None] | None = None
        """Its life; kept here, since the loop itself keeps tasks weakly."""
        self.host = asyncio.get_running_loop()
        self.stopped: Stopped | None = None
        self.calls: dict[str, PendingCall] = {}
        """Those that the body made and has no answer to, by step id."""
        self.waiting = Waiting()
        """Those of them that wait, and hold nothing."""
        self.inboxes: dict[str, Inbox] = {}
        """Of messages, by topic."""
        self.received = last_received(claimed.history)
        self.suspension: Suspension | None = None
        """How it left the memory."""
        self.unsaved: list[StepRecord] = []
        """Waits that are recorded with the suspension."""
        self.published_ahead = 0
        self.leave_timer: asyncio.TimerHandle | None = None
        """Until it looks whether it can leave the memory."""
        self.draining = False
        self.activity = 0
        """Completions that were handed over."""
        self._operations = operations
        self._history = History(claimed.history)
        self._live = False
        """Whether nothing recorded is left."""
        self._completions = Completions(self._history.orders)
        self._held: list[PendingCall] = []
        """Calls that are to be begun."""
        self._begins: list[tuple[PendingCall, Callable[[], None]]] = []
        """How those begin that wait until what came before is durable."""
        self._outcomes: list[tuple[PendingCall, Success | Failure]] = []
        """What calls came to since the body last went on."""
        self._handed: asyncio.Future[bool] | None = None
        self._last_write: asyncio.Future[bool] | None = None
        self._durable: asyncio.Future[bool] | None = None
        """A write that was accepted, the last that was heard of."""
        self._unwinding: set[asyncio.Task[Any]] = set()
        self._body: Driven | None = None
        self._ended: asyncio.Future[None] = self.host.create_future()
        self._patience: asyncio.TimerHandle | None = None
        self._advancing = False
        self._scheduled = False
        self._restless = 0
        self._paused = False
        self._slice_until = 0.0
        self._cut_short = False
        """Whether others are to have a turn before it goes on."""

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

    @property
    def progressed(self) -> bool:
        """Whether its last write is durable: a workflow that goes on doesn't kill its process each time."""
        write = self._last_write
        return write is not None and write.done() and not write.cancelled() and write.exception() is None

    @property
    def _at_work(self) -> list[PendingCall]:
        return [call for call in self.calls.values() if call.operation.kind not in kinds.WAITS]

    @property
    def only_waits(self) -> bool:
        """Whether all it does is to wait for other workflows: what it holds is not freed before they run."""
        at_work = self._at_work
        return bool(at_work) and all(call.awaited for call in at_work)

    @property
    def pauses(self) -> bool:
        """Whether no step of it is at work: each waits for other workflows, or for its next attempt."""
        at_work = self._at_work
        return bool(at_work) and all(call.awaited or call.retry_at is not None for call in at_work)

    @contextmanager
    def awaiting(self, step_id: str) -> Iterator[None]:
        """That step waits for another workflow's end in here."""
        call = self.calls.get(step_id)
        if call is None:  # it is over: a task that it left behind waits
            yield
            return
        call.awaited += 1
        try:
            yield
        finally:
            call.awaited -= 1

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
        self._end_calls()
        if self._body is not None:
            self.host.call_soon(self._unwind, context=NO_CONTEXT)
            self._patience = self.host.call_later(STOP_GRACE_S, self._leave_behind, context=NO_CONTEXT)

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
            self._unwinding.add(task)
            task.add_done_callback(self._unwinding.discard)

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
                self.stopped = reason
            self._body.unwind()
        self._leave_behind()

    def _leave_behind(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)
        self._begins.clear()  # they refer to this
        for timer in (self._patience, self.leave_timer):
            if timer is not None:
                timer.cancel()  # it would keep all this in memory

    async def _unwound(self) -> None:
        """Wait until what was cancelled has ended, for a while."""
        if self._unwinding:
            await asyncio.wait(set(self._unwinding), timeout=STOP_GRACE_S)

    # --- what the body does -------------------------------------------------------------------------------

    def make(self, operation: Operation, step_id: str, answer: Answer, context: Context) -> PendingCall:
        """The body calls. Raises Stopped."""
        if self.stopped is not None:
            raise self.stopped
        record = None if self._live else self._recorded(operation, step_id)
        call = PendingCall(step_id, operation, answer, context, record, self._handed)
        self.calls[step_id] = call
        if record is None or record.completion_order is None:
            self._held.append(call)  # until the body is at rest, and all that is recorded was handed over
        return call

    def _recorded(self, operation: Operation, step_id: str) -> StepRecord | None:
        """The record of this call, if there is one. Raises Diverged."""
        self._live = not self.replaying
        if self._live:
            return None
        try:
            record = self._history.meet(step_id, operation.kind, operation.name)
            if record is not None and record.arguments is not None:
                self._compare_arguments(operation, record)
        except Diverged as reason:
            self.stop(reason)
            raise
        return record

    def _compare_arguments(self, operation: Operation, record: StepRecord) -> None:
        """Tell of a call that the body makes with other arguments than it once did. Raises Diverged."""
        setting = self.services.replay_arguments
        if setting == "off" or operation.fingerprint == record.arguments:
            return
        file, line = place_of_caller()
        place = f"{file}:{line}"
        # guard: other-arguments-replayed
        if setting == "hold":
            raise Diverged(
                f"step {record.step_id} {record.name!r} was recorded with other arguments than {place} now "
                "calls it with: a workflow's code must do the same on replay"
            )
        self.services.observe(
            ArgumentsChanged(self.workflow_id, self.function, record.step_id, record.name, place)
        )

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
        self.complete(call, error=CANCELLED, certain=True)

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
        self._slice_until = monotonic() + SLICE_S
        self._cut_short = False
        at_rest = body.run(self._hand_over_next, self._restless < RESTLESS_MAX)
        if body.over:
            return None
        if at_rest is None or self.stopped is not None:
            return False
        if self._cut_short:
            return True
        if at_rest:
            self._restless = 0
            self._rest()
            return False
        self._restless += 1
        # guard: restless-bodies-never-pause
        if self._restless > RESTLESS_MAX:
            self._pause()
            return False
        return True

    def _pause(self) -> None:
        """The body asks again and again, as anyio does for what can't be cancelled yet: let others work."""
        if not self._paused:
            self._paused = True
            pause_s = min(PAUSE_MAX_S, PAUSE_STEP_S * (self._restless - RESTLESS_MAX))
            self.host.call_later(pause_s, self._resume, context=NO_CONTEXT)

    def _resume(self) -> None:
        self._paused = False
        self.schedule()

    def _hand_over_next(self) -> bool:
        """Hand over the next completion; False if there is none, or it is the others' turn."""
        if self.stopped is not None or self._body is None or self._body.over:
            return False
        # guard: replay-holds-the-loop
        if monotonic() > self._slice_until:
            self._cut_short = True
            return False
        # guard: recorded-order-ignored
        if self._history.left:
            record = self._history.take()
            self._hand_over(self.calls.get(record.step_id), record, None, None)
            return True
        if self._held and not self.draining:
            held, self._held = self._held, []
            for call in held:
                if self.calls.get(call.step_id) is call and self.stopped is None:
                    self._operations.begin(self, call)
        completion = self._completions.next()
        if completion is None:
            return False
        call, record, value, write = completion
        self._hand_over(call if self.calls.get(call.step_id) is call else None, record, value, write)
        return True

    def _hand_over(
        self, call: PendingCall | None, record: StepRecord, value: Any, write: asyncio.Future[bool] | None
    ) -> None:
        """The body learns it; of a call that it gave up only what time it is."""
        if record.at_s is not None and record.at_s > self.now_s:
            self.now_s = record.at_s
        if call is None:
            return
        self.activity += 1
        self._restless = 0
        if write is not None:
            self._handed = write
        if record.error is None and call.record is record:
            try:
                value = self._operations.value(call, record)
            except Exception as error:  # a validator of the user's may raise anything
                raise Diverged(
                    f"the recorded output of step {record.step_id} {record.name!r} no longer fits its "
                    f"annotation: {error}"
                ) from error
        self._forget(call)
        if record.error is None:
            call.answer.set_result(value)
        elif record.error == CANCELLED:
            call.answer.give_up()
        else:
            call.answer.set_exception(self._operations.failure(self, call, record))

    def _forget(self, call: PendingCall) -> None:
        self.calls.pop(call.step_id, None)
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
                self.complete(call, outcome.text, value=outcome.value, attempts=call.attempt)
            elif outcome.record.completion_order in call.places:
                call.record = outcome.record
                self.fill(call, outcome.record, None, None)
            else:
                self.stop(LeaseLost(f"{call.operation.name!r} was recorded by another execution"))

    def _record_failure(self, call: PendingCall, error: Exception) -> None:
        # guard: shutdown-is-the-childs-error
        if isinstance(error, ShuttingDown):
            call.running = False  # this instance ends: that is nobody's result
            self.drain()
            return
        in_doubt = call.operation.kind == kinds.TRANSACTION
        self.complete(call, error=encode_failure(error), attempts=call.attempt, certain=in_doubt)

    def complete(
        self,
        call: PendingCall,
        output: str | None = None,
        error: str | None = None,
        value: Any = None,
        *,
        attempts: int = 1,
        at_s: float = 0.0,
        certain: bool = False,
    ) -> None:
        """What a call came to: recorded, and handed to the body in its turn, when it next advances.

        `certain`: a transaction failed or was given up. Its COMMIT may have been done for all that. Then its
        own record stands, this one is refused, and so must be all that the body would do next.
        """
        record = self.record_of(call, self._completions.take_place(), output, error, attempts, at_s)
        call.settled = True
        write = self.write(record)
        # guard: failed-in-doubt
        if certain:
            write.add_done_callback(partial(self._certain, call, record), context=NO_CONTEXT)
        else:
            self.fill(call, record, value, write)

    def _certain(self, call: PendingCall, record: StepRecord, write: asyncio.Future[bool]) -> None:
        if not write.cancelled() and self.is_durable(write):
            self.fill(call, record, None, write)
            self.advance()

    def record_of(
        self,
        call: PendingCall,
        place: int,
        output: str | None,
        error: str | None = None,
        attempts: int = 1,
        at_s: float = 0.0,
    ) -> StepRecord:
        """The record of what a call came to, at its place in the order and at the body's time."""
        operation = call.operation
        return StepRecord(
            call.step_id,
            operation.name,
            output,
            error,
            attempts,
            place,
            operation.kind,
            whole_microseconds(max(self.now_s, self.services.clock.now_s(), at_s)),
            operation.fingerprint,
            call.began,
            call.ended or monotonic(),
        )

    def take_place(self, call: PendingCall) -> int:
        """A place for a transaction that is about to commit: nothing later passes until it is known."""
        place = self._completions.take_place()
        call.places += (place,)
        return place

    def fill(
        self, call: PendingCall, record: StepRecord, value: Any, write: asyncio.Future[bool] | None
    ) -> None:
        """A completion whose record is on its way, or committed."""
        place = record.completion_order
        assert place is not None
        call.running, call.settled = False, True
        if call.places:
            self._completions.drop({*call.places} - {place})
        self._completions.fill(place, Completion(call, record, value, write))

    def _rest(self) -> None:
        """The body waits for what isn't there yet."""
        if self.draining:
            if not any(call.running for call in self.calls.values()):
                self.stop(HandedOver("the instance shuts down"))
        elif self.waiting.calls:
            self._operations.leave(self)

    @property
    def has_completions(self) -> bool:
        """Whether something is on its way to the body."""
        return self._completions.waiting

    # --- writing ------------------------------------------------------------------------------------------

    def write(self, record: StepRecord) -> asyncio.Future[bool]:
        """Record this, with the next commit."""
        write = self.services.journal.write(self.workflow_id, self.epoch, (record,))
        if write is not self._last_write:
            self._last_write = write
            write.add_done_callback(self._written, context=NO_CONTEXT)
        return write

    def is_durable(self, write: asyncio.Future[bool]) -> bool:
        """Whether `write` was accepted. If it was refused the execution is stopped by now."""
        if not write.done():
            return False
        # guard: refusal-heard-late
        self._hear(write)  # as its own callback is about to, perhaps
        return self.stopped is None

    def _written(self, write: asyncio.Future[bool]) -> None:
        self._hear(write)
        begins, self._begins = self._begins, []
        for call, begin in begins:
            self.when_durable(call, begin)

    def _hear(self, write: asyncio.Future[bool]) -> None:
        if write.cancelled():
            return
        if (error := write.exception()) is not None:
            kind = Broken if isinstance(error, BadData) else LeaseLost
            self.stop(kind(f"a record was refused: {error}"))
        # guard: refused-record-unheard
        elif not write.result():
            self.stop(LeaseLost("a write was refused: the workflow was cancelled or runs elsewhere"))
        else:
            self._durable = write

    # --- beginning ----------------------------------------------------------------------------------------

    def when_durable(self, call: PendingCall, begin: Callable[[], None]) -> None:
        """Begin a call when all that its body had been handed before is durable, if it is wanted then."""
        if self.stopped is not None or self.calls.get(call.step_id) is not call:
            return
        # guard: begins-on-the-undurable
        if call.handed is not None and call.handed is not self._durable and not self.is_durable(call.handed):
            self._begins.append((call, begin))
            return
        begin()

    @property
    def held_up(self) -> bool:
        """Whether `may_begin` is to be awaited."""
        covered = self.services.lease.covers(self.term)
        return self.draining or bool(self._unwinding) or self.stopped is not None or not covered

    async def may_begin(self) -> None:
        """A step begins under the lease, and after the end of what its body gave up: as if it waited."""
        # guard: begins-beside-what-was-given-up
        if self._unwinding:
            await asyncio.wait(set(self._unwinding))
        await self.may_go_on()
        # guard: steps-begin-while-leaving
        if self.draining:
            await self.never()

    async def may_go_on(self) -> None:
        """Wait for the lease. Raises Stopped."""
        # guard: steps-without-lease
        while self.stopped is None and not self.services.lease.covers(self.term):
            await self.services.lease.renewal()
        if self.stopped is not None:
            raise self.stopped

    async def never(self) -> None:
        """Begin nothing while the instance shuts down: its last running step ends the execution."""
        self.schedule()
        await self.host.create_future()


def public_reason(stopped: Stopped) -> tuple[str, str] | None:
    """Code and text of a stop that ends the workflow as ERROR; None for those that don't."""
    if isinstance(stopped, Diverged):
        return NonDeterminism.code, str(stopped)
    if isinstance(stopped, TimedOut):
        return "workflow_timeout", str(stopped)
    if isinstance(stopped, Broken):
        return "not_recordable", str(stopped)
    return None
