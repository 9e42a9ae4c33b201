"""Bulks: verbs that are done to many workflows, a block after the other. One loop.

Whoever has the time does the next block, and a block is one commit: nothing is held in between.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from outlast.core.background import Loop
from outlast.core.clock import monotonic
from outlast.core.observations import LoopFailed, Observer
from outlast.core.ports import WorkflowStore

LOOKS_APART_S = 0.5
"""Told of work again and again, it looks no more often: that is mostly not about bulks."""


class BulkRunner:
    """A background loop over all bulks of the database."""

    def __init__(
        self,
        workflows: WorkflowStore,
        changed: Callable[[], None],
        may_run: Callable[[], bool],
        observe: Observer,
        look_s: float,
    ) -> None:
        """`changed` is called when workflows may wait to be claimed; `may_run`: whether this instance works.

        `look_s`: so soon is seen what others have begun, where nobody tells of it.
        """
        self._workflows = workflows
        self._changed = changed
        self._may_run = may_run
        self._look_s = look_s
        self._observe = observe
        self._looked_at = 0.0
        self._told: tuple[str | None, str] | None = None
        """The fault that was told of last, and of which bulk."""
        self.loop = Loop("bulks", self._do_round, observe)

    def look_soon(self) -> None:
        """Somebody says that there may be work."""
        self.loop.wake(max(monotonic(), self._looked_at + LOOKS_APART_S))

    async def _do_round(self) -> float:
        if not self._may_run():
            return self._look_s
        self._looked_at = monotonic()
        ran = await self._workflows.run_bulk()
        if ran.fault is not None and (ran.bulk_id, ran.fault) != self._told:
            self._told = ran.bulk_id, ran.fault
            self._observe(LoopFailed("bulks", f"{ran.bulk_id}: {ran.fault}"))
        if ran.bulk_id is not None:
            self._changed()
        look_s = self._look_s * random.uniform(0.8, 1.0)
        return look_s if ran.next_s is None else min(look_s, ran.next_s)
