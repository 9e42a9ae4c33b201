"""Findings about the server and the schema: pure checks over what was read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from outlast.host.doctor.findings import Finding, finding
from outlast.store.doctor import Examined


@dataclass(frozen=True, slots=True)
class Bounds:
    """From where on something is too long, too far or too much."""

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


def check_server(found: Examined, bounds: Bounds) -> Iterator[Finding]:
    """The server, its clock and its sessions."""
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
    """Migrations, tables and indexes."""
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
