"""Maps in memory: what the database's functions do with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from outlast.core.maps import MapCounts
from outlast.core.records import StepRecord
from outlast.core.status import FAILED, LIVE, Status
from outlast.testing.rows import QueueRow, Record, Workflow


class Maps:
    """The maps of one database, kept in its tables."""

    def __init__(
        self,
        workflows: dict[str, Workflow],
        records: dict[tuple[str, str], Record],
        queues: dict[str, QueueRow],
        now: Callable[[], float],
        is_locked: Callable[[str], bool],
        refuses: Callable[[str], bool],
        tell_events: Callable[[str, str], bool],
        cancel: Callable[[Workflow, str], None],
    ) -> None:
        self._workflows = workflows
        self._records = records
        self._queues = queues
        self._now = now
        self._is_locked = is_locked
        self._refuses = refuses
        self._tell_events = tell_events
        self._cancel = cancel
        self.sources: dict[str, list[str]] = {}
        """The items (JSON) of maps over generators."""
        self.keys: dict[str, list[str]] = {}
        """Their keys, as far as they have been started."""

    def counts(self, map_id: str) -> MapCounts:
        """`outlast.map_counts`."""
        of_map = self._workflows[map_id].map
        assert of_map is not None
        items = [each.status for each in self._workflows.values() if each.new.parent == map_id]
        failed = sum(each in FAILED for each in items)
        return MapCounts(of_map["total"], sum(each == Status.SUCCESS for each in items), failed)

    def text(self, map_id: str) -> str:
        """`outlast.map_text`."""
        counts = self.counts(map_id)
        failed = f", {counts.failed} failed" if counts.failed else ""
        function = self._workflows[map_id].new.function
        return f"map {function} {counts.ok + counts.failed}/{counts.total}{failed}"

    def tell(self, map_id: str, number: int | None) -> None:
        """`outlast.tell_map`."""
        row = self._workflows[map_id]
        parent_id = str(row.new.parent)
        if number is None:
            parent = self._workflows[parent_id]
            # guard: memory-progress-beside-the-owner
            if parent.status != Status.PENDING or parent.owner is not None or self._is_locked(parent_id):
                return
            places = [
                each.step.completion_order or 0
                for (owner, _), each in self._records.items()
                if owner == parent_id
            ]
            number = max(places, default=0) + 1
        assert row.map is not None
        counts, event = self.counts(map_id), map_id.rpartition("/")[2]
        told = {
            "total": counts.total,
            "started": row.map["started"],
            "ok": counts.ok,
            "failed": counts.failed,
        }
        step = StepRecord(
            event, f"publish {event}", json.dumps(told), attempts=0, completion_order=number, kind="publish"
        )
        self._records[parent_id, event] = Record(step, 0, self._now())
        self._tell_events(parent_id, event)

    def look(self, map_id: str) -> bool:
        """`outlast.look_at_map`."""
        row = self._workflows.get(map_id)
        if row is None or row.map is None:
            return False
        live, of_map = row.status == Status.PENDING, row.map
        if live and "reopening" in of_map and not of_map["stopped"]:
            return False
        items = [each for each in self._workflows.values() if each.new.parent == map_id]
        remains = any(each.status in LIVE for each in items)
        if live and not of_map["stopped"] and self.counts(map_id).failed > of_map["tolerate"]:
            of_map["stopped"] = True
            if (queue := self._queues.get(map_id)) is not None:
                queue.base = {**queue.base, "rate": {"n": 1, "per": 315360000}}
                queue.starts.append((max(self._now(), queue.decided_at), ""))
        over = of_map["stopped"] or of_map["started"] == of_map["total"]
        if live and not remains and over:
            self._end(map_id, row)
        elif live and of_map["tell_at"] <= self._now():
            self.tell(map_id, None)
            of_map["tell_at"] = self._now() + 1.0
        if not remains and (over or not live):
            self._queues.pop(map_id, None)
            return live
        return False

    def _end(self, map_id: str, row: Workflow) -> None:
        counts = self.counts(map_id)
        assert row.map is not None
        # guard: memory-stopped-maps-succeed without 2
        if counts.failed > row.map["tolerate"] or counts.ok + counts.failed != counts.total:
            row.status = Status.ERROR
            row.error = json.dumps({"code": "map_failed", "message": f"map {row.new.function}"})
        else:
            row.status = Status.SUCCESS
            row.output = json.dumps(counts._asdict())
        row.epoch += 1
        row.updated_at = self._now()
        self.tell(map_id, None)

    def end(self, ended: Iterable[str]) -> None:
        """`outlast.end_maps`."""
        rows = (self._workflows[each].new for each in ended if each in self._workflows)
        for map_id in sorted({str(new.parent) for new in rows if new.queue and new.queue == new.parent}):
            self.look(map_id)

    def stopped(self) -> list[str]:
        """The maps for which `outlast.maps_stopped` is true."""
        return [each for each in sorted(self._queues) if self._is_stopped(self._workflows.get(each))]

    def _is_stopped(self, row: Workflow | None) -> bool:
        """`outlast.is_map_stopped`."""
        if row is None or row.map is None:
            return False
        parent = self._workflows.get(str(row.new.parent))
        return bool(row.map["stopped"]) or parent is None or parent.status not in LIVE

    def stop(self) -> None:
        """`outlast.stop_maps`."""
        for map_id in self.stopped():
            row = self._workflows[map_id]
            assert row.map is not None
            # guard: memory-refusing-maps-stopped
            if self._refuses(map_id):
                continue
            row.map["stopped"] = True
            for each, item in list(self._workflows.items()):
                free = not (self._is_locked(each) or self._refuses(each))
                # guard: memory-refusing-items-stopped = item.new.parent == map_id
                if item.new.parent == map_id and free:
                    self._stop_item(each, item, cancels=row.map["on_fail"] == "cancel")
            self.look(map_id)

    def _stop_item(self, workflow_id: str, item: Workflow, *, cancels: bool) -> None:
        # guard: memory-begun-items-removed = item.status == Status.ENQUEUED
        if item.status == Status.ENQUEUED and item.generation == 1:
            del self._workflows[workflow_id]
            for each in [key for key in self._records if key[0] == workflow_id]:
                del self._records[each]
            of_map = self._workflows[str(item.new.parent)].map
            assert of_map is not None
            of_map["dropped"] += 1
        elif item.status == Status.ENQUEUED:
            self._cancel_open(item, "its map failed before it could go on")
            if item.status == Status.ENQUEUED:
                item.status = Status.PENDING  # its undoing waits for no rate
        elif item.status == Status.PENDING and cancels:
            self._cancel_open(item, "its map failed and cancels what runs")

    def _cancel_open(self, item: Workflow, message: str) -> None:
        if item.saga in (None, "open"):
            self._cancel(item, message)
