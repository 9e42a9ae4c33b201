"""Loads claimed workflows: as many at once as there is memory for. The rest is given back."""

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
"""A workflow that could not be read is due again after this time, so that it doesn't hold up others."""


class Loader:
    """A background loop. It reads on another connection than the lease's, so that no beat waits for it.

    While it waits after a failure (`loop.resumes_at`), nothing more should be claimed.
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
        """`launch` gets each loaded workflow and its lease term."""
        self._store = store
        self._allowance = allowance
        self._clock = clock
        self._launch = launch
        self._give_back = give_back
        self._batches: deque[tuple[list[ClaimedWorkflow], int]] = deque()
        self.loading: dict[str, ClaimedWorkflow] = {}
        """Workflows that are claimed and don't run yet. At shutdown they are given back with the lease."""
        self.loop = Loop("loader", self._load_next, observe, repeats=False)

    @property
    def load_bytes(self) -> int:
        """The size of what is still to be loaded, as far as it is known."""
        return sum(each.load_bytes for each in self.loading.values())

    def load(self, workflows: list[ClaimedWorkflow], term: int) -> None:
        """Load and launch `workflows`, which were claimed in this term of the lease."""
        self.loading.update((each.workflow_id, each) for each in workflows)
        self._batches.append((workflows, term))
        self.loop.wake()

    def forget(self, workflow: ClaimedWorkflow) -> None:
        """The workflow is no longer this instance's: don't launch it."""
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
                for broken in self._left(workflows)[:1]:  # the first incomplete one caused the failure
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
            if workflow.workflow_id != growing:  # once for each workflow: others may have ended
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
