"""The engine's own writes: only lawful changes, nothing after an end, nothing by who was superseded."""

from __future__ import annotations

from outlast.core.maps import MAP, is_map
from tests.torture.oracles.violations import Violations
from tests.torture.oracles.window import Row, Window

LIVE = ("ENQUEUED", "PENDING")


def application(instance: str | None) -> str:
    """How an instance's sessions are named."""
    return f"outlast/{instance}"[:63]


QUEUED = ("load/lanes:", "load/alone:", "load/paced:", "schedule:")
"""What a decision of their queue makes ready, before any of them begins."""


UNDONE = "load/undone:"
"""What is cancelled and has something to undo ends itself when that is done."""


def kind_of(change: Row) -> str | None:
    """Which of the engine's changes of a workflow's row this is; None for one that must not be."""
    if is_map(change["workflow_id"]):
        return _kind_of_map(change)
    if change["change"] == "INSERT" and change["owner"] is None:
        return "enqueue" if (change["epoch"], change["status"]) == (0, "ENQUEUED") else None
    if change["change"] != "UPDATE":
        lawful = change["change"] == "INSERT" and change["epoch"] == 1 and change["status"] == "PENDING"
        return "start" if lawful and change["app"] == application(change["owner"]) else None
    before, after, app = change["old_owner"], change["owner"], change["app"]
    raised = change["epoch"] - change["old_epoch"]
    if change["old_status"] not in LIVE:
        return None
    if after is not None:
        lawful = (
            before is None and raised == 1 and change["status"] == "PENDING" and app == application(after)
        )
        return "claim" if lawful else None
    if change["status"] == "CANCELLED" and raised == 1:
        return "cancel"
    if change["status"] == "CANCELLED" and not change["workflow_id"].startswith(UNDONE):
        return None
    if raised == 1:
        return "recover" if before is not None and app != application(before) else None
    ready = (before, raised, change["status"]) == (None, 0, change["old_status"])
    if ready and change["workflow_id"].startswith(QUEUED):
        return "ready"
    if ready and change["status"] == "PENDING":
        return "wake"  # what it waited for has ended
    if raised or before is None or app != application(before):
        return None  # by who doesn't own it
    return "give back" if change["status"] == "PENDING" else "end"


def _kind_of_map(change: Row) -> str | None:
    """Of a row that runs nothing: it is made, its items begin, and once it ends."""
    if change["change"] == "INSERT":
        return "map" if (change["owner"], change["epoch"], change["status"]) == (None, 0, "PENDING") else None
    if change["change"] != "UPDATE" or change["owner"] is not None:
        return None
    # After its end it counts what is removed of it.
    ends = change["old_status"] == "PENDING" != change["status"]
    same = change["old_status"] == change["status"]
    return "map" if (ends or same) and change["epoch"] - change["old_epoch"] == int(ends) else None


class History:
    """Looks at every change and every record, in order of commit."""

    def __init__(self, violations: Violations) -> None:
        self._violations = violations
        self.checks = 0

    def look(self, window: Window) -> None:
        """Check a window."""
        for change in window.changes:
            self.checks += 1
            kind = change["kind"] = kind_of(change)
            if kind is None:
                ended = change["old_status"] not in (None, *LIVE)
                what = "an ended workflow changed" if ended else "an unlawful change of a workflow's row"
                self._violations.add(what, change["workflow_id"], _told(change))
        for record in window.records:
            self.checks += 1
            if record["step_id"].startswith(MAP) and record["change"] != "DELETE":
                continue  # how far a map is tells whoever ends an item, while nobody owns the parent
            if record["change"] == "DELETE" or record["complete_before"]:
                self._violations.add("a record changed", record["workflow_id"], _told(record))
            elif record["owner"] is None or record["app"] != application(record["owner"]):
                self._violations.add(
                    "a write of a superseded instance was committed", record["workflow_id"], _told(record)
                )


def _told(row: Row) -> str:
    return ", ".join(f"{name}={value}" for name, value in row.items() if value is not None and name != "n")
