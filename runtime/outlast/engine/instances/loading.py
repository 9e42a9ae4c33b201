"""Claimed workflows on their way into memory: as many at once as there is memory for, the rest given back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from outlast.core.clock import Clock, monotonic
from outlast.core.observations import LoopFailed, Observer
from outlast.core.ports import Unreachable, WorkflowStore
from outlast.core.records import ClaimedWorkflow
from outlast.engine.concurrency import end_tasks
from outlast.engine.instances.allowance import Allowance

Launch = Callable[[ClaimedWorkflow, int], None]
GiveBack = Callable[[Sequence[ClaimedWorkflow]], None]


REST_MIN_S, REST_MAX_S = 0.1, 5.0
"""So long nothing is claimed after a failure, ever longer while nothing succeeds."""

BROKEN_S = 30.0
"""So much later what could not be read is tried again: meanwhile it is in nobody's way."""


class Loader:
    """One loop. It reads beside the lease's connection, so that no beat waits for it."""

    def __init__(
        self,
        store: WorkflowStore,
        allowance: Allowance,
        clock: Clock,
        launch: Launch,
        give_back: GiveBack,
        observe: Observer,
    ) -> None:
        """`launch` gets each that is whole, and its lease term."""
        self._store = store
        self._allowance = allowance
        self._clock = clock
        self._launch = launch
        self._give_back = give_back
        self._observe = observe
        self._batches: asyncio.Queue[tuple[list[ClaimedWorkflow], int]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self.loading: dict[str, ClaimedWorkflow] = {}
        """What is claimed and not running yet."""
        self.rests_until = 0.0
        """Until then nothing more should be claimed (core.clock.monotonic)."""
        self._failures = 0

    def open(self) -> None:
        """Start the loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="outlast-loader")

    async def close(self) -> None:
        """Stop it. What it has is given back with the lease."""
        if self._task is not None:
            await end_tasks([self._task])

    @property
    def load_bytes(self) -> int:
        """What is to be loaded yet, as far as it is known."""
        return sum(each.load_bytes for each in self.loading.values())

    def load(self, workflows: list[ClaimedWorkflow], term: int) -> None:
        """Load and launch `workflows`, which were claimed in that term of the lease."""
        self.loading.update((each.workflow_id, each) for each in workflows)
        self._batches.put_nowait((workflows, term))

    def forget(self, workflow: ClaimedWorkflow) -> None:
        """It is no longer this instance's: it isn't launched."""
        if self.loading.get(workflow.workflow_id) is workflow:
            del self.loading[workflow.workflow_id]

    async def _run(self) -> None:
        while True:
            workflows, term = await self._batches.get()
            try:
                await self._load(workflows, term)
                self._failures = 0
            except Unreachable:  # others tell of that
                self._rest()
            except Exception as error:  # noqa: BLE001 - the loop must go on; it says what happened
                self._observe(LoopFailed("loader", repr(error)))
                self._rest()
                for broken in self._left(workflows)[:1]:  # at the first one that isn't whole it stood
                    broken.due_s = self._clock.now_s() + BROKEN_S
            left = self._left(workflows)
            for each in left:
                del self.loading[each.workflow_id]
            if left:
                self._give_back(left)

    def _left(self, workflows: list[ClaimedWorkflow]) -> list[ClaimedWorkflow]:
        return [each for each in workflows if self.loading.get(each.workflow_id) is each]

    def _rest(self) -> None:
        pause_s = min(REST_MAX_S, REST_MIN_S * 2.0 ** min(self._failures, 10))
        self._failures += 1
        self.rests_until = monotonic() + pause_s * random.uniform(0.5, 1.0)

    async def _load(self, workflows: list[ClaimedWorkflow], term: int) -> None:
        taken = self._allowance.taken()
        growing: str | None = None

        def enough(workflow: ClaimedWorkflow) -> bool:
            nonlocal taken, growing
            if workflow.workflow_id != growing:  # who has ended meanwhile is seen once for each
                growing, taken = workflow.workflow_id, self._allowance.taken()
            # guard: records-without-budget = False
            return not self._allowance.fits(taken, workflow)

        found = self._store.load(self._left(workflows), enough)
        try:
            async for workflow in found:
                if self.loading.get(workflow.workflow_id) is workflow:
                    del self.loading[workflow.workflow_id]
                    self._allowance.took(workflow)
                    self._launch(workflow, term)
        finally:
            await found.aclose()
