"""`retention.sql` in memory: ended workflows are removed with everything that belongs to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from outlast.core.ports import Place, Pruned
from outlast.core.status import LIVE, Status
from outlast.testing.rows import Workflow
from outlast.testing.statements.statements import Statements

BATCH_ROWS = 20
"""Few, so that more than one batch is common."""


class RetentionStatements(Statements):
    """See core.ports.RetentionStore."""

    def declare(self, keeps: Mapping[str, float | None], served: Sequence[str]) -> None:
        """`outlast.declare_retentions`."""
        for function in served:
            self._db.retentions.pop(function, None)
        self._db.retentions.update(keeps)

    def prune(self, keep_s: float, after: Place, most: int = BATCH_ROWS) -> Pruned:
        """`outlast.prune`; a tree is removed as a whole, however large it is."""
        kept = keep_s or float("inf")
        horizon = self._db.now() - min(
            [kept, *(each for each in self._db.retentions.values() if each is not None)]
        )
        last = (after.at or datetime.min.replace(tzinfo=UTC), after.workflow_id)
        ended = sorted(
            (datetime.fromtimestamp(row.updated_at, UTC), workflow_id)
            for workflow_id, row in self._db.workflows.items()
            if row.status not in LIVE and row.updated_at < horizon
        )
        seen = [each for each in ended if each > last][:most]
        if not seen:
            return Pruned(0, False, Place())
        removed = 0
        for _, workflow_id in seen:
            row = self._db.workflows.get(workflow_id)
            if row is not None and row.new.parent not in self._db.workflows:
                removed += self._remove(workflow_id, kept)
        return Pruned(removed, True, Place(*seen[-1]))

    def _remove(self, top: str, kept: float) -> int:
        members = list(self._tree(top))
        if not all(self._removable(each, kept) for each in members):
            return 0
        for each in members:
            self._db.remove(each)
        return len(members)

    def _tree(self, top: str) -> Iterator[str]:
        yield top
        for workflow_id, row in list(self._db.workflows.items()):
            if row.new.parent == top:
                yield from self._tree(workflow_id)

    def _removable(self, workflow_id: str, kept: float) -> bool:
        row = self._db.workflows[workflow_id]
        keep = self._db.retentions.get(row.new.function, kept)
        # guard: removed-too-soon-in-memory
        if keep is None or row.updated_at + keep >= self._db.now():
            return False
        # guard: removed-though-waited-for-in-memory
        if self._is_waited_for(workflow_id, row):
            return False
        # This workflow would be removed itself, so it is no reader.
        # guard: removed-under-its-forks-in-memory
        if self._db.reader_among([workflow_id], [workflow_id]) is not None:
            return False
        return not self._is_held(workflow_id)

    def _is_waited_for(self, workflow_id: str, row: Workflow) -> bool:
        waited = any(target == workflow_id for target, _ in self._db.waits)
        untold = row.untold and (row.new.parent is not None or row.status == Status.CANCELLED)
        members = any(
            each.batch == workflow_id and each.status == Status.PENDING
            for each in self._db.workflows.values()
        )
        callers = map(self._db.workflows.get, self._db.attached_by([workflow_id]))
        read = any(caller is not None and caller.status in LIVE for caller in callers)
        return waited or untold or members or read

    def _is_held(self, workflow_id: str) -> bool:
        """Whether a transaction of its own, or one that sends it a message, holds its row."""
        sending = any(each.workflow_id == workflow_id and not each.visible for each in self._db.letters)
        return sending or self._db.is_locked(workflow_id)
