"""`maps.sql` and its functions in memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from outlast.core.errors import UsageError
from outlast.core.maps import ItemEnd, MapCounts, MapState, NewMap, Query
from outlast.core.ports import Fence
from outlast.core.records import NewWorkflow, StepRecord
from outlast.core.status import LIVE, Status
from outlast.testing.database import Database
from outlast.testing.rows import Record, Workflow

_FAILED = (Status.ERROR, Status.CANCELLED, Status.EXHAUSTED)


class MapStatements:
    """See core.ports.MapStore."""

    def __init__(self, database: Database, instance_id: str) -> None:
        self._db = database
        self._me = instance_id

    def open(self, fence: Fence, new: NewMap, items: int | Query) -> MapState | None:
        """`open`."""
        if isinstance(items, Query):
            raise UsageError("rows(…) needs Postgres: run this test with --outlast-pg")
        if new.map_id not in self._db.workflows:
            if not self._holds(fence):
                return None
            now = self._db.now()
            row = Workflow(
                NewWorkflow(
                    new.map_id, new.function, None, subject=new.subject, claims=new.claims,
                    parent=new.parent, deadline_s=new.deadline_s,
                ),
                None, 0, now, now, epoch=0,
            )  # fmt: skip
            row.map = {
                "total": items, "started": 0, "tolerate": new.tolerated(items), "on_fail": new.on_fail,
                "stopped": False, "tell_at": 0.0, "dropped": 0,
            }  # fmt: skip
            self._db.workflows[new.map_id] = row
            self._db.queue(new.map_id).base = {"concurrency": new.concurrency}
        return self.look(new.map_id)

    def _holds(self, fence: Fence) -> bool:
        row = self._db.workflows.get(fence.workflow_id)
        return row is not None and row.epoch == fence.epoch and row.owner == self._me

    def look(self, map_id: str) -> MapState | None:
        """`look`."""
        row = self._db.workflows.get(map_id)
        if row is None or row.map is None:
            return None
        return MapState(row.status, row.map["total"], row.map["started"], row.map["stopped"])

    def source(self, map_id: str, after: int, limit: int) -> list[str]:
        """`source`. There are no queries."""
        return []

    def start_block(
        self, fence: Fence, map_id: str, first: int, news: Sequence[NewWorkflow], keys: Sequence[str] | None
    ) -> MapState | None:
        """`start_block`."""
        # guard: memory-block-without-fence
        if not self._holds(fence):
            return None
        row = self._db.workflows[map_id]
        assert row.map is not None
        if row.status == Status.PENDING and row.map["started"] == first and not row.map["stopped"]:
            for new in news:
                if new.workflow_id not in self._db.workflows:
                    self._db.insert_waiting(new, fence.nonce)
            row.map["started"] = first + len(news)
        return self.look(map_id)

    def tell(self, map_id: str, number: int) -> None:
        """`tell`."""
        tell_map(self._db, map_id, number)

    def counts(self, map_id: str) -> MapCounts:
        """`counts`."""
        return counts_of(self._db, map_id)

    def failed(self, map_id: str, after: str, limit: int) -> list[ItemEnd]:
        """`failed`."""
        found = sorted(
            workflow_id
            for workflow_id, row in self._db.workflows.items()
            if row.new.parent == map_id and row.status in _FAILED and workflow_id > after
        )
        return [self._end(each) for each in found[:limit]]

    failures = failed

    def ends(self, map_id: str, ids: Sequence[str] | None, first: int, limit: int) -> list[ItemEnd]:
        """`ends`."""
        return [self._end(each) for each in ids or () if each in self._db.workflows]

    def _end(self, workflow_id: str) -> ItemEnd:
        row = self._db.workflows[workflow_id]
        return ItemEnd(workflow_id, row.status, row.output, row.error)


def counts_of(database: Database, map_id: str) -> MapCounts:
    """`outlast.map_counts`."""
    row = database.workflows[map_id]
    assert row.map is not None
    items = [each.status for each in database.workflows.values() if each.new.parent == map_id]
    failed = sum(each in _FAILED for each in items)
    return MapCounts(row.map["total"], sum(each == Status.SUCCESS for each in items), failed)


def tell_map(database: Database, map_id: str, number: int | None) -> None:
    """`outlast.tell_map`."""
    row = database.workflows[map_id]
    parent = database.workflows[str(row.new.parent)]
    of_parent = {
        step_id: each.step.completion_order or 0
        for (owner, step_id), each in database.records.items()
        if owner == row.new.parent
    }
    if number is None:
        if (
            parent.status != Status.PENDING
            or parent.owner is not None
            or database.is_locked(str(row.new.parent))
        ):
            return
        number = max(of_parent.values(), default=0) + 1
    counts, step_id = counts_of(database, map_id), map_id[len(str(row.new.parent)) + 1 :]
    assert row.map is not None
    told = {"total": counts.total, "started": row.map["started"], "ok": counts.ok, "failed": counts.failed}
    step = StepRecord(
        step_id, f"publish {step_id}", json.dumps(told), attempts=0, completion_order=number, kind="publish"
    )
    database.records[str(row.new.parent), step_id] = Record(step, 0, database.now())


def look_at_map(database: Database, map_id: str) -> bool:
    """`outlast.look_at_map`."""
    row = database.workflows.get(map_id)
    if row is None or row.map is None:
        return False
    of_map = row.map
    items = [each for each in database.workflows.values() if each.new.parent == map_id]
    remains = any(each.status in LIVE for each in items)
    failed = sum(each.status in _FAILED for each in items)
    live = row.status == Status.PENDING
    if live and not of_map["stopped"] and failed > of_map["tolerate"]:
        of_map["stopped"] = True
        queue = database.queue(map_id)
        queue.base = {**queue.base, "rate": {"n": 1, "per": 315360000}}
        queue.starts.append((max(database.now(), queue.decided_at), ""))
    over = of_map["stopped"] or of_map["started"] == of_map["total"]
    if live and not remains and over:
        counts = counts_of(database, map_id)
        if counts.failed > of_map["tolerate"]:
            row.status = Status.ERROR
            row.error = json.dumps({"code": "map_failed", "message": f"map {row.new.function}"})
        else:
            row.status = Status.SUCCESS
            row.output = json.dumps(counts._asdict())
        row.epoch += 1
        row.updated_at = database.now()
        tell_map(database, map_id, None)
    elif live and of_map["tell_at"] <= database.now():
        tell_map(database, map_id, None)
        of_map["tell_at"] = database.now() + 1.0
    if not remains and (over or not live):
        database.queues.pop(map_id, None)
        return live
    return False


def end_maps(database: Database, ended: Iterable[str]) -> list[str]:
    """`outlast.end_maps`."""
    parents = {
        str(row.new.parent)
        for each in ended
        if (row := database.workflows.get(each)) is not None and row.new.queue == row.new.parent
        if row.new.parent is not None
    }
    return [each for each in sorted(parents) if look_at_map(database, each)]


def stop_maps(database: Database) -> None:
    """`outlast.stop_maps`."""
    for map_id in sorted(database.queues):
        row = database.workflows.get(map_id)
        if row is None or row.map is None:
            continue
        parent = database.workflows.get(str(row.new.parent))
        if not row.map["stopped"] and parent is not None and parent.status in LIVE:
            continue
        row.map["stopped"] = True
        for each, item in list(database.workflows.items()):
            if item.new.parent != map_id or database.is_locked(each):
                continue
            if item.status == Status.ENQUEUED:
                del database.workflows[each]
            elif item.status == Status.PENDING and row.map["on_fail"] == "cancel":
                item.status, item.owner, item.claimable_at = Status.CANCELLED, None, None
                item.epoch += 1
                item.error = json.dumps({"code": "workflow_cancelled"})
        look_at_map(database, map_id)
