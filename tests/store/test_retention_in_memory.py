"""What the store in memory removes is what Postgres does."""

from __future__ import annotations

import random

from outlast.core import kinds
from outlast.core.ports import Place
from outlast.core.records import NewWorkflow, StepRecord
from outlast.core.status import Status
from outlast.core.verbs import DELETE
from outlast.testing.database import Database
from outlast.testing.rows import Limits, Record, Workflow
from outlast.testing.statements.retention import RetentionStatements
from outlast.testing.statements.workflow_verbs import WorkflowVerbs


class Rows:
    """A database in memory whose time is 1,000 s."""

    def __init__(self) -> None:
        self.database = Database(lambda: 1_000.0, random.Random(1), Limits())
        self.statements = RetentionStatements(self.database)

    def add(self, workflow_id: str, at: float, parent: str | None = None, **columns: object) -> Workflow:
        """A workflow that ended at that time."""
        new = NewWorkflow(workflow_id, "f", "{}", parent=parent)
        row = Workflow(new, None, 1, at, at, Status.SUCCESS, untold=False)
        for name, value in columns.items():
            setattr(row, name, value)
        self.database.workflows[workflow_id] = row
        return row

    def prune(self) -> list[str]:
        """What 100 s leave."""
        after, more = Place(), True
        while more:
            batch = self.statements.prune(100.0, after)
            after, more = batch.after, batch.more
        return sorted(self.database.workflows)


def test_nothing_goes_that_is_needed() -> None:
    rows = Rows()
    rows.add("forked", 899)
    rows.add("forked~2", 899, forked_from="forked")
    rows.add("forked~3", 899, status=Status.PENDING, forked_from="forked~2")
    rows.add("reused", 899)
    rows.add("reused~2", 950, forked_from="reused", status=Status.ERROR)
    rows.database.records["reused~2", "1"] = Record(StepRecord("1", "x", kind=kinds.MAP), 0, 899.0)
    rows.add("old", 899)
    rows.add("old/1", 950, "old")
    rows.add("gone", 899)
    rows.add("gone/1", 898, "gone")
    rows.add("family", 899)
    rows.add("family/1", 1, "family", status=Status.PENDING)
    rows.add("untold", 899, status=Status.CANCELLED, untold=True)
    rows.add("waited", 899)
    rows.database.waits.add(("waited", "waiter"))
    assert rows.prune() == [
        "family",
        "family/1",
        "forked",
        "forked~2",
        "forked~3",
        "old",
        "old/1",
        "reused",
        "reused~2",
        "untold",
        "waited",
    ]


def test_a_map_tells_of_itself_after_another_workflow_was_deleted() -> None:
    rows = Rows()
    rows.add("gone", 899)
    rows.database.records["gone", "1"] = Record(StepRecord("1", "x"), 0, 899.0)
    rows.database.attached["call"] = ("gone", NewWorkflow("call", "f", "{}"))
    rows.add("parent", 899, status=Status.PENDING)
    rows.add("parent/map:1", 899, "parent", map={"total": 0, "started": 0})
    assert WorkflowVerbs(rows.database).act(DELETE, "gone", {}, "me") == {"deleted": 1}
    rows.database.maps.tell("parent/map:1", 1)
    assert list(rows.database.records) == [("parent", "map:1")]
    assert not rows.database.attached
