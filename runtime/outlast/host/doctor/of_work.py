"""Findings about instances, workflows, queues and schedules: pure checks over what was read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from outlast.host.doctor.findings import Finding, finding
from outlast.host.doctor.of_database import Bounds
from outlast.store.doctor import Examined

PAUSED = "paused"


def check_work(found: Examined, bounds: Bounds) -> Iterator[Finding]:
    """Instances and what they should have done."""
    work = found.work
    if not work:
        return
    instances, due = work["instances"], work["due"]
    if due and not instances:
        yield finding("no_instance", count=len(due))
    versions = sorted({each["version"] or "unknown" for each in instances})
    if len(versions) > 1:
        yield finding("versions_mixed", versions=", ".join(versions))
    if instances:
        yield from _check_due(due, instances, bounds)
    late = [each for each in work["orphans"] if each["over_s"] is None or each["over_s"] > bounds.late_s]
    if late:
        first = late[0]
        yield finding(
            "orphaned", count=len(late), over_s=first["over_s"] or 0.0, example=first["workflow_id"],
            owner=first["owner"].replace("'", "''"),
        )  # fmt: skip
    if (age_s := work["undelivered_s"] or 0.0) > bounds.late_s:
        yield finding("messages_undelivered", age_s=age_s)
    yield from _check_troubled(work, bounds)


def _check_due(
    due: list[dict[str, Any]], instances: list[dict[str, Any]], bounds: Bounds
) -> Iterator[Finding]:
    """What is due beside living instances: functions that none of them serves, and what they don't take."""
    served: set[str] | None = set()
    for each in instances:
        served = None if served is None or each["functions"] is None else served | set(each["functions"])
    unserved: dict[str, list[str]] = {}
    overdue: list[dict[str, Any]] = []
    for each in due:
        if served is not None and each["function"] not in served:
            unserved.setdefault(each["function"], []).append(each["workflow_id"])
        elif each["late_s"] > bounds.late_s and each["queue"] is None:
            overdue.append(each)  # of a queue it may have to wait for its turn
    for function, ids in unserved.items():
        yield finding("function_unserved", function=function, count=len(ids), example=ids[0])
    if overdue:
        yield finding("overdue", example=overdue[0]["workflow_id"], late_s=overdue[0]["late_s"])


def _check_troubled(work: dict[str, Any], bounds: Bounds) -> Iterator[Finding]:
    for each in work["suspects"]:
        yield finding("lost_often", example=each["id"], attempts=each["attempts"])
    for each in work["exhausted"]:
        yield finding("exhausted", **each)
    for each in work["held"]:
        age_s = each["age_s"] or 0.0
        if each["reason"] != PAUSED:
            yield finding("held", **{**each, "age_s": age_s})
        elif age_s > bounds.paused_s:
            yield finding("paused_long", days=age_s / 86_400, **each)


def check_plans(found: Examined, bounds: Bounds) -> Iterator[Finding]:
    """Queues and schedules."""
    if not found.plans:
        return
    for each in found.plans["paused"]:
        why = each["why"] or "no reason given"
        kind = "queue_paused" if each["key"] is None else "queue_key_paused"
        yield finding(kind, **{**each, "by": each["by"] or "somebody", "why": why})
    for queue in found.plans["unserved"]:
        yield finding("queue_unknown", queue=queue)
    for each in found.plans["schedules"]:
        values = {"schedule": each["name"], "fault": each["fault"], "late_s": each["late_s"]}
        if each["ended"]:
            continue
        if each["orphaned"]:
            yield finding("schedule_orphaned", **values)
        elif each["fault"] is not None:
            yield finding("schedule_unusable", **values)
        elif each["paused"]:
            yield finding("schedule_paused", **values)
        elif (each["late_s"] or 0.0) > bounds.late_s:
            yield finding("schedule_late", **values)


def check_age(found: Examined, retention_s: float) -> Iterator[Finding]:
    """What is kept."""
    age_s = (found.work or {}).get("oldest_ended_s") or 0.0
    if not retention_s and age_s > 30 * 86_400:
        yield finding("kept_for_ever", days=age_s / 86_400)
