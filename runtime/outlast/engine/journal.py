"""Group commit: all writes of all workflows of this instance, in order, in few commits.

A batch is what queued up while the last commit was on its way: no timer, no added delay. If this process and
the database take turns at one large batch, it is sent in two parts, so that both can work at once. Each write
returns a future that its commit settles. Batches are committed one after the other, so the durable records of
a workflow are always a prefix of what it wrote.
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
"""At least HALVED_MIN entries that wait after a rest are committed in two parts, if this process has worked
since the last commit for HALVED_AT times as long as the quickest commit takes. Otherwise process and database
would take turns, also in the next rounds. If the database is far away, one more commit costs more than this
saves."""

BATCH_ROWS_MAX = 2_000
BATCH_CHARS_MAX = 8_000_000
CONFLICT_PAUSE_S = 0.01
CONFLICTS_MAX = 20
"""So many conflicts in a row aren't chance: one entry of the batch conflicts each time."""

ASIDE_MIN_S, ASIDE_MAX_S = 0.1, 10.0
"""The delay before an entry that can't be written alone is tried again. It grows between these bounds."""

WATCH_S = 1.0
STALLED_LOOKS = 5
"""The journal counts as stalled after so many looks at which entries waited and none had been written."""


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
        """Step ids of waits that aren't over."""

    def settle(self, written: dict[str, float | None]) -> None:
        self.settled.set_result(self.workflow_id in written)


_Entry = _Start | _Write


class _Part:
    """A batch to write, or what is left of one of which the database refused a part."""

    __slots__ = ("batch", "conflicts", "due_at", "entries", "held", "in_doubt", "nonce", "pause_s")

    def __init__(self, entries: list[_Entry], nonce: int) -> None:
        self.entries = entries
        self.nonce = nonce
        self.in_doubt = False
        """Whether an earlier try may have been committed although its answer was lost."""
        self.due_at = self.pause_s = 0.0
        """If it is aside, or was: when it is tried again, and how long that is after the last try."""
        self.conflicts = 0
        """How many conflicts it had in a row."""
        self.held = False
        """Whether another transaction held a row that it needs. Then other entries can be written."""
        starts: list[NewWorkflow] = []
        writes: list[_Write] = []
        for entry in entries:
            if isinstance(entry, _Write):
                writes.append(entry)
            else:
                starts.append(entry.new)
        self.batch = Batch(nonce, starts, writes)

    def halves(self) -> list[_Part]:
        """Both halves, to be committed one after the other."""
        half = len(self.entries) // 2
        return [self.of(self.entries[:half]), self.of(self.entries[half:])]

    def of(self, entries: list[_Entry]) -> _Part:
        """A part with some of its entries. It is in doubt if this one is."""
        part = _Part(entries, self.nonce)
        part.in_doubt = self.in_doubt
        return part


class Journal:
    """The only writer of engine rows. Call `start` and `write` on its event loop."""

    def __init__(
        self, store: JournalStore, observe: Observer, due: Callable[[], None], *, depth_max: int = 20_000
    ) -> None:
        """`due` is called when a commit has made workflows claimable."""
        self._loop = asyncio.get_running_loop()  # a body's loop may be running when something is written
        self._store = store
        self._observe = observe
        self._due = due
        self._entries: dict[str, _Entry] = {}
        self._on_their_way: list[_Part] = []
        self._in_flight = 0
        """How many entries the parts on their way have."""
        self._aside: dict[str, _Part] = {}
        """Parts that can't be written, by workflow. The fault may be their own, or one that all have.

        Nothing more of these workflows is written, so that what is durable stays a prefix.
        """
        self._aside_next = False
        """Whether it is the turn of a part that is aside. These and new entries take turns."""
        self._told = ""
        self._rested = False
        """Whether nothing waited when the last commit was answered."""
        self._quickest_s = float("inf")
        """How long a quick commit takes. Slower commits raise it a little each: databases get slower too."""
        self._worked_s = 0.0
        """This thread's working time when the last commit was answered (core.clock.worked)."""
        self._depth_max = depth_max
        self._nonces = count(secrets.randbits(62))
        self._drained = asyncio.Event()
        self._drained.set()
        self.writing = Loop("journal", self._write_next, observe, tells_absence=True)
        self.watching = Loop("journal watch", self._watch, observe)
        self._moved_at = monotonic()
        self._moves = self._moves_seen = self._looks = 0
        """Entries settled so far; their number at the last look; looks since it last changed."""
        self._stalled_since: float | None = None

    @property
    def stalled(self) -> bool:
        """Whether entries have been waiting for long and none is written, for any reason."""
        return self._stalled_since is not None

    @property
    def away(self) -> bool:
        """Whether the last commit failed, for example because there was no connection."""
        return self.writing.failing

    @property
    def full(self) -> bool:
        """Whether so much is waiting that nothing more should be begun."""
        return len(self._entries) + self._in_flight + len(self._aside) >= self._depth_max

    def is_aside(self, workflow_id: str) -> bool:
        """Whether this workflow's entries can't be written for now."""
        return workflow_id in self._aside

    async def close(self, timeout_s: float) -> None:
        """Write what waits, for `timeout_s` at most, and stop. What is left was never acknowledged."""
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
        """Insert a workflow. Settles to its creation time in Unix seconds, or to None if its id is taken.

        While a start waits, there must be no second one with its id.
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
        """Record steps or the end of a workflow. Settles to False if the fence refused, or raises BadData.

        All that one workflow writes while a commit is on its way goes into the next commit together.
        """
        write = self._entries.get(workflow_id)
        # guard: last-word-of-the-old
        if isinstance(write, _Write) and write.epoch > epoch:
            return self._refuse_write()  # the last write of an execution whose workflow was claimed again
        if not isinstance(write, _Write) or write.epoch != epoch or write.end is not None:
            write = _Write(workflow_id, epoch, self._loop.create_future())
            self._add(workflow_id, write)
        for step in steps:
            if step.step_id in write.begun:  # it may end before the record that it waits was written
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
            # The workflow was claimed again while its old execution had an entry here: that entry is refused.
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
        """After how long the part, or its parts, are tried again; None if it needs no more tries here.

        A part is divided until its entries are alone, which shows whose fault it is. One row's bad data must
        not fail other workflows. If the fault may be everyone's, no entry is given up.
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
        """The next part: parts that are aside and new entries take turns."""
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
        """Try all parts that are aside now: what kept one from being written may have kept all."""
        for part in self._aside.values():
            part.due_at = 0.0

    def _put_aside(self, part: _Part, error: Exception) -> None:
        """Put a part aside: it is tried again alone, and the others go on."""
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
        """The parts to try instead of a failed one: its halves, or the rest if the held rows are known.

        Entries with held rows are put aside at once. Found one by one, each would make all others wait.
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
        """One try. Returns the workflows whose rows were written; for starts with their creation time."""
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
        """Check whether entries are written. It counts looks, not time: a frozen process hasn't waited."""
        # One refused entry says nothing about the others.
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
            if not self.away:  # that was reported already
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
        except Exception as error:  # noqa: BLE001 - one waiter's error must not stop all others
            self._observe(LoopFailed("journal", repr(error)))

    async def _refuse(self, part: _Part, error: BadData) -> None:
        (entry,) = part.entries
        # guard: refused-though-written
        if part.in_doubt and entry.workflow_id in (written := await self._store.confirm(part.batch)):
            self._settle(entry, written)  # an earlier try wrote it
            return
        self._moves += 1
        if not entry.settled.done():
            entry.settled.set_exception(error)
            entry.settled.exception()  # nobody may be waiting any more: that is no error
