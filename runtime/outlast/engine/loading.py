"""Claimed workflows on their way into memory: as many at once as there is memory for, the rest given back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from outlast.core.budget import Budget
from outlast.core.observations import LoopFailed, Observer
from outlast.core.ports import Unreachable, WorkflowStore
from outlast.core.records import ClaimedWorkflow
from outlast.engine.settling import end_tasks

Launch = Callable[[ClaimedWorkflow, int], None]
GiveBack = Callable[[Sequence[ClaimedWorkflow]], None]


class Loader:
    """One loop. It reads beside the lease's connection, so that no beat waits for it."""

    def __init__(
        self,
        store: WorkflowStore,
        budget: Budget,
        used: Callable[[], int],
        launch: Launch,
        give_back: GiveBack,
        observe: Observer,
    ) -> None:
        """`used`: bytes that running workflows take. `launch` gets each that is whole, and its lease term."""
        self._store = store
        self._budget = budget
        self._used = used
        self._launch = launch
        self._give_back = give_back
        self._observe = observe
        self._batches: asyncio.Queue[tuple[list[ClaimedWorkflow], int]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self.loading: dict[str, ClaimedWorkflow] = {}
        """What is claimed and not running yet."""

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

    def load(self, workflows: list[ClaimedWorkflow], stretch: int) -> None:
        """Load and launch `workflows`, which were claimed in that term of the lease."""
        self.loading.update((each.workflow_id, each) for each in workflows)
        self._batches.put_nowait((workflows, stretch))

    def forget(self, workflow: ClaimedWorkflow) -> None:
        """It is no longer this instance's: it isn't launched."""
        if self.loading.get(workflow.workflow_id) is workflow:
            del self.loading[workflow.workflow_id]

    async def _run(self) -> None:
        while True:
            workflows, stretch = await self._batches.get()
            try:
                await self._load(workflows, stretch)
            except Unreachable:
                pass  # others tell of that
            except Exception as error:  # noqa: BLE001 - the loop must go on; it says what happened
                self._observe(LoopFailed("loader", repr(error)))
            left = [each for each in workflows if self.loading.get(each.workflow_id) is each]
            for each in left:
                del self.loading[each.workflow_id]
            if left:
                self._give_back(left)

    async def _load(self, workflows: list[ClaimedWorkflow], stretch: int) -> None:
        in_use = self._used()
        growing: str | None = None

        def enough(workflow: ClaimedWorkflow) -> bool:
            nonlocal in_use, growing
            if (
                workflow.workflow_id != growing
            ):  # what runs by now, and has ended meanwhile, is seen once each
                growing, in_use = workflow.workflow_id, self._used()
            # guard: records-without-budget = False
            return not self._budget.fits(in_use, workflow.load_bytes)

        found = self._store.load([each for each in workflows if each.workflow_id in self.loading], enough)
        try:
            async for workflow in found:
                if self.loading.get(workflow.workflow_id) is workflow:
                    del self.loading[workflow.workflow_id]
                    self._launch(workflow, stretch)
        finally:
            await found.aclose()
