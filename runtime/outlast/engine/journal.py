"""Group commit: all writes of all workflows of this instance, in order, as few commits as possible.

A batch is what queued up while the last commit was on its way: no timer, no added delay. Whoever writes gets
a future that the commit settles. Batches go out one after the other, so what is durable of a workflow is
always a prefix of what it wrote.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Sequence
from itertools import count

from outlast.core.clock import monotonic
from outlast.core.observations import (
    DatabaseFound,
    DatabaseLost,
    JournalMoves,
    JournalStalled,
    LoopFailed,
    Observer,
)
from outlast.core.ports import BadData, Conflicted, JournalStore, Unreachable
from outlast.core.records import Batch, Ending, FencedWrite, NewWorkflow, StepRecord, Suspension
from outlast.engine.concurrency import end_tasks

BATCH_ROWS_MAX = 2_000
BATCH_CHARS_MAX = 8_000_000
RETRY_MIN_S = 0.05
RETRY_MAX_S = 2.0
WATCH_S = 1.0
STALLED_LOOKS = 5
"""After so many looks at a journal that has something to write and writes nothing it counts as stalled."""


class _Start:
    __slots__ = ("new", "settled", "size", "workflow_id")
    rows = 1

    def __init__(self, new: NewWorkflow, settled: asyncio.Future[float | None]) -> None:
        self.workflow_id = new.workflow_id
        self.new = new
        self.settled = settled
        self.size = len(new.input or "") + len(new.request or "")

    def settle(self, written: dict[str, float | None]) -> None:
        self.settled.set_result(written.get(self.workflow_id))


class _Write(FencedWrite):
    __slots__ = ("begun", "rows", "settled", "size")

    def __init__(self, workflow_id: str, epoch: int, settled: asyncio.Future[bool]) -> None:
        self.workflow_id = workflow_id
        self.epoch = epoch
        self.steps: list[StepRecord] = []
        self.end: Ending | Suspension | None = None
        self.settled = settled
        self.rows = 1
        self.size = 0
        self.begun: set[str] = set()
        """Step ids of waits that are not over."""

    def settle(self, written: dict[str, float | None]) -> None:
        self.settled.set_result(self.workflow_id in written)


_Entry = _Start | _Write


class Journal:
    """The one writer of engine rows. `start` and `write` must be called on its event loop."""

    def __init__(self, store: JournalStore, observe: Observer, *, depth_max: int = 20_000) -> None:
        self._loop = asyncio.get_running_loop()  # a body's may be running when something is written
        self._store = store
        self._observe = observe
        self._entries: dict[str, _Entry] = {}
        self._in_flight = 0
        self._depth_max = depth_max
        self._nonces = count(secrets.randbits(62))
        self._arrived = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._away_since: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._watch_task: asyncio.Task[None] | None = None
        self._moves = 0
        """Batches that were settled."""
        self._stalled_since: float | None = None

    @property
    def stalled(self) -> bool:
        """Whether something waits to be written and nothing is, for long, whatever the cause."""
        return self._stalled_since is not None

    @property
    def away(self) -> bool:
        """Whether the last commit failed for want of a connection."""
        return self._away_since is not None

    @property
    def full(self) -> bool:
        """Whether so much is waiting that nothing more should be begun."""
        return len(self._entries) + self._in_flight >= self._depth_max

    def open(self) -> None:
        """Start writing."""
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._run(), name="outlast-journal")
        self._watch_task = loop.create_task(self._watch(), name="outlast-journal-watch")

    async def close(self, timeout_s: float) -> None:
        """Write what waits, for `timeout_s` at most, and stop. What is left then was never acknowledged."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._drained.wait()
        except TimeoutError:
            pass
        await end_tasks([task for task in (self._task, self._watch_task) if task is not None])

    def start(self, new: NewWorkflow) -> asyncio.Future[float | None]:
        """Insert a workflow; settles to when that was, in Unix seconds, or to None if its id is taken.

        Two starts of one id mustn't wait.
        """
        settled: asyncio.Future[float | None] = self._loop.create_future()
        self._add(new.workflow_id, _Start(new, settled))
        return settled

    def write(
        self,
        workflow_id: str,
        epoch: int,
        steps: Sequence[StepRecord] = (),
        end: Ending | Suspension | None = None,
    ) -> asyncio.Future[bool]:
        """Record steps or the end of a workflow; settles to False if the fence refused, or raises BadData.

        What one workflow writes while a commit is on its way goes into the next one together.
        """
        write = self._entries.get(workflow_id)
        # guard: last-word-of-the-old
        if isinstance(write, _Write) and write.epoch > epoch:
            return self._refused()  # the last word of an execution whose workflow was claimed again
        if not isinstance(write, _Write) or write.epoch != epoch or write.end is not None:
            write = _Write(workflow_id, epoch, self._loop.create_future())
            self._add(workflow_id, write)
        for step in steps:
            if step.step_id in write.begun:  # it may end before the record of its begin was written
                write.begun.remove(step.step_id)
                write.steps = [each for each in write.steps if each.step_id != step.step_id]
            if step.completion_order is None:
                write.begun.add(step.step_id)
            write.steps.append(step)
            write.rows += 1
            write.size += len(step.output or "") + len(step.error or "")
        if end is not None:
            write.end = end
            write.size += len(end.output or "") if isinstance(end, Ending) else 0
        return write.settled

    def _refused(self) -> asyncio.Future[bool]:
        settled: asyncio.Future[bool] = self._loop.create_future()
        settled.set_result(False)
        return settled

    def _add(self, workflow_id: str, entry: _Entry) -> None:
        if workflow_id in self._entries:
            # A new claim of a workflow whose old execution still had something to write: that is refused.
            self._settle(self._entries.pop(workflow_id), {})
        if not self._entries:
            self._drained.clear()
            self._arrived.set()
        self._entries[workflow_id] = entry

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            await asyncio.sleep(0)  # what belongs together comes within a cycle: a step's record and the end
            batch = self._take()
            self._in_flight = len(batch)
            await self._commit(batch, next(self._nonces))
            self._in_flight = 0
            self._moves += 1
            if not self._entries:
                self._arrived.clear()
                self._drained.set()

    async def _watch(self) -> None:
        """See whether what is to be written is. It counts looks: a frozen process hasn't waited."""
        looks, moves, began = 0, self._moves, monotonic()
        while True:
            await asyncio.sleep(WATCH_S)
            if self._moves != moves or not (self._entries or self._in_flight):
                if self._stalled_since is not None:
                    self._observe(JournalMoves(monotonic() - self._stalled_since))
                    self._stalled_since = None
                looks, moves, began = 0, self._moves, monotonic()
                continue
            looks += 1
            # guard: stalled-journal-unseen
            if looks == STALLED_LOOKS:
                self._stalled_since = began
                if not self.away:  # that was told
                    self._observe(JournalStalled(monotonic() - began))

    def _take(self) -> list[_Entry]:
        batch: list[_Entry] = []
        rows = chars = 0
        for entry in self._entries.values():
            rows += entry.rows
            chars += entry.size
            if batch and (rows > BATCH_ROWS_MAX or chars > BATCH_CHARS_MAX):
                break
            batch.append(entry)
        if len(batch) == len(self._entries):
            self._entries = {}
        else:
            for entry in batch:
                del self._entries[entry.workflow_id]
        return batch

    async def _commit(self, entries: list[_Entry], nonce: int) -> None:
        """Write `entries`, again and again until the database has answered; settle their futures."""
        batch = Batch(
            nonce,
            [entry.new for entry in entries if isinstance(entry, _Start)],
            [entry for entry in entries if isinstance(entry, _Write)],
        )
        failures = 0
        written: dict[str, float | None] = {}
        while True:
            try:
                written = await self._try(batch, again=failures > 0)
                break
            except BadData as error:
                await self._split(entries, nonce, error)
                return
            except Conflicted:
                await asyncio.sleep(random.uniform(0, 0.01))
            except Exception as error:  # noqa: BLE001 - whatever it is, acknowledged nothing, lost nothing: try again
                failures += 1
                self._lost(error)
                ceiling = min(RETRY_MAX_S, RETRY_MIN_S * 2 ** min(failures, 10))
                await asyncio.sleep(random.uniform(ceiling / 2, ceiling))
        self._found()
        for entry in entries:
            self._settle(entry, written)

    def _settle(self, entry: _Entry, written: dict[str, float | None]) -> None:
        try:
            if not entry.settled.done():
                entry.settle(written)
        # guard: waiter-ends-the-journal
        except Exception as error:  # noqa: BLE001 - one who waits in a wrong way must not stop what all wait for
            self._observe(LoopFailed("journal", repr(error)))

    async def _try(self, batch: Batch, *, again: bool) -> dict[str, float | None]:
        """One try at a batch: the workflows whose rows were written, and of starts when that was."""
        committed = await self._store.commit(batch)
        written = dict.fromkeys(committed.accepted) | dict.fromkeys(committed.started, committed.created_s)
        # guard: never-confirmed
        if again and len(written) < len(batch.starts) + len(batch.writes):
            # An earlier try may have been committed with its answer lost.
            written |= await self._store.confirm(batch)
        return written

    async def _split(self, entries: list[_Entry], nonce: int, error: BadData) -> None:
        """One row's bad data must not fail a stranger: halve the batch until it is alone."""
        if len(entries) == 1:
            if not entries[0].settled.done():
                entries[0].settled.set_exception(error)
                entries[0].settled.exception()  # nobody may be waiting any more: that is no error of its own
            return
        half = len(entries) // 2
        await self._commit(entries[:half], nonce)
        await self._commit(entries[half:], nonce)

    def _lost(self, error: Exception) -> None:
        if self._away_since is None:
            self._away_since = monotonic()
            kind = "" if isinstance(error, Unreachable) else f"{type(error).__name__}: "
            self._observe(DatabaseLost("journal", f"{kind}{error}"))

    def _found(self) -> None:
        if self._away_since is not None:
            away_s, self._away_since = monotonic() - self._away_since, None
            self._observe(DatabaseFound(away_s))
