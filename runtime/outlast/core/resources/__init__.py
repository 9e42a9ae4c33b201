"""The resources of a host as tables: where each is, its columns, what it can be filtered by, its order.

HTTP reads and checks the query by them, makes documents and pages of rows by them, and OpenAPI and the
commands describe them. Each has a query of its name in `store/workflows.sql` or `store/resources.sql`, whose
parameters are the filters' names, its own key and that of what it belongs to, `after_COLUMN` for each column
of the order, and `limit`.
"""

from __future__ import annotations

from outlast.core.resources.acts import ACTS, BULK_ITEMS, BULKS
from outlast.core.resources.overviews import CATALOG, ERRORS, HELD, INSTANCES, PATCHES
from outlast.core.resources.queues import QUEUES, SCHEDULES, TICKS
from outlast.core.resources.resource import COUNTED_MAX, Column, Filter, Kind, Resource, path_of
from outlast.core.resources.workflows import (
    EVENTS,
    FOUND_BY,
    LOGS,
    MESSAGES,
    STEPS,
    WAITS,
    WORKFLOW,
    WORKFLOWS,
)

RESOURCES = (
    WORKFLOWS, STEPS, EVENTS, MESSAGES, LOGS, ERRORS, QUEUES, SCHEDULES, TICKS, ACTS, BULKS, BULK_ITEMS,
    PATCHES, CATALOG, INSTANCES, HELD,
)  # fmt: skip
"""All of them, as OpenAPI and the commands list them."""

MANAGED = tuple(each.path for each in RESOURCES if each.of is None)
"""How the paths of all of them begin, and those of the verbs."""

__all__ = [
    "ACTS", "BULKS", "BULK_ITEMS", "CATALOG", "COUNTED_MAX", "ERRORS", "EVENTS", "FOUND_BY", "HELD",
    "INSTANCES", "LOGS", "MANAGED", "MESSAGES", "PATCHES", "QUEUES", "RESOURCES", "SCHEDULES", "STEPS",
    "TICKS", "WAITS", "WORKFLOW", "WORKFLOWS", "Column", "Filter", "Kind", "Resource", "path_of",
]  # fmt: skip
