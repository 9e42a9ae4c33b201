"""`maps.sql` and its functions in memory."""

from __future__ import annotations

from collections.abc import Sequence

from outlast.core.errors import UsageError
from outlast.core.maps import ItemEnd, MapCounts, MapState, NewMap, Query
from outlast.core.ports import Fence
from outlast.core.records import NewWorkflow
from outlast.core.status import FAILED, Status
from outlast.testing.rows import Workflow
from outlast.testing.statements.retrying import Retrying
from outlast.testing.statements.statements import Statements


class MapStatements(Statements):
    """See core.ports.MapStore."""

    def find(self, fence: Fence, new: NewMap, map_ids: Sequence[str]) -> str | None:
        """`find`."""
        # guard: memory-map-found-without-fence
        if not self._owns(fence):
            return None
        generation = self._db.workflows[fence.workflow_id].generation
        there = {
            each: row for each in map_ids if (row := self._db.workflows.get(each)) is not None and row.map
        }
        of_now = [each for each, row in there.items() if (row.map or {})["generation"] == generation]
        # guard: memory-maps-of-before-hinder = list(there)
        same = [each for each, row in there.items() if _goes_over(row, new)]
        found: str = (of_now + same + [map_ids[-1 if there else 0]])[0]
        for each, row in there.items():
            # guard: memory-maps-of-before-go-on
            if each != found and row.status is Status.PENDING and row.map is not None:
                row.map["stopped"] = True
        return found

    def open(self, fence: Fence, new: NewMap, items: int | Query | None) -> MapState | None:
        """`open`."""
        if isinstance(items, Query):
            raise UsageError("rows(…) needs Postgres: run this test with --outlast-pg")
        if new.map_id not in self._db.workflows:
            if not self._owns(fence):
                return None
            now = self._db.now()
            row = Workflow(
                NewWorkflow(
                    new.map_id, new.function, None, subject=new.subject, claims=new.claims,
                    parent=new.parent, deadline_s=new.deadline_s, fingerprint=new.fingerprint,
                ),
                None, 0, now, now, epoch=0,
            )  # fmt: skip
            row.map = {
                "total": items, "started": 0, "tolerate": new.tolerated(items or 0), "on_fail": new.on_fail,
                "stopped": False, "tell_at": 0.0, "dropped": 0,
                "generation": self._db.workflows[fence.workflow_id].generation,
            }  # fmt: skip
            self._db.workflows[new.map_id] = row
            self._db.queue(new.map_id).base = {"concurrency": new.concurrency}
        return self.look(new.map_id)

    def reopen(self, fence: Fence, new: NewMap, total: int) -> MapState | None:
        """`reopen`."""
        if not self._owns(fence):
            return None
        parent = self._db.workflows[fence.workflow_id]
        Retrying(self._db).reopen_map(new, parent, new.tolerated(total))
        return self.look(new.map_id)

    def free(self, map_id: str) -> bool:
        """`free`."""
        return bool(self._db.maps.sources.pop(map_id, None))

    def retry_child(self, fence: Fence, child: str) -> bool:
        """`retry_child`."""
        return self._owns(fence) and Retrying(self._db).retry_child(
            child, self._db.workflows[fence.workflow_id]
        )

    def look(self, map_id: str) -> MapState | None:
        """`look`."""
        row = self._db.workflows.get(map_id)
        if row is None or row.map is None:
            return None
        reopening = "reopening" in row.map
        return MapState(row.status, row.map["total"], row.map["started"], row.map["stopped"], reopening)

    def finish(self, map_id: str) -> MapState | None:
        """`finish`."""
        if self._db.maps.look(map_id):
            self._db.tell_ends()
        return self.look(map_id)

    def keep(self, fence: Fence, map_id: str, first: int, items: Sequence[str]) -> bool:
        """`keep`."""
        if not self._owns(fence):
            return False
        self._db.maps.sources.setdefault(map_id, [])[first : first + len(items)] = items
        return True

    def kept(self, fence: Fence, map_id: str, total: int, tolerate: int) -> bool:
        """`kept`."""
        of_map = self._db.workflows[map_id].map
        if not self._owns(fence) or of_map is None:
            return False
        self._db.wait_for_writable(map_id)
        del self._db.maps.sources.setdefault(map_id, [])[total:]
        of_map["total"], of_map["tolerate"] = total, tolerate
        return True

    def source(self, map_id: str, after: int, limit: int) -> list[str]:
        """`source`."""
        return self._db.maps.sources.get(map_id, [])[after : after + limit]

    def start_block(
        self, fence: Fence, map_id: str, first: int, news: Sequence[NewWorkflow], keys: Sequence[str] | None
    ) -> MapState | None:
        """`start_block`."""
        # guard: memory-block-without-fence
        if not self._owns(fence):
            return None
        row = self._db.workflows[map_id]
        assert row.map is not None
        if row.status == Status.PENDING and row.map["started"] == first and not row.map["stopped"]:
            # guard: memory-refusing-maps-go-on
            self._db.wait_for_writable(map_id)
            for new in news:
                if new.workflow_id not in self._db.workflows:
                    self._db.insert_waiting(new, fence.nonce)
            row.map["started"] = first + len(news)
            known = self._db.maps.keys.setdefault(map_id, [])
            if keys is not None and len({*known, *keys}) < len(known) + len(keys):
                raise UsageError("map_(key): two items have one key")
            known += keys or ()
        return self.look(map_id)

    def tell(self, map_id: str, number: int) -> None:
        """`tell`."""
        self._db.maps.tell(map_id, number)

    def counts(self, map_id: str) -> MapCounts:
        """`counts`."""
        return self._db.maps.counts(map_id)

    def failed(self, map_id: str, after: str, limit: int) -> list[ItemEnd]:
        """`failed`."""
        found = sorted(
            workflow_id
            for workflow_id, row in self._db.workflows.items()
            if row.new.parent == map_id and row.status in FAILED and workflow_id > after
        )
        return [self._end(each) for each in found[:limit]]

    failures = failed

    def ends(self, map_id: str, ids: Sequence[str] | None, first: int, limit: int) -> list[ItemEnd]:
        """`ends`."""
        if ids is None:
            ids = [f"{map_id}/{key}" for key in self._db.maps.keys[map_id][first : first + limit]]
        return [self._end(each) for each in ids if each in self._db.workflows]

    def _end(self, workflow_id: str) -> ItemEnd:
        row = self._db.workflows[workflow_id]
        return ItemEnd(workflow_id, row.status, row.output, row.error)


def _goes_over(row: Workflow, new: NewMap) -> bool:
    return row.new.function in (new.function, *new.former) and row.new.fingerprint == new.fingerprint
