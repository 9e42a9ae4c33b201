"""Workflows that no code fits: held for other code, freed when it comes, ended if it never does. One loop."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from outlast.core.background import Loop
from outlast.core.clock import monotonic
from outlast.core.holds import Hold
from outlast.core.observations import HeldFreed, Observer, WorkflowHeld
from outlast.core.ports import Catalog, HeldUp, HoldStore

BATCH = 500
"""So many holds go into one statement."""
PAUSE_LOOKS = 5
"""If the last look is longer ago than so many intervals, this instance or its database was frozen."""
NEVER_S = 1e9
_Asked = tuple[int, Hold, asyncio.Future[bool | None]]


class Holder:
    """A background loop. `due` is called when workflows became claimable."""

    def __init__(
        self,
        store: HoldStore,
        catalog: Catalog,
        due: Callable[[], None],
        works: Callable[[], bool],
        observe: Observer,
        look_s: float,
        all_every_s: float,
        grace_s: float,
        days_max: float,
    ) -> None:
        """Every `look_s` it checks whether other code is served here, every `all_every_s` all that is held.

        `works`: whether this instance takes work. A workflow that is due for `grace_s` without code is held,
        but only once this instance has been here for that long. Otherwise, after a pause, workflows would be
        held although the instance that serves them is as late as this one.
        A held workflow ends after `days_max`; 0: never.
        """
        self._store = store
        self._catalog = catalog
        self._due = due
        self._works = works
        self._observe = observe
        self._look_s = look_s
        self._all_every_s = all_every_s
        self._grace_s = grace_s
        self._days_max = days_max
        self._asked: dict[str, _Asked] = {}
        self._told: Mapping[str, str] | None = None
        self._all_at = 0.0
        self._here_since = self._looked_at = -math.inf
        self.counts: dict[str, int] = {}
        """How many are held in the whole database, by reason, at the last look. Counts a thousand at most."""
        self.loop = Loop("holds", self._do_round, observe)

    async def hold(self, workflow_id: str, epoch: int, hold: Hold) -> bool | None:
        """See services.Holding. Closing the loop cancels it: then the end of the lease gives it back."""
        answer: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()
        former = self._asked.get(workflow_id)
        # guard: former-hold-unanswered
        if former is not None and not former[2].done():
            former[2].set_result(None)  # the workflow was claimed again meanwhile
        self._asked[workflow_id] = epoch, hold, answer
        self.loop.wake()
        return await answer

    async def pin(self, workflow_id: str, epoch: int, version: str) -> bool:
        """See HoldStore."""
        return await self._store.pin(workflow_id, epoch, version)

    async def close(self) -> None:
        """End the loop. Pending calls of `hold` return None."""
        await self.loop.close()
        for _, _, answer in self._asked.values():
            if not answer.done():
                answer.set_result(None)

    async def _do_round(self) -> float:
        if monotonic() - self._looked_at > PAUSE_LOOKS * self._look_s:
            self._here_since = monotonic()
        if self._works() and (self._catalog.versions() != self._told or monotonic() >= self._all_at):
            await self._look_at_all()
        self._looked_at = monotonic()
        if self._asked:
            await self._hold_asked()
            return 0.0
        return self._look_s

    async def _hold_asked(self) -> None:
        asked = list(self._asked.items())[:BATCH]
        try:
            await self._hold(asked)
        # guard: one-row-holds-up-all-holds
        except HeldUp:
            for each in asked:
                with suppress(HeldUp):
                    await self._hold([each])
            if any(self._asked.get(workflow_id) is each for workflow_id, each in asked):
                raise

    async def _hold(self, batch: Sequence[tuple[str, _Asked]]) -> None:
        held = await self._store.hold([(workflow_id, epoch, hold) for workflow_id, (epoch, hold, _) in batch])
        for workflow_id, asked in batch:
            if self._asked.get(workflow_id) is asked:
                del self._asked[workflow_id]
            if not asked[2].done():
                asked[2].set_result(held.get(workflow_id))

    async def _look_at_all(self) -> None:
        versions = self._catalog.versions()
        # guard: held-after-a-pause = True
        here = monotonic() - self._here_since >= self._grace_s
        seen = await self._store.look(versions, self._grace_s if here else NEVER_S, self._days_max)
        self._told = versions
        self._all_at = monotonic() + self._all_every_s * random.uniform(0.8, 1.0)
        self.counts = seen.counts
        if seen.freed:
            self._observe(HeldFreed(seen.freed))
            self._due()
        for each in seen.held:
            self._observe(WorkflowHeld(each.workflow_id, each.function, each.detail))
        if seen.freed or seen.ended:  # there may be more
            self._all_at = 0.0
