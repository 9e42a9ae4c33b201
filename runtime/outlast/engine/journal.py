"""Group commit: all writes of all workflows of this instance, in order, in few commits.

A batch is what queued up while the last commit was on its way: no timer, no added delay. Where this process
and the database take turns at one large batch, it goes out in two, so that both can work at once. Whoever
writes gets a future that the commit settles. Batches go out one after the other, so what is durable of a
workflow is always a prefix of what it wrote.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Collection, Sequence
from itertools import count, islice
from operator import attrgetter

from outlast.core.background import Loop
from outlast.core.clock import monotonic, worked
from outlast.core.observations import (
    JournalCommitted,
    JournalMoves,
    JournalStalled,
    LoopFailed,
    Observer,
    WriteHeldUp,
)
from outlast.core.ports import BadData, Conflicted, JournalStore, Locked, TableHeld, Unreachable
from outlast.core.records import Batch, Ending, FencedWrite, NewWorkflow, StepRecord, Suspension

HALVED_MIN = 4
HALVED_AT = 1.5
"""So many entries that come together after a rest are committed in two, if this process has worked since the
last commit so many times as long as the smallest one takes. Else all of them, and all of their next round,
would be here or there at once. Where the database is far away, a commit more costs more than that brings."""

BATCH_ROWS_MAX = 2_000
BATCH_CHARS_MAX = 8_000_000
CONFLICT_PAUSE_S = 0.01
CONFLICTS_MAX = 20
"""After so many in a row it is no chance: one of the batch meets a conflict each time."""

ASIDE_MIN_S, ASIDE_MAX_S = 0.1, 10.0
"""So soon, and later ever more seldom, one is tried again that couldn't be written alone."""

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


class _Part:
    """Entries on their way: a batch, or what is left of one whose data the database refused in part."""

    __slots__ = ("batch", "conflicts", "due_at", "entries", "held", "in_doubt", "nonce", "pause_s")

    def __init__(self, entries: list[_Entry], nonce: int) -> None:
        self.entries = entries
        self.nonce = nonce
        self.in_doubt = False
        """Whether an earlier try may have been committed with its answer lost."""
        self.due_at = self.pause_s = 0.0
        """Of one that is aside, or was: when it is tried again, and how long that is after the last try."""
        self.conflicts = 0
        """In a row, so far."""
        self.held = False
        """Whether somebody held a row that it needs: then others can be written."""
        starts: list[NewWorkflow] = []
        writes: list[_Write] = []
        for entry in entries:
            if isinstance(entry, _Write):
                writes.append(entry)
            else:
                starts.append(entry.new)
        self.batch = Batch(nonce, starts, writes)

    def halves(self) -> list[_Part]:
        """Both halves, which are committed one after the other."""
        half = len(self.entries) // 2
        return [self.of(self.entries[:half]), self.of(self.entries[half:])]

    def of(self, entries: list[_Entry]) -> _Part:
        """Some of its entries, which may be committed already if it may."""
        part = _Part(entries, self.nonce)
        part.in_doubt = self.in_doubt
        return part


class Journal:
    """The one writer of engine rows. `start` and `write` must be called on its event loop."""

    def __init__(
        self, store: JournalStore, observe: Observer, due: Callable[[], None], *, depth_max: int = 20_000
    ) -> None:
        """`due` is told that a commit made workflows claimable."""
        self._loop = asyncio.get_running_loop()  # a body's may be running when something is written
        self._store = store
        self._observe = observe
        self._due = due
        self._entries: dict[str, _Entry] = {}
        self._on_their_way: list[_Part] = []
        self._in_flight = 0
        """How many entries these hold."""
        self._aside: dict[str, _Part] = {}
        """What can't be written, by workflow: that may be its own fault, or that of all.

        Nothing more is taken of these, so that what is durable stays a prefix.
        """
        self._aside_next = False
        """Whose turn it is: both those that are aside and what is new go on."""
        self._told = ""
        self._rested = False
        """Whether nothing waited when the last commit was answered."""
        self._quickest_s = float("inf")
        """What a small commit takes. It rises with each one that takes longer: databases get slower too."""
        self._worked_s = 0.0
        """What this thread had worked when the last commit was answered (core.clock.worked)."""
        self._depth_max = depth_max
        self._nonces = count(secrets.randbits(62))
        self._drained = asyncio.Event()
        self._drained.set()
        self.writing = Loop("journal", self._write_next, observe, tells_absence=True)
        self.watching = Loop("journal watch", self._watch, observe)
        self._moved_at = monotonic()
        self._moves = self._moves_seen = self._looks = 0
        """Entries that were settled; how many the last look saw; looks since that changed."""
        self._stalled_since: float | None = None

    @property
    def stalled(self) -> bool:
        """Whether something waits to be written and nothing is, for long, whatever the cause."""
        return self._stalled_since is not None

    @property
    def away(self) -> bool:
        """Whether the last commit failed, as it does for want of a connection."""
        return self.writing.failing

    @property
    def full(self) -> bool:
        """Whether so much is waiting that nothing more should be begun."""
        return len(self._entries) + self._in_flight + len(self._aside) >= self._depth_max

    def is_aside(self, workflow_id: str) -> bool:
        """Whether what this workflow writes can't be written for now."""
        return workflow_id in self._aside

    async def close(self, timeout_s: float) -> None:
        """Write what waits, for `timeout_s` at most, and stop. What is left then was never acknowledged."""
        self._try_all_again()
        self.writing.wake()
        try:
            async with asyncio.timeout(timeout_s):
                await self._drained.wait()
        except TimeoutError:
            pass
        await self.writing.close()
        await self.watching.close()

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
            return self._refuse_write()  # the last word of an execution whose workflow was claimed again
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
            write.size += len(step.output or "") + len(step.error or "")
        write.rows += len(steps)
        if end is not None:
            write.end = end
            write.size += len(end.output or "") if isinstance(end, Ending) else 0
        return write.settled

    def _refuse_write(self) -> asyncio.Future[bool]:
        settled: asyncio.Future[bool] = self._loop.create_future()
        settled.set_result(False)
        return settled

    def _add(self, workflow_id: str, entry: _Entry) -> None:
        if workflow_id in self._entries:
            # A new claim of a workflow whose old execution still had something to write: that is refused.
            self._settle(self._entries.pop(workflow_id), {})
        if not self._entries or self._aside:
            self._drained.clear()
            self.writing.wake()
        self._entries[workflow_id] = entry

    async def _write_next(self) -> float | None:
        part = self._next_part()
        if part is None:
            self._rested = True
            return max(0.0, self._first_aside().due_at - monotonic()) if self._aside else None
        began = monotonic()
        try:
            written = await self._commit(part)
        except (Unreachable, asyncio.CancelledError):
            part.in_doubt = True
            raise
        # guard: one-write-stops-all
        except Exception as error:  # noqa: BLE001 - see _failed
            pause_s = await self._failed(part, error)
            if pause_s is not None:
                return pause_s
        else:
            for entry in part.entries:
                self._settle(entry, written)
            took_s = monotonic() - began
            self._quickest_s, self._worked_s = min(took_s, 1.01 * self._quickest_s), worked()
            self._observe(JournalCommitted(len(part.entries), len(self._entries), took_s))
            if part.pause_s:
                self._try_all_again()
        del self._on_their_way[0]
        self._in_flight -= len(part.entries)
        if self._on_their_way or self._entries or self._aside:
            return 0.0
        self._told, self._rested = "", True
        self._drained.set()
        return None

    async def _failed(self, part: _Part, error: Exception) -> float | None:
        """After how long it, or what it is divided into, is tried again; None if it is out of the way.

        Whose fault it is shows when each is alone: one row's bad data must not fail a stranger, and for what
        may be the fault of all nobody's work is given up.
        """
        if isinstance(error, Conflicted):
            part.conflicts += not isinstance(error, TableHeld)
            # guard: conflict-without-end = True
            if part.conflicts < CONFLICTS_MAX:
                return random.uniform(0, CONFLICT_PAUSE_S)
        elif not isinstance(error, BadData):
            part.in_doubt = True
        if len(part.entries) > 1:
            self._on_their_way[:1] = self._divide(part, error)
            return 0.0
        if isinstance(error, BadData):
            await self._refuse(part, error)
        else:
            self._put_aside(part, error)
        return None

    def _next_part(self) -> _Part | None:
        if self._on_their_way:
            return self._on_their_way[0]
        part = self._part_in_turn() if self._aside else self._new_part()
        if part is not None:
            self._on_their_way = [part]
            self._in_flight = len(part.entries)
        return part

    def _part_in_turn(self) -> _Part | None:
        """Of what is aside and what is new, one after the other."""
        self._aside_next = not self._aside_next
        if self._aside_next:
            return self._due_part() or self._new_part()
        return self._new_part() or self._due_part()

    def _new_part(self) -> _Part | None:
        taken = self._take()
        return _Part(taken, next(self._nonces)) if taken else None

    def _due_part(self) -> _Part | None:
        part = self._first_aside()
        return None if part.due_at > monotonic() else self._aside.pop(part.entries[0].workflow_id)

    def _first_aside(self) -> _Part:
        return min(self._aside.values(), key=attrgetter("due_at"))

    def _try_all_again(self) -> None:
        """What kept one aside may have kept all."""
        for part in self._aside.values():
            part.due_at = 0.0

    def _put_aside(self, part: _Part, error: Exception) -> None:
        """It is tried again, alone; the others go on."""
        workflow_id, anew = part.entries[0].workflow_id, not part.pause_s
        self._aside[workflow_id] = part
        part.pause_s = min(ASIDE_MAX_S, max(ASIDE_MIN_S, 2 * part.pause_s))
        part.due_at = monotonic() + part.pause_s
        part.held = isinstance(error, Locked)
        if part.held:
            if anew:
                self._observe(WriteHeldUp(workflow_id))
        elif (told := repr(error)) != self._told:
            self._told = told
            self._observe(LoopFailed("journal", told))

    def _divide(self, part: _Part, error: Exception) -> list[_Part]:
        """What is tried instead of a part that failed: its halves, or the rest if it is known what is held.

        What is held is put aside at once: found one by one, each would cost all others a wait for its lock.
        """
        # guard: held-found-one-by-one = ()
        held_ids = error.workflow_ids if isinstance(error, Locked) else ()
        held = [entry for entry in part.entries if entry.workflow_id in held_ids]
        if not held:
            return part.halves()
        for entry in held:
            self._put_aside(part.of([entry]), error)
        self._in_flight -= len(held)
        rest = [entry for entry in part.entries if entry.workflow_id not in held_ids]
        return [part.of(rest)] if rest else []

    async def _commit(self, part: _Part) -> dict[str, float | None]:
        """One try: the workflows whose rows were written, and of starts when that was."""
        batch = part.batch
        committed = await self._store.commit(batch)
        if committed.woken:
            self._due()
        written = dict.fromkeys(committed.accepted) | dict.fromkeys(committed.started, committed.created_s)
        # guard: never-confirmed
        if part.in_doubt and len(written) < len(part.entries):
            written |= await self._store.confirm(batch)
        return written

    async def _watch(self) -> float:
        """See whether what is to be written is. It counts looks: a frozen process hasn't waited."""
        # One that is refused alone says nothing of the others.
        # guard: refused-to-all-unseen = False
        refused = sum(not part.held for part in self._aside.values()) > 1
        waits = self._in_flight or refused or any(each not in self._aside for each in self._entries)
        if self._moves != self._moves_seen or not waits:
            if self._stalled_since is not None:
                self._observe(JournalMoves(monotonic() - self._stalled_since))
                self._stalled_since = None
            self._looks, self._moves_seen, self._moved_at = 0, self._moves, monotonic()
            return WATCH_S
        self._looks += 1
        # guard: stalled-journal-unseen
        if self._looks == STALLED_LOOKS:
            self._stalled_since = self._moved_at
            if not self.away:  # that was told
                self._observe(JournalStalled(monotonic() - self._moved_at))
        return WATCH_S

    def _take(self) -> list[_Entry]:
        batch: list[_Entry] = []
        rows = chars = 0
        rested, self._rested = self._rested, False
        waiting: Collection[_Entry] = self._entries.values()
        if self._aside:
            # guard: written-past-what-is-aside
            waiting = [each for each in waiting if each.workflow_id not in self._aside]
        most = len(waiting)
        if rested and most >= HALVED_MIN and worked() - self._worked_s >= HALVED_AT * self._quickest_s:
            most = (most + 1) // 2
        for entry in islice(waiting, most):
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

    def _settle(self, entry: _Entry, written: dict[str, float | None]) -> None:
        self._moves += 1
        try:
            if not entry.settled.done():
                entry.settle(written)
        # guard: waiter-ends-the-journal
        except Exception as error:  # noqa: BLE001 - one who waits in a wrong way must not stop what all wait for
            self._observe(LoopFailed("journal", repr(error)))

    async def _refuse(self, part: _Part, error: BadData) -> None:
        (entry,) = part.entries
        # guard: refused-though-written
        if part.in_doubt and entry.workflow_id in (written := await self._store.confirm(part.batch)):
            self._settle(entry, written)  # by an earlier try
            return
        self._moves += 1
        if not entry.settled.done():
            entry.settled.set_exception(error)
            entry.settled.exception()  # nobody may be waiting any more: that is no error of its own
