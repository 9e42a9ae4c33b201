"""Rows of the store as JSON: dates in UTC (RFC 3339), recorded JSON exactly as it was recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json, to_json

from outlast.core.events import event_of
from outlast.core.failures import CANCELLED
from outlast.core.holds import public_hold
from outlast.core.kinds import CALLBACK, EVENT, RECEIVE, TIMER, WAIT_ANY
from outlast.core.outcomes import public_error, public_message
from outlast.core.resources import EVENTS, STEPS, WORKFLOW, WORKFLOWS, Column

Row = Mapping[str, Any]

_STEP_FAILED = {"code": "step_failed", "message": "the step failed"}
_WAITS = {RECEIVE: "RECEIVING", WAIT_ANY: "WAITING", EVENT: "WAITING"}
"""The status of waits that others end."""
_VALUES = ("input", "output", "response", "large")


@dataclass(frozen=True, slots=True)
class Verbatim:
    """JSON that is put into a document unchanged: parsing it would lose digits and duplicate names."""

    json: bytes

    def size(self) -> int:
        """Its size in bytes."""
        return len(self.json)


def document(fields: Mapping[str, Any]) -> Verbatim:
    """A JSON object of `fields`."""
    parts = [b"%s:%s" % (to_json(name), _json(value)) for name, value in fields.items()]
    return Verbatim(b"{%s}" % b",".join(parts))


def documents(items: Iterable[Verbatim]) -> Verbatim:
    """A JSON array of `items`."""
    return Verbatim(b"[%s]" % b",".join(item.json for item in items))


def row_document(columns: Sequence[Column], row: Row, *, secret: bool) -> Verbatim:
    """A row of a resource, its members in the row's order.

    Recorded JSON is text in the row. Secret columns are null for readers without a secret key. Values of the
    row without a column are left out.
    """
    known = {column.name: column for column in columns}
    return document(
        {name: _member(known[name], value, secret) for name, value in row.items() if name in known}
    )


def _member(column: Column, value: Any, secret: bool) -> Any:
    # guard: secret-columns-for-users
    if column.secret and not secret:
        return None
    return Verbatim(value.encode()) if column.recorded and isinstance(value, str) else value


def workflow_document(row: Row, *, secret: bool, values: bool = True) -> Verbatim:
    """A workflow. Only holders of a secret key see its traceback and where it runs.

    Without `values` its input and output are left out.
    """
    fields = {name: value for name, value in row.items() if name != "large" or value is not None}
    if not values:
        fields.update({name: None for name in _VALUES if name in fields})
    if row.get("error") is not None:
        fields["error"] = _error(row["error"], secret=secret)
    if row.get("held") is not None:
        fields["held"] = public_hold(row["held"], whole=secret)
    return row_document(WORKFLOW, fields, secret=secret)


def summary_document(row: Row) -> Verbatim:
    """A workflow of a list. Its error has `code` and `message`, as far as the reader may see them."""
    code, message = row.get("error_code"), row.get("error_message")
    error = None if code is None else {"code": code, "message": message or public_message(code)}
    return row_document(WORKFLOWS.columns, {**row, "error": error}, secret=True)


def running_document(row: Row, *, secret: bool) -> Verbatim:
    """A running step. Only holders of a secret key see its instance."""
    without = ("wake_at", "output_bytes")
    fields = dict.fromkeys(column.name for column in STEPS.columns if column.name not in without) | {
        "step_id": row["step_id"],
        "name": row["name"],
        "kind": row.get("kind"),
        "status": "RUNNING",
        "attempts": row["attempt"],
        "started_at": row["began_at"],
        "retry_at": row["retry_at"],
        "instance": row["instance_id"],
    }
    return row_document(STEPS.columns, fields, secret=secret)


def step_document(row: Row, *, secret: bool, visible: bool = True) -> Verbatim:
    """A recorded step; for an open wait it says when the wait ends. `secret` as for workflows.

    Unless steps are `visible`, their outputs are left out. Owners see published events. A callback's link is
    never shown, because anybody who has it may answer.
    """
    # guard: callbacks-shown-to-users = visible
    visible = visible and (secret or row["kind"] != CALLBACK)
    waiting = row["completion_order"] is None
    wake_at = datetime.fromtimestamp(float(row["output"]), UTC) if waiting else None
    status, completed_at = _wait_status(row, wake_at) if wake_at else (_step_status(row), row["completed_at"])
    published = event_of(row["name"], row["kind"]) is not None
    fields: dict[str, Any] = {
        "step_id": row["step_id"],
        "name": row["name"],
        "kind": row["kind"],
        "status": status,
        "output": row["output"] if not waiting and (visible or published) else None,
        "output_bytes": row.get("output_bytes") if visible or published else None,
        "error": row["error"] if secret or row["error"] is None else _STEP_FAILED,
        "attempts": row["attempts"],
        "completion_order": row["completion_order"],
        "started_at": row["started_at"],
        "completed_at": completed_at,
        "instance": row.get("instance"),
        "settled": row["settled"],
    }
    if fields["output_bytes"] is None:
        del fields["output_bytes"]
    if waiting and completed_at is None:
        fields["wake_at"] = wake_at
    return row_document(STEPS.columns, fields, secret=secret)


def event_document(row: Row) -> Verbatim:
    """One published event: `number`, `event`, `value`, `published_at`."""
    return row_document(EVENTS.columns, row, secret=True)


def _wait_status(row: Row, wake_at: datetime) -> tuple[str, datetime | None]:
    """The status of a wait whose end is not recorded, and when it ended.

    A workflow that has ended waits for nothing: it slept until then, or gave the wait up. Timers and waits
    that others end were given up, since their ends are always recorded.
    """
    if row["over_at"] is None:
        return _WAITS.get(row["kind"], "SLEEPING"), None
    slept = row["kind"] not in (*_WAITS, TIMER) and wake_at <= row["over_at"]
    return ("SUCCESS", wake_at) if slept else ("CANCELLED", row["over_at"])


def _step_status(row: Row) -> str:
    if row["error"] is None:
        return "SUCCESS"
    return "CANCELLED" if row["error"] == CANCELLED else "ERROR"


def _error(error: str, *, secret: bool) -> dict[str, Any]:
    public = public_error(error)
    return {**public, **from_json(error)} if secret else public


def _json(value: Any) -> bytes:
    if isinstance(value, Verbatim):
        return value.json
    if isinstance(value, datetime):
        value = value.astimezone(UTC)
    return to_json(value, inf_nan_mode="null")
