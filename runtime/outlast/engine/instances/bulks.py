"""Bulks: verbs that are done to many workflows, block by block. One loop.

Any instance does the next block. Each block is one commit, so no lock is held between blocks.
"""

from __future__ import annotations

from collections.abc import Callable

from outlast.core.observations import LoopFailed, Observer
from outlast.core.ports import WorkflowStore
from outlast.engine.instances.looking import Looks


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
        """`changed` is called when workflows may wait to be claimed. `may_run` and `look_s`: see Looks."""
        self._workflows = workflows
        self._changed = changed
        self._observe = observe
        self._told: tuple[str | None, str] | None = None
        """The last reported fault, and its bulk."""
        self.looks = Looks("bulks", self._look, may_run, observe, look_s)

    async def _look(self) -> float | None:
        ran = await self._workflows.run_bulk()
        if ran.fault is not None and (ran.bulk_id, ran.fault) != self._told:
            self._told = ran.bulk_id, ran.fault
            self._observe(LoopFailed("bulks", f"{ran.bulk_id}: {ran.fault}"))
        if ran.bulk_id is not None:
            self._changed()
        return ran.next_s
