"""The base of all statements: the database, and the instance that calls them."""

from __future__ import annotations

from outlast.core.ports import Fence
from outlast.core.records import FencedWrite
from outlast.testing.database import Database


class Statements:
    """The statements of one instance, or of no particular one."""

    def __init__(self, database: Database, instance_id: str = "") -> None:
        self._db = database
        self._me = instance_id

    def _owns(self, claimed: Fence | FencedWrite) -> bool:
        """Whether this instance still owns a workflow, at the epoch at which it was claimed."""
        row = self._db.workflows.get(claimed.workflow_id)
        return row is not None and (row.owner, row.epoch) == (self._me, claimed.epoch)
