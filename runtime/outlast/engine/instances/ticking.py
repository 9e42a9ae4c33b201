"""Schedules: this instance makes known what its functions declare, and starts what is due. One loop.

Nothing is held between a look and what is decided by it: the database does it only if the schedule is still
as it was. So each tick is one commit, on however many instances, and a frozen one is in nobody's way.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import datetime

from outlast.core.background import Loop
from outlast.core.clock import monotonic
from outlast.core.observations import Observer, ScheduleDeclared, ScheduleTicked, ScheduleUnusable
from outlast.core.ports import Catalog, ScheduleStore, Unreachable
from outlast.core.schedules import Backfill, Declared, DueSchedule, Order, decide, lag_of
from outlast.engine.options import DECLARE_S

BACKFILL_BATCH = 100
LOOKS_APART_S = 0.5
"""Told of work again and again, it looks no more often: that is mostly not about schedules."""


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
        """`started` is called when workflows wait to be claimed; `may_tick` says whether this instance works.

        `look_s`: so soon is seen what others have changed, where nobody tells of it.
        """
        self._store = store
        self._catalog = catalog
        self._started = started
        self._may_tick = may_tick
        self._observe = observe
        self._look_s = look_s
        self._declare_at = 0.0
        self._looked_at = 0.0
        self.declared: Sequence[Declared] | None = None
        """What this instance has made known."""
        self.loop = Loop("schedules", self._do_round, observe)

    def look_soon(self) -> None:
        """Somebody says that there may be work."""
        self.loop.wake(max(monotonic(), self._looked_at + LOOKS_APART_S))

    async def _do_round(self) -> float:
        # guard: ticks-while-leaving
        if not self._may_tick():
            return self._look_s
        await self._declare()
        self._looked_at = monotonic()
        work = await self._store.due()
        for unusable in work.unusable:
            await self._store.mark_unusable(unusable)
            self._observe(ScheduleUnusable(unusable.name, unusable.fault))
        failures: list[Exception] = []
        moved = await self._tick_all(work.due, failures)
        for backfill in work.backfills:
            try:
                moved = await self._backfill(backfill) or moved
            except Unreachable:
                raise
            except Exception as error:  # noqa: BLE001 - raised below: what one meets must not hold up the others
                failures.append(error)
        if failures:
            # Others tick: what waits for the next round must not wait ever longer.
            # guard: one-failing-schedule-slows-all
            if moved:
                self.loop.relent()
            raise failures[0]
        if moved:
            return 0.0
        look_s = self._look_s * random.uniform(0.8, 1.0)
        return look_s if work.next_s is None else max(0.0, min(look_s, work.next_s))

    async def _declare(self) -> None:
        declared = self._catalog.schedules()
        if declared == self.declared and monotonic() < self._declare_at:
            return
        changes = await self._store.declare(declared, self._catalog.broken_files())
        for name, change in changes or ():
            self._observe(ScheduleDeclared(name, change))
        self.declared = declared
        self._declare_at = monotonic() + DECLARE_S * random.uniform(0.8, 1.0)

    async def _tick_all(self, due: Sequence[DueSchedule], failures: list[Exception]) -> bool:
        """Do what is due, all at once, or each by itself if that fails; whether anything was done."""
        orders: list[Order] = []
        lags_s: dict[str, float | None] = {}
        for each in due:
            try:
                order = decide(each)
            # guard: undecided-stops-all
            except Exception as error:  # noqa: BLE001 - kept in `failures`
                failures.append(error)
                continue
            orders.append(order)
            lags_s[order.name] = lag_of(each, order)
        batches = [orders] if orders else []
        moved = False
        while batches:
            batch = batches.pop()
            try:
                ticked = await self._store.tick(batch)
            except Unreachable:
                raise
            except Exception as error:  # noqa: BLE001 - kept in `failures`, or met again alone
                # guard: one-schedule-stops-all = False
                if len(batch) > 1:
                    batches = [[each] for each in batch]
                else:
                    failures.append(error)
                continue
            for tick in ticked:
                lag_s = lags_s.get(tick.schedule) if tick.outcome == "started" else None
                self._observe(ScheduleTicked(tick.schedule, tick.outcome, tick.workflow_id, lag_s))
            if any(each.workflow_id is not None for each in ticked):
                self._started()
            moved = moved or bool(ticked)
        return moved

    async def _backfill(self, backfill: Backfill) -> bool:
        """Start some ticks of the past; whether it is further than before."""
        times: list[datetime] = []
        for each in backfill.timetable.times(backfill.after):
            if each > backfill.until or len(times) == BACKFILL_BATCH:
                break
            times.append(each)
        left = len(times) == BACKFILL_BATCH and times[-1] < backfill.until
        started = await self._store.backfill(backfill, times, times[-1] if left else None)
        if started:
            self._started()
        return started is not None
