"""What people did: single acts, and bulks with their items."""

from __future__ import annotations

from outlast.core.resources.resource import AGO, Column, Filter, Kind, Resource, nullable
from outlast.core.resources.workflows import OF_STATUS

ACTS = Resource(
    name="acts",
    path="/acts/v1",
    schema="Act",
    columns=(
        Column("number", Kind.COUNT),
        Column("at", Kind.TIMESTAMP),
        Column("verb", Kind.TEXT, "What was done."),
        Column("noun", Kind.TEXT, "What it was done to: `workflow`, `queue` or `schedule`."),
        Column("name", Kind.TEXT, "The id of the workflow, the name of the queue or the schedule."),
        Column("by", Kind.TEXT, "Who did it: a key, a user, a workflow, or a role of the database."),
        nullable("why", Kind.TEXT),
        Column("before", Kind.OBJECT, "What stood before.", nullable=True, recorded=True, value=True),
    ),
    filters=(
        Filter("workflow", Kind.TEXT, "To this workflow.", "Only what was done to this workflow."),
        Filter("queue", Kind.TEXT, "To this queue.", "Only what was done to this queue."),
        Filter("schedule", Kind.TEXT, "To this schedule.", "Only what was done to this schedule."),
        Filter("verb", Kind.TEXT, "Only this verb.", "Only this verb, such as retry."),
        Filter("since", Kind.TIMESTAMP, "Then or later.", f"Since then: {AGO}"),
        Filter("until", Kind.TIMESTAMP, "Before.", "Before then."),
    ),
    order=("number",),
    about="List what people did to workflows, queues and schedules, the newest first",
    empty="nothing was done",
    commands="See what people did to workflows, queues and schedules.",
    table=("at", "verb", "noun", "name", "by", "why"),
)

BULKS = Resource(
    name="bulks",
    path="/bulks/v1",
    schema="Bulk",
    columns=(
        Column(
            "bulk_id", Kind.TEXT, "The id of the workflow that does it: wait for that, pause or cancel it."
        ),
        Column("verb", Kind.TEXT, "What is done to each."),
        Column("status", Kind.STATUS),
        Column("total", Kind.COUNT, "To how many, as far as they are fixed."),
        Column("fixed", Kind.FLAG, "Whether they are: then it begins."),
        Column("done", Kind.COUNT),
        Column("refused", Kind.COUNT, "Those that stood otherwise than the verb needs, or were gone."),
        Column("failed", Kind.COUNT, "Those that the database failed at."),
        Column("rate", Kind.COUNT, "How many a second."),
        nullable("expect", Kind.COUNT),
        Column("filter", Kind.OBJECT, "Which workflows.", recorded=True, value=True),
        Column("arguments", Kind.OBJECT, "Those of the verb.", recorded=True, value=True),
        Column("by", Kind.TEXT),
        nullable("why", Kind.TEXT),
        Column("created_at", Kind.TIMESTAMP),
        nullable("completed_at", Kind.TIMESTAMP),
    ),
    filters=(
        Filter("verb", Kind.TEXT, "Of this verb.", "Only those of this verb."),
        OF_STATUS,
    ),
    order=("bulk_id",),
    about="List bulks, newest first: what is done to many workflows, and how far it is",
    help="List what is done to many workflows, and how far it is.",
    empty="no bulks",
    one="bulk",
    key="bulk_id",
    commands="See what is done to many workflows at once.",
    table=("bulk_id", "verb", "status", "total", "done", "refused", "failed", "rate", "by", "why"),
)
BULK_ITEMS = Resource(
    name="items",
    path=f"{BULKS.item_path}/items",
    schema="BulkItem",
    columns=(
        Column("place", Kind.COUNT),
        Column("workflow_id", Kind.TEXT),
        nullable("outcome", Kind.TEXT, "`done`, `refused` or `failed`; null: not yet."),
        nullable("reason", Kind.TEXT, "Why not."),
        Column("answer", Kind.JSON, "What the verb answered.", nullable=True, recorded=True, value=True),
        nullable("at", Kind.TIMESTAMP),
    ),
    filters=(
        Filter("outcome", Kind.TEXT, "Of this outcome.", "Only those of this outcome, such as refused."),
    ),
    order=("place",),
    about="List the workflows that a bulk is done to, and what came of each",
    empty="no workflows",
    page_rows=1000,
    of=BULKS,
    table=("place", "workflow_id", "outcome", "reason", "at"),
)
