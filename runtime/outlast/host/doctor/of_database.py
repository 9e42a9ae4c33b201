"""Finds what is wrong with the database and its contents, from what was read of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from outlast.core.ports import Unreachable
from outlast.core.queues import check_option, check_together
from outlast.host.doctor.findings import Finding, finding
from outlast.host.settings import Settings
from outlast.observe.redaction import redactor
from outlast.store.connections import Database
from outlast.store.doctor import Examined, examine
from outlast.store.remedies import OF_AWAY, remedy_for

PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits beyond which something is too long, too far or too much."""

    skew_s: float = 5.0
    transaction_s: float = 900.0
    lock_s: float = 5.0
    connections: float = 0.9
    age: int = 1_500_000_000
    dead_rows: int = 10_000
    dead_share: float = 0.2
    late_s: float = 60.0
    paused_s: float = 86_400.0
    version_num: int = 150_000


BOUNDS = Bounds()


async def look_at_database(database: Database, settings: Settings, bounds: Bounds = BOUNDS) -> list[Finding]:
    """Check server, schema, workflows, queues and schedules, in the order in which one would mend them."""
    try:
        found = await examine(database)
    except Unreachable as error:
        return [unreachable(str(error))]
    return [
        *check_server(found, bounds),
        *check_schema(found, bounds),
        *check_work(found, bounds),
        *check_plans(found, bounds),
        *check_age(found, settings.retention_s),
    ]


def unreachable(error: str) -> Finding:
    """The finding that the database can't be reached."""
    remedy = remedy_for(error)
    cure = OF_AWAY if remedy is None else remedy.text
    text = redactor.redact(error.strip().partition("\n")[0])
    return finding("database_unreachable", error=text, cure=cure)


def check_server(found: Examined, bounds: Bounds) -> Iterator[Finding]:
    """Check the server, its clock and its sessions."""
    server = found.server
    if server["version_num"] < bounds.version_num:
        yield finding("database_old", version=server["version_num"] // 10_000)
    if server["read_only"]:
        yield finding("read_only", database=server["database"])
    if abs(found.skew_s) > bounds.skew_s:
        yield finding("clock_skew", skew_s=abs(found.skew_s))
    if server["connections"] > bounds.connections * server["max_connections"]:
        yield finding("connections_short", used=server["connections"], most=server["max_connections"])
    if server["age"] > bounds.age:
        yield finding("wraparound_near", age=server["age"])
    for each in server["sessions"]:
        if each["age_s"] > bounds.transaction_s:
            values = {**each, "application": each["application"] or "no name"}
            yield finding("long_transaction", **values)
    for each in server["blocked"]:
        if each["age_s"] > bounds.lock_s and each["by"]:
            yield finding("lock_waited_for", **{**each, "by": each["by"][0]})


def check_schema(found: Examined, bounds: Bounds) -> Iterator[Finding]:
    """Check migrations, tables and indexes."""
    if found.pending:
        yield finding("migrations_pending", count=len(found.pending), first=found.pending[0])
    if found.server["hidden"]:
        yield finding("rows_hidden", user=found.server["user"])
    for version in found.unknown:
        yield finding("schema_newer", version=version)
    if not found.tables:
        return
    yield from _check_indexes(found)
    if not found.server["autovacuum"]:
        yield finding("autovacuum_off_everywhere")
    for table in found.tables["tables"]:
        yield from _check_table(table, found.server["user"], bounds)


def _check_indexes(found: Examined) -> Iterator[Finding]:
    there: dict[str, bool] = found.tables["indexes"]
    for name, statement in found.expected_indexes.items():
        if name not in there:
            yield finding("index_missing", index=name, make=statement)
    for name, valid in there.items():
        if not valid:
            yield finding("index_invalid", index=name)


def _check_table(table: dict[str, Any], user: str, bounds: Bounds) -> Iterator[Finding]:
    name = table["name"]
    if table["lacking"]:
        yield finding("rights_missing", table=name, user=user, rights=", ".join(table["lacking"]).lower())
    for role in table["open_to"]:
        yield finding("open_to_callers", table=name, role=role)
    if not table["protected"]:
        yield finding("rows_unprotected", table=name)
    dead, rows = table["dead"] or 0, table["rows"] or 0
    if dead >= bounds.dead_rows and dead > bounds.dead_share * rows:
        yield finding("dead_rows", table=name, dead=dead, rows=rows)
    if not table["autovacuum"]:
        yield finding("autovacuum_off", table=name)


def check_work(found: Examined, bounds: Bounds) -> Iterator[Finding]:
    """Check instances, and the workflows that they should have taken."""
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
    """Find due workflows that living instances don't take, and functions that none of them serves."""
    served: set[str] | None = set()
    for each in instances:
        served = None if served is None or each["functions"] is None else served | set(each["functions"])
    unserved: dict[str, list[str]] = {}
    overdue: list[dict[str, Any]] = []
    for each in due:
        if served is not None and each["function"] not in served:
            unserved.setdefault(each["function"], []).append(each["workflow_id"])
        elif each["late_s"] > bounds.late_s and each["queue"] is None:
            overdue.append(each)  # in a queue it may have to wait for its turn
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
    """Check queues and schedules."""
    if not found.plans:
        return
    for each in found.plans["paused"]:
        why = each["why"] or "no reason given"
        kind = "queue_paused" if each["key"] is None else "queue_key_paused"
        yield finding(kind, **{**each, "by": each["by"] or "somebody", "why": why})
    yield from _check_set(found.plans["set"])
    for queue in found.plans["unserved"]:
        yield finding("queue_unknown", queue=queue)
    yield from _check_aside(found.aside)
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


def _check_aside(queues: list[dict[str, Any]]) -> Iterator[Finding]:
    """Find messages of Supabase Queues that don't become workflows. Records of mended ones may remain."""
    for each in queues:
        # guard: mended-messages-found = True
        if each["there"] or (each["recent"] and each["count"]):
            yield finding(
                "message_refused",
                queue=each["queue"],
                # At least one: no message is hidden while no instance has tried them for long.
                count=max(1, each["count"]),
                example=each["message_id"] if each["there"] else each["any"],
                error=redactor.redact(each["error"]),
                cure=each["remedy"],
                table=f"q_{each['queue']}".lower(),
            )


def _check_set(queues: list[dict[str, Any]]) -> Iterator[Finding]:
    """Find limits set by operators that a later deploy made invalid: only `set_queue` can refuse them."""
    for each in queues:
        for option, value in each["set"].items():
            options = {**each["base"], option: value}
            try:
                for name in options:
                    check_option(name, options[name])
                check_together(options)
            except ValueError as error:
                told = {"by": each["by"] or "somebody", "queue": each["queue"], "why": str(error)}
                yield finding("queue_limit_unfit", **told, flag=option.replace("_", "-"))


def check_age(found: Examined, retention_s: float) -> Iterator[Finding]:
    """Check for how long ended workflows are kept."""
    age_s = (found.work or {}).get("oldest_ended_s") or 0.0
    if not retention_s and age_s > 30 * 86_400:
        yield finding("kept_for_ever", days=age_s / 86_400)
