"""What one execution records: the results of its calls, their order, and which of them are durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from outlast.core.clock import monotonic, whole_microseconds
from outlast.core.ports import BadData
from outlast.core.records import StepRecord
from outlast.core.stops import REFUSED_BY_THE_PROJECT, Broken, LeaseLost, Stopped
from outlast.engine.execution.calls import NO_CONTEXT, PendingCall, PendingCalls
from outlast.engine.execution.services import Services


class Completion(NamedTuple):
    """The result of a call. `value` is for the body; it isn't used if the record holds an error."""

    call: PendingCall
    record: StepRecord
    value: Any
    write: Any
    """The future of its write; None if another connection committed it."""


class Completions:
    """The completions of one execution, by place. One may be committing on another connection.

    So no completion passes an earlier place that is taken and not filled yet.
    """

    __slots__ = ("_last", "_next", "places")

    def __init__(self, last: int) -> None:
        """`last` is the last place of the recorded completions."""
        self._last = last
        self._next = last + 1
        self.places: dict[int, Completion | None] = {}
        """The places that are taken and not handed over, each with its completion once that is known."""

    @property
    def last(self) -> int:
        """The last place that was taken."""
        return self._last

    def take_place(self) -> int:
        """Take the next place."""
        self._last += 1
        self.places[self._last] = None
        return self._last

    def drop(self, places: Iterable[int]) -> None:
        """Drop places to which no completion will come."""
        for each in places:
            self.places.pop(each, None)

    def fill(self, place: int, completion: Completion) -> None:
        """Set the completion for `place`."""
        self.places[place] = completion

    def next(self) -> Completion | None:
        """The next completion in order; None if it isn't known yet or if there is none."""
        while self._next <= self._last:
            if self._next in self.places:
                completion = self.places[self._next]
                # guard: places-not-reserved
                if completion is None:
                    return None
                del self.places[self._next]
                self._next += 1
                return completion
            self._next += 1
        return None


class Recording:
    """The writes of one execution. A call begins when all that its body had received is durable."""

    def __init__(
        self,
        workflow_id: str,
        epoch: int,
        services: Services,
        calls: PendingCalls,
        last_place: int,
        created_s: float,
        stop: Callable[[Stopped], None],
        advance: Callable[[], None],
    ) -> None:
        """`last_place`: of the recorded completions. `stop` ends the execution, `advance` runs its body."""
        self.completions = Completions(last_place)
        self.now_s = created_s
        """The time of the body: that of the last completion it was handed."""
        self._workflow_id = workflow_id
        self._epoch = epoch
        self._journal = services.journal
        self._limits = services.limits
        self._clock = services.clock
        self._calls = calls
        self._stop = stop
        self._advance = advance
        self._over = False
        self.attached: list[StepRecord] = []
        """Records that are written together with the next write."""
        self._begins: list[tuple[PendingCall, Callable[[], None]]] = []
        """Calls, and how to begin them, that wait until earlier completions are durable."""
        self._last_write: asyncio.Future[bool] | None = None
        self._durable: asyncio.Future[bool] | None = None
        """The last write that is known to be durable."""

    @property
    def progressed(self) -> bool:
        """Whether the last write is durable: a suspect that progresses doesn't always kill its process."""
        write = self._last_write
        return write is not None and write.done() and not write.cancelled() and write.exception() is None

    def when_written(self, call: Callable[[], None]) -> None:
        """Call `call` once the last write is done."""
        if self._last_write is not None:
            self._last_write.add_done_callback(lambda _: call(), context=NO_CONTEXT)

    def end(self) -> None:
        """Begin no more calls, and drop the references that form cycles."""
        self._over = True
        self._begins.clear()
        self._stop = self._advance = _nothing

    # --- results of calls ---------------------------------------------------------------------------------

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
        """Record the result of a call, and hand it to the body in order when the body next advances.

        `certain`: a transaction failed or was given up, but its COMMIT may still have been done. Then its own
        record is already there, this one is refused, and the body must not go on: it waits for the write.
        """
        record = self.record_of(call, self.completions.take_place(), output, error, attempts, at_s)
        call.settled = True
        write = self.write(record)
        if call.limit is not None:
            self._limits.free_when(write, call.limit)
            call.limit = None
        # guard: failed-in-doubt
        if certain:
            write.add_done_callback(partial(self._certain, call, record), context=NO_CONTEXT)
        else:
            self.fill(call, record, value, write)

    def _certain(self, call: PendingCall, record: StepRecord, write: asyncio.Future[bool]) -> None:
        if not write.cancelled() and self.is_durable(write):
            self.fill(call, record, None, write)
            self._advance()

    def record_of(
        self,
        call: PendingCall,
        place: int,
        output: str | None,
        error: str | None = None,
        attempts: int = 1,
        at_s: float = 0.0,
    ) -> StepRecord:
        """The record of a call's result, at its place in the order and at the body's time."""
        operation = call.operation
        return StepRecord(
            call.step_id,
            operation.name,
            output,
            error,
            attempts,
            place,
            operation.kind,
            whole_microseconds(max(self.now_s, self._clock.now_s(), at_s)),
            operation.fingerprint,
            call.began,
            call.ended or monotonic(),
            call.called_after,
        )

    def take_place(self, call: PendingCall) -> int:
        """Take a place for a transaction that is about to commit. Later completions wait for its outcome."""
        place = self.completions.take_place()
        call.places += (place,)
        return place

    def fill(
        self, call: PendingCall, record: StepRecord, value: Any, write: asyncio.Future[bool] | None
    ) -> None:
        """Set a completion whose record is being written or is committed."""
        place = record.completion_order
        assert place is not None
        call.running, call.settled = False, True
        if call.places:
            self.completions.drop({*call.places} - {place})
        self.completions.fill(place, Completion(call, record, value, write))

    # --- writing ------------------------------------------------------------------------------------------

    def attach(self, record: StepRecord) -> None:
        """Write this record together with the next one."""
        self.attached.append(record)

    def take_attached(self) -> list[StepRecord]:
        """Take the attached records. The caller must write them."""
        attached, self.attached = self.attached, []
        return attached

    def write(self, *records: StepRecord) -> asyncio.Future[bool]:
        """Write these records and the attached ones with the next commit."""
        if self.attached:
            records = (*self.take_attached(), *records)
        write = self._journal.write(self._workflow_id, self._epoch, records)
        if write is not self._last_write:
            self._last_write = write
            write.add_done_callback(self._written, context=NO_CONTEXT)
        return write

    def is_durable(self, write: asyncio.Future[bool]) -> bool:
        """Whether `write` was accepted. If it was refused, this stops the execution."""
        if not write.done():
            return False
        # guard: refusal-heard-late
        self._hear(write)  # its own callback may not have run yet
        return not self._over

    def _written(self, write: asyncio.Future[bool]) -> None:
        self._hear(write)
        begins, self._begins = self._begins, []
        for call, begin in begins:
            self.when_durable(call, begin)

    def _hear(self, write: asyncio.Future[bool]) -> None:
        if write.cancelled():
            return
        if (error := write.exception()) is not None:
            told = f"a record was refused: {error}"
            if isinstance(error, BadData):
                self._stop(Broken(f"{told}; {REFUSED_BY_THE_PROJECT}"))
            else:
                self._stop(LeaseLost(told))
        # guard: refused-record-unheard
        elif not write.result():
            self._stop(LeaseLost("a write was refused: the workflow was cancelled or runs elsewhere"))
        else:
            self._durable = write

    def when_durable(self, call: PendingCall, begin: Callable[[], None]) -> None:
        """Begin a call once all that its body had received before is durable, if the call is still wanted."""
        if self._over or self._calls.get(call.step_id) is not call:
            return
        # guard: begins-on-the-undurable
        if call.handed is not None and call.handed is not self._durable and not self.is_durable(call.handed):
            self._begins.append((call, begin))
            return
        begin()


def _nothing(*_: object) -> None: ...
