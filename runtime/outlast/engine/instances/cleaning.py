"""Removes ended workflows that were kept for long enough, in small batches, with less priority than all else.

Nobody waits for it, so it rests after each batch for a multiple of the time that the batch took. The rest is
short if this instance has nothing to do, and long otherwise. The database lets one instance remove at a time.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from outlast.core.background import Loop
from outlast.core.clock import monotonic
from outlast.core.observations import Observer, WorkflowsRemoved
from outlast.core.ports import Catalog, Place, RetentionStore

REST_IDLE = 1.0
REST_BUSY = 20.0
"""How long it rests, as a multiple of the last batch's time: it uses half of a connection, or a twentieth."""

REST_S_MIN = 0.02
REST_S_MAX = 5.0
"""A batch that took so long that this bound applies was kept waiting by something else."""


class Cleaner:
    """A background loop over ended workflows."""

    def __init__(
        self,
        store: RetentionStore,
        catalog: Catalog,
        keep_s: float,
        is_busy: Callable[[], bool],
        may_work: Callable[[], bool],
        observe: Observer,
        look_s: float,
    ) -> None:
        """`keep_s` is for functions without a retention of their own; 0: for ever. `look_s`: its interval."""
        self._store = store
        self._catalog = catalog
        self._keep_s = keep_s
        self._is_busy = is_busy
        self._may_work = may_work
        self._observe = observe
        self._look_s = look_s
        self._after = Place()
        self._removed = 0
        self.loop = Loop("retention", self._do_round, observe)

    async def _do_round(self) -> float:
        keeps = self._catalog.retentions()
        if not self._keep_s and not keeps:
            return self._look_s  # everything is kept for ever
        # guard: removes-while-leaving
        if not self._may_work():
            return min(REST_S_MAX, self._look_s)  # it starts, has lost its lease, or shuts down
        if self._after == Place():
            await self._store.declare(keeps, self._catalog.workflow_names())
        began = monotonic()
        batch = await self._store.prune(self._keep_s, self._after)
        self._after = batch.after
        self._removed += batch.removed
        if batch.more:
            rest = REST_BUSY if self._is_busy() else REST_IDLE
            return min(REST_S_MAX, max(REST_S_MIN, rest * (monotonic() - began)))
        if self._removed:
            self._observe(WorkflowsRemoved(self._removed))
            self._removed = 0
        self._after = Place()
        return self._look_s * random.uniform(0.8, 1.0)
