"""Looks at everything, in the order in which one would mend it."""

from __future__ import annotations

from outlast.core.ports import Unreachable
from outlast.host.doctor.findings import Finding, finding
from outlast.host.doctor.of_database import Bounds, check_schema, check_server
from outlast.host.doctor.of_settings import check_files, check_settings
from outlast.host.doctor.of_work import check_age, check_plans, check_work
from outlast.host.settings import Settings
from outlast.observe.redaction import redactor
from outlast.store.connections import Database
from outlast.store.doctor import Examined, examine
from outlast.store.remedies import remedy_for

BOUNDS = Bounds()


def look_at_host(settings: Settings) -> list[Finding]:
    """Settings, files, keys and functions. The functions are imported."""
    return [*check_settings(settings), *check_files(settings)]


async def look_at_database(database: Database, settings: Settings, bounds: Bounds = BOUNDS) -> list[Finding]:
    """Database, schema, workflows, queues and schedules."""
    try:
        found = await examine(database)
    except Unreachable as error:
        return [unreachable(str(error))]
    return [*judge(found, bounds), *check_age(found, settings.retention_s)]


def judge(found: Examined, bounds: Bounds) -> list[Finding]:
    """What follows from what was read."""
    return [
        *check_server(found, bounds),
        *check_schema(found, bounds),
        *check_work(found, bounds),
        *check_plans(found, bounds),
    ]


def unreachable(error: str) -> Finding:
    """The database can't be looked at."""
    remedy = remedy_for(error)
    cure = "see that it runs and that SUPABASE_DB_URL names it" if remedy is None else remedy.text
    text = redactor.redact(error.strip().partition("\n")[0])
    return finding("database_unreachable", error=text, cure=cure)
