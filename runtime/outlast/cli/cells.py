"""What tables show of a resource's rows, with values and times written for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from outlast.cli.screen import Column, compact
from outlast.core.clock import Clock
from outlast.core.resources import COUNTED_MAX, STEPS, WORKFLOWS, Kind, Resource
from outlast.core.status import LIVE

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_LONG_AGO_S = 30 * 86_400


def moment(text: Any) -> datetime | None:
    """The time in an ISO 8601 text with a zone; None for anything else."""
    try:
        read = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return read if read.tzinfo is not None else None


def ago(at: datetime | None, now: datetime) -> str:
    """`3 min ago`, `in 2 h`, or the date if that is long ago."""
    if at is None:
        return ""
    seconds = (now - at).total_seconds()
    if abs(seconds) < 1:
        return "now"
    if abs(seconds) >= _LONG_AGO_S:
        return at.astimezone().strftime("%Y-%m-%d")
    if seconds > 0:
        size, unit = next(each for each in _UNITS if seconds >= each[0])
        return f"{int(seconds // size)} {unit} ago"
    return f"in {_time_until(-seconds)}"


def _time_until(seconds: float) -> str:
    """The time left: a sleep of seven days that began a moment ago ends in `7 d`, not in `6 d`."""
    index = next(number for number, each in enumerate(_UNITS) if seconds >= each[0])
    smaller_s = _UNITS[min(index + 1, len(_UNITS) - 1)][0]
    seconds = round(seconds / smaller_s) * smaller_s
    size, unit = next(each for each in _UNITS if seconds >= each[0])
    return f"{int(seconds // size)} {unit}"


def span(seconds: float) -> str:
    """A duration: `340 ms`, `1.2 s`, `3 min 20 s`, `2 d 4 h`."""
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    index = next(number for number, each in enumerate(_UNITS) if seconds >= each[0])
    (size, unit), (next_size, next_unit) = _UNITS[index], _UNITS[index + 1]
    rest = int(seconds % size // next_size)
    return f"{int(seconds // size)} {unit}" + (f" {rest} {next_unit}" if rest else "")


Row = dict[str, Any]
FOREVER = timedelta(days=50 * 365)


def columns_of(resource: Resource) -> Sequence[Column]:
    """The columns of a resource's table, unless this module names others."""
    return _TABLES.get(resource.name) or [
        Column(
            each.name.replace("_", " ").removesuffix(" at").upper(), each.name, _human(each.name, each.kind)
        )
        for each in resource.columns
        if not resource.table or each.name in resource.table
    ]


def pairs_of(resource: Resource, row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """One row: each of its columns that has a value, as people read it."""
    titled = [
        Column(each.name.replace("_", " ").capitalize(), each.name, _human(each.name, each.kind))
        for each in resource.columns
    ]
    return [(each.title, each.shown(row)) for each in titled if row.get(str(each.value)) is not None]


def status_text(row: Row) -> str:
    """The status of a workflow, and when it wakes if it sleeps."""
    status, wakes, now = str(row.get("status")), moment(row.get("claimable_at")), Clock().now()
    if status not in LIVE or wakes is None or wakes <= now:
        return status
    return f"{status} ({_wait_text(wakes, now)})"


def time_between(row: Row, first: str, last: str) -> str:
    """The duration between two times of the row."""
    began, ended = moment(row.get(first)), moment(row.get(last))
    return "" if began is None or ended is None else span((ended - began).total_seconds())


def _human(name: str, kind: Kind) -> Callable[[Row], str] | None:
    texts: dict[Kind, Callable[[Any], str]] = {
        Kind.TIMESTAMP: lambda value: ago(moment(value), Clock().now()),
        Kind.COUNT_AT_LEAST: lambda value: f"{value}+" if value == COUNTED_MAX else str(value),
        Kind.DURATION: lambda value: span(value),
        Kind.FLAG: lambda value: "yes" if value else "no",
        Kind.JSON: compact,
        Kind.OBJECT: compact,
    }
    text = texts.get(kind)
    if text is None:
        return None
    return lambda row: "" if row.get(name) is None and kind is not Kind.JSON else text(row.get(name))


def _wait_text(wakes: datetime, now: datetime) -> str:
    """When a wait is over; a wait for only a message lasts a hundred years."""
    return f"wakes {ago(wakes, now)}" if wakes - now < FOREVER else "receiving"


def _error_text(row: Row) -> str:
    """The first line of an error's message."""
    error = row.get("error")
    text = str(error.get("message") or "") if isinstance(error, dict) else ""
    return text.strip().partition("\n")[0]


def _recovered_text(row: Row) -> str:
    return f"{row['recovery_attempts']}×" if row.get("recovery_attempts") else ""


def _step_status(row: Row) -> str:
    """The status, and when a sleep ends or the next attempt of a step begins."""
    status, wakes, now = str(row.get("status")), moment(row.get("wake_at")), Clock().now()
    if (retries := moment(row.get("retry_at"))) is not None:
        return f"{status} (next attempt {ago(retries, now)})"
    return status if wakes is None else f"{status} ({_wait_text(wakes, now)})"


def _step_time(row: Row) -> str:
    """How long it took; for a running step, how long so far."""
    if row.get("status") == "RUNNING":
        row = {**row, "completed_at": Clock().now().isoformat()}
    return time_between(row, "started_at", "completed_at")


def _step_output(row: Row) -> str:
    error = row.get("error")
    if isinstance(error, dict) and error.get("message"):
        return str(error["message"])
    return compact(error if error is not None else row.get("output"))


_TABLES = {
    WORKFLOWS.name: (
        Column("WORKFLOW", "workflow_id"),
        Column("FUNCTION", "function"),
        Column("STATUS", "status", status_text, coloured=True),
        Column("CREATED", "created_at", _human("created_at", Kind.TIMESTAMP)),
        Column("TOOK", "completed_at", lambda row: time_between(row, "created_at", "completed_at")),
        Column("RECOVERED", "recovery_attempts", _recovered_text),
        Column(
            "GENERATION",
            lambda row: row["generation"] if row.get("generation", 1) > 1 else None,
            optional=True,
        ),
        Column("ERROR", _error_text),
        Column("WAITING ON", "waiting_on", optional=True),
        Column("FORK OF", "forked_from", optional=True),
    ),
    STEPS.name: (
        Column("STEP", "step_id"),
        Column("NAME", "name"),
        Column("STATUS", "status", _step_status, coloured=True),
        Column("ATTEMPTS", "attempts"),
        Column("TOOK", "started_at", _step_time),
        Column("ENDED", "completed_at", _human("completed_at", Kind.TIMESTAMP)),
        Column("OUTPUT", lambda row: row.get("error") or row.get("output"), _step_output),
        Column("INSTANCE", "instance", optional=True),
        Column("SETTLED BY", lambda row: (row.get("settled") or {}).get("by"), optional=True),
    ),
}
