"""`outlast.waiting_on_as` in memory: why a workflow does not run, without the limits of queues."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from outlast.core import kinds
from outlast.core.status import Status
from outlast.testing.database import Database
from outlast.testing.rows import Workflow

_FOREVER_S = 50 * 365.25 * 86_400


def waiting_on(database: Database, row: Workflow) -> str | None:
    """Why `row` does not run; None for one that runs or has ended."""
    now, due = database.now(), row.claimable_at
    if row.held is not None:
        return held_text(json.loads(row.held))
    if row.saga is not None and row.status is Status.PENDING and (undoing := _undoing(database, row)):
        return undoing
    if row.status is Status.PENDING and row.batch is not None:
        return f"its batch {row.batch}"
    if row.owner is not None or due is None:
        return None
    if due > now:
        return _time(database, row, due, now)
    live = [each for each in database.instances.values() if each.lease_until > now]
    if not any(each.functions is None or row.new.function in each.functions for each in live):
        return f"no instance serves {row.new.function}"
    if row.new.queue is None:
        return f"room on an instance, since {_text(due)}"
    queue = database.queue(row.new.queue)
    if paused := queue.paused or queue.paused_keys.get(row.new.queue_key or ""):
        return f"paused by {paused['by']}" + (f": {paused['why']}" if paused["why"] else "")
    return f"its turn in {row.new.queue}, since {_text(due)}"


def held_text(held: dict[str, Any]) -> str:
    """`outlast.hold_text`, for a reader who may see all."""
    why = f": {held['why']}" if held.get("why") else ""
    if held["reason"] == "paused":
        since = _text(datetime.fromisoformat(held["since"]).timestamp()) if held.get("since") else None
        return f"paused by {held.get('by') or 'somebody'}{(since and f', since {since}') or ''}{why}"
    step = f" at step {held['step']}" if held.get("step") else ""
    return f"held: {held['reason']}{step}"


def _undoing(database: Database, row: Workflow) -> str | None:
    """`outlast.undoing_on`."""
    own = database.steps_of(row.new.workflow_id).values()
    notes = sorted(
        (each for each in own if each.kind == kinds.UNDO), key=lambda each: each.completion_order or 0
    )
    names = [each.name for each in notes]
    if "undoing" in names:
        last = len(names) - 1 - names[::-1].index("undoing")
        total, number = json.loads(notes[last].output or "{}")["total"], names[last:].count("undone")
        if number < total:
            due = row.claimable_at if row.owner is None else None
            later = due is not None and due > database.now()
            return f"undoing: {number} of {total}" + (
                f", tries again at {_text(due or 0.0)}" if later else ""
            )
    return "undoing" if row.saga in ("stopping", "undoing") else None


def _time(database: Database, row: Workflow, due: float, now: float) -> str:
    if row.awaits is not None:
        awaits = json.loads(row.awaits)
        if "limits" in awaits:
            return f"limit {awaits['limits'][0]}, asks again at {_text(due)}"
        topics = awaits["topics"]
        until = f", until {_text(due)}" if due < now + _FOREVER_S else ""
        if "ends" in awaits:
            target = awaits["ends"][0]
            row_of = database.workflows.get(database.attached.get(target, (target, None))[0])
            more = f" and {awaits['of'] - 1} more" if awaits["of"] > 1 else ""
            if row_of is not None and row_of.map is not None:
                return database.maps.text(target) + more + (", or a message" if topics else "") + until
            status = "removed" if row_of is None else row_of.status
            return f"workflow {target} ({status}){more}" + (", or a message" if topics else "") + until
        named = f" ({', '.join(topics)})" if any(topics) else ""
        return f"a message{named}{until}"
    if row.status is Status.ENQUEUED:
        return f"its time: {_text(due)}"
    if row.recovery_attempts:
        return f"recovery, attempt {row.recovery_attempts} at {_text(due)}"
    return f"sleep, until {_text(due)}"


def _text(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
