"""Schedules: this instance declares those of its functions, and starts what is due. One loop.

It holds no lock between reading a schedule and acting: the database acts only if the schedule is unchanged.
So each tick is one commit, on any number of instances, and a frozen instance blocks nobody.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from outlast.core.clock import monotonic
from outlast.core.observations import (
    LoopFailed,
    Observer,
    ScheduleDeclared,
    ScheduleFailed,
    ScheduleTicked,
    ScheduleUnusable,
)
from outlast.core.ports import Catalog, Locked, ScheduleStore, TookTooLong, Unreachable
from outlast.core.schedules import (
    Backfill,
    Catchup,
    Declared,
    DueSchedule,
    Order,
    Unusable,
    decide,
    lag_of,
)
from outlast.engine.instances.looking import Looks
from outlast.engine.instances.setbacks import Setbacks
from outlast.engine.options import DECLARE_S

BACKFILL_BATCH = 50
"""Each start is a subtransaction, and Postgres keeps only 64 of them in memory."""

TICK_LIMIT_S = 2.0
"""The time limit for all due schedules together, and for each one alone at its first try."""

SLOW_LIMIT_S = 5.0
"""The time limit for schedules that failed or were slow. They are tried after all others. Together with the
first limit it keeps the others from being so late that they count as missed (LATE_S)."""

KNOWN_MAX = 1_000
"""So many schedules are remembered as slow, and so many as refused."""

GIVEN_UP_AFTER_S = 60.0
"""A missed tick that must be run (`catchup="all"`) is tried for this long. Then the next one has its turn."""

DECLARES = "declares"


@dataclass(slots=True)
class _Refused:
    """A tick that fails, and since when."""

    nominal: datetime
    since: float
    error: str = ""


class Ticker:
    """A background loop over all schedules of the database."""

    def __init__(
        self,
        store: ScheduleStore,
        catalog: Catalog,
        started: Callable[[], None],
        may_tick: Callable[[], bool],
        observe: Observer,
        look_s: float,
    ) -> None:
        """`started` is called when workflows wait to be claimed. `may_tick` and `look_s`: see Looks."""
        self._store = store
        self._catalog = catalog
        self._started = started
        self._observe = observe
        self._declare_at = 0.0
        self._failing = Setbacks(partial(self._tell, "tick"))
        self._backfilling = Setbacks(partial(self._tell, "backfill"))
        self._declaring = Setbacks(lambda _, error: observe(LoopFailed("schedules", error)))
        self._turns: dict[str, int] = {}
        """Backfills by name, with a number that grows with each turn: the smallest has the next turn."""
        self._batches: dict[str, int] = {}
        """For slow backfills: how many ticks are started at once."""
        self._refused: dict[str, _Refused] = {}
        self._slow: dict[str, None] = {}
        """Schedules whose ticks took too long. Each is ticked alone, so that it uses no time of others."""
        self.declared: Sequence[Declared] | None = None
        """What this instance has declared."""
        self.looks = Looks("schedules", self._look, may_tick, observe, look_s)
        self.loop = self.looks.loop

    def _tell(self, what: str, name: str, error: str) -> None:
        self._observe(ScheduleFailed(name, what, error))

    async def _look(self) -> float | None:
        await self._declare_or_go_on()
        # Each failing schedule costs time. So only one of them is tried again between two looks.
        again = self._failing.first()
        # guard: failing-schedules-fill-what-is-due = await self._store.due([])
        work = await self._store.due(self._failing.others(again))
        if again not in [*(each.name for each in work.due), *(each.name for each in work.unusable)]:
            self._failing.forget(again)  # there is nothing left to do for it
        for unusable in work.unusable:
            await self._mark_unusable(unusable)
        moved = await self._tick_all(work.due, again)
        # The row of a schedule that has moved on differs from what was read, so its backfill waits.
        if await self._backfill_one([each for each in work.backfills if each.name not in moved]) or moved:
            return 0.0
        names = [each.name for each in work.backfills]
        self._backfilling.keep(names)
        self._turns = {each: turn for each, turn in self._turns.items() if each in names}
        self._batches = {each: size for each, size in self._batches.items() if each in names}
        again_s = (each.next_s() for each in (self._failing, self._backfilling, self._declaring))
        return min(*again_s, float("inf") if work.next_s is None else work.next_s)

    async def _declare_or_go_on(self) -> None:
        """Declare schedules. A failure here must not delay due ones."""
        if self._declaring.rests(DECLARES):
            return
        try:
            await self._declare()
        except Unreachable:
            raise
        # guard: one-declaration-stops-all-schedules
        except Exception as error:  # noqa: BLE001 - reported, and tried again
            self._declaring.note(DECLARES, error)
        else:
            self._declaring.forget(DECLARES)

    async def _declare(self) -> None:
        declared = self._catalog.schedules()
        if declared == self.declared and monotonic() < self._declare_at:
            return
        changes = await self._store.declare(declared, self._catalog.broken_files())
        for name, change in changes or ():
            self._observe(ScheduleDeclared(name, change))
        self.declared = declared
        self._declare_at = monotonic() + DECLARE_S * random.uniform(0.8, 1.0)

    async def _mark_unusable(self, unusable: Unusable) -> None:
        try:
            await self._store.mark_unusable(unusable, TICK_LIMIT_S)
        except Unreachable:
            raise
        # guard: one-unusable-schedule-stops-all
        except Exception as error:  # noqa: BLE001 - reported, and tried again
            self._failing.note(unusable.name, error)
            return
        self._failing.forget(unusable.name)
        self._observe(ScheduleUnusable(unusable.name, unusable.fault))

    async def _tick_all(self, due: Sequence[DueSchedule], again: str | None) -> set[str]:
        """Do what is due, all at once, or each alone if that fails. Returns the schedules that moved on.

        `again` has failed before: it is tried alone, after all others, and so are slow schedules.
        """
        orders: list[Order] = []
        lags_s: dict[str, float | None] = {}
        for each in due:
            try:
                order = self._or_skipped(decide(each), each.policies.catchup)
            # guard: undecided-stops-all
            except Exception as error:  # noqa: BLE001 - reported, and tried again
                self._failing.note(each.name, error)
                continue
            orders.append(order)
            lags_s[order.name] = lag_of(each, order)
        apart = {again, *self._slow}
        batches = [[each] for each in orders if each.name in apart]
        batches += [batch] if (batch := [each for each in orders if each.name not in apart]) else []
        moved: set[str] = set()
        while batches:
            batch, began = batches.pop(), monotonic()
            try:
                ticked = await self._store.tick(
                    batch, SLOW_LIMIT_S if batch[0].name in apart else TICK_LIMIT_S
                )
            except Unreachable:
                raise
            except Exception as error:  # noqa: BLE001 - reported, or met again alone
                # guard: one-schedule-stops-all = False
                if len(batch) > 1:
                    batches += [[each] for each in batch]
                else:
                    self._failing.note(batch[0].name, error)
                    self._note_pace(batch[0].name, slow=isinstance(error, TookTooLong))
                    self._note_refusal(batch[0], error)
                continue
            if batch[0].name in self._slow:
                self._note_pace(batch[0].name, slow=monotonic() - began > TICK_LIMIT_S / 2)
            for order in batch:
                self._failing.forget(order.name)
                self._refused.pop(order.name, None)
            for tick in ticked:
                lag_s = lags_s.get(tick.schedule) if tick.outcome == "started" else None
                self._observe(ScheduleTicked(tick.schedule, tick.outcome, tick.workflow_id, lag_s))
            if any(each.workflow_id is not None for each in ticked):
                self._started()
            moved.update(tick.schedule for tick in ticked)
        return moved

    def _note_pace(self, name: str, *, slow: bool) -> None:
        self._slow.pop(name, None)
        if slow:
            self._slow[name] = None
        for each in list(self._slow)[:-KNOWN_MAX]:
            del self._slow[each]

    def _note_refusal(self, order: Order, error: Exception) -> None:
        """The tick has failed alone. After a lock or a timeout it may still succeed, so these don't count."""
        known = self._refused.pop(order.name, None)
        if order.nominal is None or isinstance(error, Locked | TookTooLong):
            return
        if known is None or known.nominal != order.nominal:
            known = _Refused(order.nominal, monotonic())
        known.error = str(error).partition("\n")[0] or type(error).__name__
        self._refused[order.name] = known
        for each in list(self._refused)[:-KNOWN_MAX]:
            del self._refused[each]

    def _or_skipped(self, order: Order, catchup: Catchup) -> Order:
        """The order, or one that skips its tick if it has failed for too long and later ticks wait for it."""
        known = self._refused.get(order.name)
        if known is None or known.nominal != order.nominal or order.late_s is None or catchup != Catchup.ALL:
            return order
        # guard: ticks-wait-for-a-refused-one = True
        if monotonic() - known.since < GIVEN_UP_AFTER_S:
            return order
        return replace(order, refusal=f"it was tried again and again: {known.error}")

    async def _backfill_one(self, backfills: Sequence[Backfill]) -> bool:
        """Start some past ticks of the backfill whose turn it is. Returns whether more may be done at once.

        Only one backfill at a time, so that no tick that is due now is late.
        """
        ready = [each for each in backfills if not self._backfilling.rests(each.name)]
        if not ready:
            return False
        # guard: backfills-without-turns = ready[0]
        one = min(ready, key=lambda each: self._turns.get(each.name, 0))
        self._turns[one.name] = max(self._turns.values(), default=0) + 1
        try:
            further = await self._backfill(one)
        except Unreachable:
            raise
        # guard: one-backfill-stops-all
        except Exception as error:  # noqa: BLE001 - reported, and tried again
            self._backfilling.note(one.name, error)
        else:
            if further:
                self._backfilling.forget(one.name)
                return True
            self._backfilling.note(one.name, None)  # another instance works on it
        return len(ready) > 1

    async def _backfill(self, backfill: Backfill) -> bool:
        """Start some past ticks. Returns whether the backfill made progress."""
        times: list[datetime] = []
        most, began = self._batches.get(backfill.name, BACKFILL_BATCH), monotonic()
        for each in backfill.timetable.times(backfill.after):
            if each > backfill.until or len(times) == most:
                break
            times.append(each)
        left = len(times) == most and times[-1] < backfill.until
        try:
            started = await self._store.backfill(
                backfill, times, times[-1] if left else None, TICK_LIMIT_S if most > 1 else SLOW_LIMIT_S
            )
        except TookTooLong:
            self._batches[backfill.name] = max(1, most // 8)
            raise
        if monotonic() - began < TICK_LIMIT_S / 4:
            self._batches[backfill.name] = min(BACKFILL_BATCH, 2 * most)
        if started:
            self._started()
        return started is not None
