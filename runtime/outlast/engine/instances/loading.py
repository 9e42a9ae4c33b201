"""Claimed workflows on their way into memory: as many at once as there is memory for, the rest given back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from outlast.core.background import Loop
from outlast.core.claims import ClaimedWorkflow
from outlast.core.clock import Clock
from outlast.core.observations import Observer
from outlast.core.ports import Unreachable, WorkflowStore
from outlast.engine.instances.allowance import Allowance

Launch = Callable[[ClaimedWorkflow, int], None]
GiveBack = Callable[[Sequence[ClaimedWorkflow]], None]

BROKEN_S = 30.0
"""So much later what could not be read is tried again: meanwhile it is in nobody's way."""


class Loader:
    """A background loop. It reads beside the lease's connection, so that no beat waits for it.

    While it waits after a failure (`loop.resumes_at`) nothing more should be claimed.
    """

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
        self._batches: deque[tuple[list[ClaimedWorkflow], int]] = deque()
        self.loading: dict[str, ClaimedWorkflow] = {}
        """What is claimed and not running yet. At the end it is given back with the lease."""
        self.loop = Loop("loader", self._load_next, observe, repeats=False)

    @property
    def load_bytes(self) -> int:
        """What is to be loaded yet, as far as it is known."""
        return sum(each.load_bytes for each in self.loading.values())

    def load(self, workflows: list[ClaimedWorkflow], term: int) -> None:
        """Load and launch `workflows`, which were claimed in that term of the lease."""
        self.loading.update((each.workflow_id, each) for each in workflows)
        self._batches.append((workflows, term))
        self.loop.wake()

    def forget(self, workflow: ClaimedWorkflow) -> None:
        """It is no longer this instance's: it isn't launched."""
        if self.loading.get(workflow.workflow_id) is workflow:
            del self.loading[workflow.workflow_id]

    async def _load_next(self) -> float | None:
        if not self._batches:
            return None
        workflows, term = self._batches.popleft()
        try:
            await self._load(workflows, term)
        except Exception as error:
            if not isinstance(error, Unreachable):
                for broken in self._left(workflows)[:1]:  # at the first one that isn't whole it stood
                    broken.due_s = self._clock.now_s() + BROKEN_S
            self._batches.clear()
            self._return(list(self.loading.values()))
            raise
        self._return(self._left(workflows))
        return 0.0

    def _left(self, workflows: list[ClaimedWorkflow]) -> list[ClaimedWorkflow]:
        return [each for each in workflows if self.loading.get(each.workflow_id) is each]

    def _return(self, workflows: list[ClaimedWorkflow]) -> None:
        for each in workflows:
            del self.loading[each.workflow_id]
        if workflows:
            self._give_back(workflows)

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
