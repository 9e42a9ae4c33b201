"""What the statements of all stores have: the database, and who asks it."""

from __future__ import annotations

from outlast.core.ports import Fence
from outlast.core.records import FencedWrite
from outlast.testing.database import Database


class Statements:
    """Those of one instance, or of nobody in particular."""

    def __init__(self, database: Database, instance_id: str = "") -> None:
        self._db = database
        self._me = instance_id

    def _owns(self, claimed: Fence | FencedWrite) -> bool:
        """Whether a workflow is this instance's, at the epoch that it was claimed at."""
        row = self._db.workflows.get(claimed.workflow_id)
        return row is not None and (row.owner, row.epoch) == (self._me, claimed.epoch)
