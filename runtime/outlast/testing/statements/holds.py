"""`holds.sql` in memory: workflows that no code fits are held, freed, and ended."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from outlast.core.holds import FUNCTION_MISSING, PAUSED, HeldNow, Hold, HoldsSeen
from outlast.core.status import LIVE, Status
from outlast.testing.rows import Workflow
from outlast.testing.statements.statements import Statements

DAY_S = 86_400.0


class HoldStatements(Statements):
    """See core.ports.HoldStore."""

    def hold(self, holds: Sequence[tuple[str, int, Hold]]) -> dict[str, bool]:
        """`hold`. Raises Blocked."""
        mine = []
        for workflow_id, epoch, hold in holds:
            row = self._db.workflows.get(workflow_id)
            if row is not None and row.owner == self._me and row.epoch == epoch:
                mine.append((workflow_id, row, hold))
        for workflow_id, _, _ in mine:
            self._db.wait_for_lock(workflow_id)
        held = {}
        for workflow_id, row, hold in mine:
            row.owner, row.claimable_at, row.awaits = None, self._db.now(), None
            row.updated_at = self._db.now()
            row.misfits[hold.detail["version"]] = dict(hold.detail)
            held[workflow_id] = not self._db.anyone_fits(row, self._me)
            row.held = hold.text if held[workflow_id] else None
        return held

    def pin(self, workflow_id: str, epoch: int, version: str) -> bool:
        """`pin`. Raises Blocked."""
        row = self._db.workflows.get(workflow_id)
        if row is None or (row.owner, row.epoch) != (self._me, epoch):
            return False
        self._db.wait_for_lock(workflow_id)
        if row.new.version not in (None, version):
            return False
        row.new = row.new._replace(version=version)
        return True

    def look(self, versions: Mapping[str, str], grace_s: float, days: float) -> HoldsSeen:
        """`look`."""
        if self._me in self._db.instances:
            self._db.instances[self._me].versions = dict(versions)
        freed = self._free()
        held = self._hold_unserved(grace_s)
        return HoldsSeen(freed, held, self.end(days) if days > 0 else 0, self._counts())

    def _free(self) -> int:
        """`outlast.free_fitting`."""
        fitting = [
            row
            for workflow_id, row in self._db.workflows.items()
            if row.held is not None
            and json.loads(row.held)["reason"] != PAUSED
            and self._may_fit(row)
            and not self._db.is_locked(workflow_id)
        ]
        for row in fitting:
            row.held, row.updated_at = None, self._db.now()
        return len(fitting)

    def _may_fit(self, row: Workflow) -> bool:
        # guard: freed-by-the-same-code-in-memory = True
        return self._db.fits(row, self._me)

    def _hold_unserved(self, grace_s: float) -> list[HeldNow]:
        """`outlast.hold_unserved`."""
        found = []
        for workflow_id, row in self._db.workflows.items():
            due = row.owner is None and row.held is None and row.status in LIVE
            if not due or row.claimable_at is None or row.claimable_at > self._db.now() - grace_s:
                continue
            if self._db.is_locked(workflow_id) or not self._unserved(row):
                continue
            detail = _newest(row.misfits) or self._missing(row)
            row.held, row.updated_at = json.dumps(detail), self._db.now()
            found.append(HeldNow(workflow_id, row.new.function, detail))
        return found

    def _unserved(self, row: Workflow) -> bool:
        if row.misfits:
            return not self._db.anyone_fits(row)
        return not any(
            each.versions is None or row.new.function in each.versions
            for each in self._db.instances.values()
            if each.lease_until > self._db.now()
        )

    def _missing(self, row: Workflow) -> dict[str, Any]:
        since = self._db.date().isoformat(timespec="seconds")
        text = f"no instance serves {row.new.function}"
        return {"reason": FUNCTION_MISSING, "since": since, "message": text}

    def _counts(self) -> dict[str, int]:
        held = (each.held for each in self._db.workflows.values() if each.held is not None)
        return dict(Counter(json.loads(each)["reason"] for each in held))

    def end(self, days: float) -> int:
        """`outlast.end_held`."""
        over = [
            row
            for row in self._db.workflows.values()
            if row.held is not None
            and row.status in LIVE
            and (held := json.loads(row.held))["reason"] != PAUSED
            and datetime.fromisoformat(held["since"]).timestamp() < self._db.now() - days * DAY_S
        ]
        for row in over:
            held = json.loads(row.held or "{}")
            row.status, row.claimable_at, row.held = Status.ERROR, None, None
            row.epoch += 1
            row.updated_at, row.untold = self._db.now(), True
            row.error = json.dumps({"code": held["reason"], "message": held["message"], "held": held})
        self._db.tell_ends()
        return len(over)


def _newest(misfits: Mapping[str, dict[str, Any]]) -> dict[str, Any] | None:
    return max(misfits.values(), key=lambda each: each["since"], default=None)
