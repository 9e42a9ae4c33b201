"""The in-memory database as management pages read it: see `store/workflows.sql`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic_core import from_json, to_json

from outlast.core import kinds
from outlast.core.clock import monotonic
from outlast.core.events import event_of
from outlast.core.kinds import PATCH
from outlast.core.patches import patch_of
from outlast.core.resources import (
    ACTS,
    BULK_ITEMS,
    BULKS,
    COUNTED_MAX,
    EVENTS,
    MESSAGES,
    PATCHES,
    QUEUES,
    SCHEDULES,
    STEPS,
    TICKS,
    WORKFLOWS,
    Resource,
)
from outlast.core.resources.resource import Page
from outlast.core.schedules import columns_of
from outlast.core.status import FAILED, LIVE
from outlast.testing.database import Database
from outlast.testing.rows import Record, ScheduleRow, Workflow
from outlast.testing.statements.reasons import waiting_on
from outlast.web.http.problems import Problem, ProblemError

ROLLOUT_S = 3600.0
"""How long a deploy may take, in which old code still begins workflows."""
_MOMENT = timedelta(microseconds=1)
_BRIEF_BYTES = 4096
_OTHERWISE = {"subject", "held", "ascending", "newest", "brief"}
_LAST = 2147483647
"""The place of waits that aren't over."""


def shown(database: Database, row: Workflow) -> dict[str, Any]:
    """`show`."""
    return {
        **_fields(row.new, "workflow_id", "function", "input", "request", "idempotency_key", "subject"),
        **_fields(row.new, "version", "parent"),
        **_fields(row, "output", "error", "response", "forked_from", "attributes", "owner", "epoch"),
        **_fields(row, "generation", "recovery_attempts", "held"),
        "status": row.status.value,
        "large": None,
        "queue": None,
        "priority": 0,
        "claimable_at": _date(row.claimable_at),
        "waiting_on": waiting_on(database, row),
        "deadline": _date(row.new.deadline_s),
        "created_at": _date(row.created_at),
        "started_at": _date(row.created_at),
        "updated_at": _date(row.updated_at),
        "completed_at": None if row.status in LIVE else _date(row.updated_at),
    }


def _fields(row: Any, *names: str) -> dict[str, Any]:
    """The columns that are fields of a row."""
    return {name: getattr(row, name) for name in names}


def _columns(resource: Resource, row: Any) -> dict[str, Any]:
    """The columns of a resource: fields of a row, or null if the row has none of that name."""
    return {each.name: getattr(row, each.name, None) for each in resource.columns}


def listed(
    database: Database,
    resource: Resource,
    given: Mapping[str, Any],
    after: Sequence[Any] | None,
    limit: int | None,
) -> Page:
    """A page of a resource, in its order. Raises ProblemError (501) for what isn't simulated."""
    read = _ROWS.get(resource.name)
    if read is None or given.get("error_group") is not None:
        what = f"{resource.path}{'' if read is None else '?error_group='}"
        detail = f"the test kit has no {what}: `outlast serve` starts a host, which has it"
        raise ProblemError(Problem("not_in_tests", detail))
    rows = [row for row in read(database, given) if _passes(resource, given, row)]
    newest_first = resource in (WORKFLOWS, ACTS, BULKS) and not given.get("ascending")
    newest_first = newest_first or bool(given.get("newest"))

    def place(row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row[column] for column in resource.order)

    rows.sort(key=place, reverse=newest_first)
    if after is not None:
        bound = tuple(after)
        rows = [each for each in rows if (place(each) < bound if newest_first else place(each) > bound)]
    return Page(rows[:limit], limit is not None and len(rows) > limit)


def completions(database: Database, workflow_id: str, order: int, limit: int) -> Page:
    """`steps_after`."""
    rows: list[dict[str, Any]] = [
        {
            **_fields(step, "step_id", "name", "kind", "completion_order"),
            "succeeded": step.error is None,
            "completed_at": _moment(database, record, step.ended),
            "value": step.output if step.kind == kinds.PUBLISH else None,
        }
        for record, step in ((each, each.step) for each in database.records_of(workflow_id).values())
        if step.completion_order is not None and step.completion_order > order
    ]
    rows.sort(key=lambda row: row["completion_order"])
    return Page(rows[:limit], len(rows) > limit)


def _passes(resource: Resource, given: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Whether a row passes the filters, and has the requested key."""
    filters = {each.name for each in resource.filters} - _OTHERWISE
    return all(
        value is None or (_fits(name, value, row) if name in filters else row.get(name, value) == value)
        for name, value in given.items()
        if name not in _OTHERWISE
    )


def _workflows(database: Database, given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    columns = {column.name for column in WORKFLOWS.columns} - {"error"}
    for row in database.workflows.values():
        if given.get("subject") in (None, row.new.subject) and _is_held(row, given.get("held")):
            fields = {name: value for name, value in shown(database, row).items() if name in columns}
            code, message = _read_error(row.error, given.get("subject"))
            yield {**fields, "error_code": code, "error_message": message}


def _is_held(row: Workflow, reason: str | None) -> bool:
    """Whether it is held for this reason, or for `any`; True if no reason is asked for."""
    return reason is None or (row.held is not None and reason in ("any", from_json(row.held)["reason"]))


def _fits(name: str, value: Any, row: Mapping[str, Any]) -> bool:
    match name:
        case "status":
            return row["status"] in value
        case "error":
            return value.lower() in (row["error_message"] or "").lower()
        case "prefix":
            return bool(row["workflow_id"].startswith(value))
        case "has_parent":
            return bool((row["parent"] is not None) == value)
        case "since" | "completed_since":
            at = _time(row, name)
            return at is not None and at >= value
        case "until" | "completed_until":
            at = _time(row, name)
            return at is not None and at < value
        case "attribute":
            found = from_json(row["attributes"] or "{}")
            return all(key in found and attribute_text(found[key]) == wanted for key, wanted in value)
        case "paused":
            return (row["paused_at"] is not None) == bool(value)
        case "workflow" | "queue" | "schedule" if "noun" in row:
            return (row["noun"], row["name"]) == (name, value)
        case _:
            return bool(row[name] == value)


def _time(row: Mapping[str, Any], name: str) -> datetime | None:
    """The time that a filter limits: when an act was done, or when a workflow was created or ended."""
    at: datetime | None = (
        row["completed_at"] if name.startswith("completed") else row.get("created_at", row.get("at"))
    )
    return at


def attribute_text(value: Any) -> str:
    """An attribute's value as Postgres writes it."""
    return value if isinstance(value, str) else to_json(value).decode()


def _read_error(error: str | None, subject: str | None) -> tuple[str | None, str | None]:
    """An error's code and the beginning of its message; users don't see the text of an exception."""
    if error is None:
        return None, None
    document = from_json(error)
    code = document["code"]
    message = document.get("detail" if code == "http_exception" else "message")
    if code == "non_determinism" and subject is not None:
        message = None
    failure = document.get("failure")
    if failure is not None and subject is None:
        message = ": ".join(filter(None, (failure.get("type"), failure.get("message")))) or message
    return code, None if message is None else str(message)[:300]


def _steps(database: Database, given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    workflow_id = given["workflow_id"]
    over_at = shown(database, database.workflows[workflow_id])["completed_at"]
    for record in database.records_of(workflow_id).values():
        step = record.step
        size = len((step.output or "").encode())
        long = bool(given.get("brief")) and size > _BRIEF_BYTES
        yield {
            **_fields(step, "step_id", "name", "kind", "error", "attempts", "completion_order"),
            "output": None if long else step.output,
            "output_bytes": size if long else None,
            **_fields(record, "settled", "instance"),
            "started_at": _moment(database, record, step.began),
            "completed_at": _moment(database, record, step.ended),
            "place": _LAST if step.completion_order is None else step.completion_order,
            "over_at": over_at,
        }


def _events(database: Database, given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for record in database.records_of(given["workflow_id"]).values():
        step = record.step
        event = event_of(step.name, step.kind)
        if event is not None:
            yield {
                "number": step.completion_order,
                "event": event,
                "value": step.output,
                "published_at": _moment(database, record, step.ended),
            }


def _messages(database: Database, given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for letter in database.letters:
        if letter.workflow_id == given["workflow_id"] and letter.visible:
            yield {
                **_fields(letter, "message_id", "topic", "number"),
                "message": letter.body,
                "idempotency_key": letter.key,
                "sent_at": _date(letter.sent_at),
            }


def _queues(database: Database, given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, queue in database.queues.items():
        waiting = [row for _, row in database.waiting(name)]
        due = sorted(
            row.claimable_at or 0.0 for row in waiting if (row.claimable_at or 0.0) <= database.now()
        )
        running = sum(row.owner is not None and row.new.queue == name for row in database.workflows.values())
        yield {
            **_columns(QUEUES, queue),
            "name": name,
            "functions": sorted(queue.functions),
            "base": _json(queue.base),
            "override": _json(queue.override) if queue.override else None,
            "limits": _json(queue.options),
            **_noted("override", queue.overridden),
            **_noted("paused", queue.paused),
            "paused_keys": _json(
                [
                    {"key": key, **_noted("paused", paused)}
                    for key, paused in sorted(queue.paused_keys.items())
                ]
            ),
            "running": min(running, COUNTED_MAX),
            "ready": min(len(due), COUNTED_MAX),
            "waiting": min(len(waiting), COUNTED_MAX),
            "ready_since": _date(due[0] if due else None),
        }


def _noted(what: str, noted: Mapping[str, Any] | None) -> dict[str, Any]:
    return {f"{what}_{name}": (noted or {}).get(name) for name in ("at", "by", "why")}


def _json(value: Any) -> str:
    return to_json(value).decode()


def _bulks(database: Database, given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for bulk_id, bulk in database.bulks.items():
        row = database.workflows[bulk_id]
        outcomes = [each.outcome for each in bulk.items]
        yield {
            **_columns(BULKS, bulk),
            "bulk_id": bulk_id,
            "status": row.status.value,
            "total": len(bulk.items),
            **{each: outcomes.count(each) for each in ("done", "refused", "failed")},
            "filter": _json(bulk.filter),
            "arguments": _json(bulk.arguments),
            "created_at": _date(row.created_at),
            "completed_at": None if row.status in LIVE else _date(row.updated_at),
        }


def _bulk_items(database: Database, given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for place, item in enumerate(database.bulks[given["bulk_id"]].items, 1):
        yield {**_columns(BULK_ITEMS, item), "place": place}


def _schedules(database: Database, given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    return (_schedule(name, row) for name, row in database.schedules.items())


def _schedule(name: str, row: ScheduleRow) -> dict[str, Any]:
    timetable = row.schedule.timetable
    states = {"unusable": row.fault, "orphaned": row.orphaned, "paused": row.paused, "ended": row.ended}
    state = next((each for each, value in states.items() if value not in (None, False)), "active")
    upcoming = itertools.islice(timetable.times(row.nominal_at - _MOMENT), 5) if row.nominal_at else ()
    return {
        **_columns(SCHEDULES, row),
        **dict.fromkeys(("started", "skipped", "missed"), 0),
        "name": name,
        "state": state,
        "next_at": row.next_at if state == "active" else None,
        "upcoming": to_json([each.strftime("%Y-%m-%dT%H:%M:%SZ") for each in upcoming]).decode(),
        **columns_of(row.schedule),
        "owner": "code" if row.declared else "dynamic",
        "paused_why": row.paused,
        "created_at": row.since,
    }


def _ticks(database: Database, given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for number, tick in enumerate(database.ticks, 1):
        if tick.schedule == given["name"]:
            known = {"number": number, "reason": tick.outcome, "count": tick.ticks, "at": tick.nominal_at}
            yield {**_columns(TICKS, tick), **known}


def _acts(database: Database, given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for number, act in reversed([*enumerate(database.acts, 1)]):
        yield {**act._asdict(), "number": number, "at": _date(act.at)}


def _patches(database: Database, given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    answers: dict[str, dict[str, Record]] = {}
    for (workflow_id, _), record in database.records.items():
        if record.step.kind == PATCH:
            answers.setdefault(patch_of(record.step.name), {})[workflow_id] = record
    return (_patch(database, name, asked) for name, asked in answers.items())


def _patch(database: Database, name: str, asked: Mapping[str, Record]) -> dict[str, Any]:
    rows = database.workflows
    first = min(each.completed_at for each in asked.values())
    functions = sorted({rows[each].new.function for each in asked})
    new = {each: record.step.output == "true" for each, record in asked.items()}
    open_ones = {each for each, row in rows.items() if row.status in LIVE}
    old = sum(not new[each] for each in new.keys() & open_ones)
    may_have_passed = {
        each
        for each, row in rows.items()
        if row.new.function in functions and _records_since(row) < first + ROLLOUT_S and each not in new
    }
    older = len(may_have_passed & open_ones)
    took_old = {each for each in new if not new[each]}
    failed = sum(rows[each].status in FAILED for each in took_old | may_have_passed)
    return {
        "name": name,
        "functions": functions,
        "took_new": sum(new[each] for each in new.keys() & open_ones),
        "took_old": old,
        "not_asked": older,
        "failed_old": failed,
        "safe": not old and not older,
        "advice": "safe to delete" if not old and not older else "wait until they have ended",
        "asked_at": _date(first),
    }


def _records_since(row: Workflow) -> float:
    """A fork with records is as old as they are."""
    since: float = (row.born or {}).get("at_s", row.created_at)
    return min(since, row.created_at)


_ROWS = {
    WORKFLOWS.name: _workflows,
    STEPS.name: _steps,
    EVENTS.name: _events,
    MESSAGES.name: _messages,
    QUEUES.name: _queues,
    SCHEDULES.name: _schedules,
    TICKS.name: _ticks,
    ACTS.name: _acts,
    BULKS.name: _bulks,
    BULK_ITEMS.name: _bulk_items,
    PATCHES.name: _patches,
}


def _moment(database: Database, record: Record, reading: float | None) -> datetime | None:
    """The date of a clock reading; without a reading, when it was recorded."""
    return _date(record.completed_at if reading is None else database.now() - (monotonic() - reading))


def _date(unix_s: float | None) -> datetime | None:
    return None if unix_s is None else datetime.fromtimestamp(unix_s, UTC)
