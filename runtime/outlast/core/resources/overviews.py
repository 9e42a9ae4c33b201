"""What is counted over all workflows: by cause, patch, function, instance and hold."""

from __future__ import annotations

from outlast.core.resources.resource import AGO, OF_FUNCTION, Column, Filter, Kind, Resource, nullable

ERRORS = Resource(
    name="errors",
    path="/errors/v1",
    schema="ErrorGroup",
    columns=(
        Column("error_group", Kind.TEXT, "What the list of workflows finds them by."),
        Column("function", Kind.TEXT),
        Column("code", Kind.TEXT),
        nullable("type", Kind.TEXT, "The exception's class."),
        nullable("place", Kind.TEXT, "The innermost frame of your own code: file and function."),
        nullable("message", Kind.TEXT, "The beginning of the newest one's.", value=True),
        Column("count", Kind.COUNT_AT_LEAST, "How many failed so in that time."),
        Column("first_at", Kind.TIMESTAMP, "When the first of them failed."),
        Column("last_at", Kind.TIMESTAMP),
        Column("workflow_id", Kind.TEXT, "The newest one."),
    ),
    filters=(
        OF_FUNCTION,
        Filter("since", Kind.TIMESTAMP, "Failed then or later.", f"Failed since then: {AGO}"),
        Filter("until", Kind.TIMESTAMP, "Failed before.", "Failed before then."),
    ),
    order=("last_at", "error_group"),
    about="List what workflows failed of, by cause: the last first, 1,000 causes at most",
    help="List what workflows failed of, by cause: the last first.",
    empty="nothing failed",
    commands="See what workflows failed of.",
    table=("error_group", "count", "last_at", "function", "code", "type", "place", "message"),
)

PATCHES = Resource(
    name="patches",
    path="/patches/v1",
    schema="Patch",
    columns=(
        Column("name", Kind.TEXT, "What `patched` was asked for."),
        Column("functions", Kind.JSON, "Whose workflows have asked."),
        Column("took_new", Kind.COUNT, "How many open ones of the 100,000 newest took the new branch."),
        Column("took_old", Kind.COUNT, "How many open ones took the old branch."),
        Column(
            "not_asked",
            Kind.COUNT,
            "How many open ones began before it was first asked, or up to an hour later (forks with records: "
            "whose first one did), and haven't asked: they may take the old branch.",
        ),
        Column(
            "failed_old",
            Kind.COUNT,
            "How many failed ones took the old branch, or are older and haven't asked; a retry may take it.",
        ),
        Column("safe", Kind.FLAG, "Whether no open one can take the old branch any more: it may go."),
        Column("advice", Kind.TEXT, "The same in words."),
        nullable("asked_at", Kind.TIMESTAMP, "When it was first asked, of what is still there."),
    ),
    filters=(
        Filter("safe", Kind.FLAG, "Only those whose old branch may go, or only others.", "Only what may go."),
    ),
    order=("name",),
    about="List what `patched` was asked for: how many open workflows took which branch, and what may go",
    help="List what `patched` was asked for, and whether the old branch may go.",
    empty="no open or ended workflow has asked patched(…)",
    page_rows=100,
    table=("name", "functions", "took_new", "took_old", "not_asked", "failed_old", "advice"),
)

_FROM = "Of its newest 200 workflows: "
CATALOG = Resource(
    name="catalog",
    path="/catalog/v1",
    schema="CatalogEntry",
    columns=(
        Column("function", Kind.TEXT, "FILE or FILE/WORKFLOW."),
        Column("served", Kind.FLAG, "Whether an instance that is alive serves it."),
        Column("versions", Kind.JSON, "Which versions of its file those serve."),
        Column("running", Kind.COUNT, "How many an instance has: of the first 5,000 of all."),
        Column("waiting", Kind.COUNT, "How many wait, for a time, an event or their turn: as far as that."),
        Column("held", Kind.COUNT, "How many are held or paused: as far as that."),
        Column("started_hour", Kind.COUNT_AT_LEAST, "How many were started within the last hour."),
        Column("ended", Kind.COUNT, f"{_FROM}how many have ended."),
        Column("failed", Kind.COUNT, f"{_FROM}how many are ERROR, CANCELLED or EXHAUSTED."),
        nullable("p50_s", Kind.NUMBER, f"{_FROM}half took no longer, from their first run to their end."),
        nullable("p95_s", Kind.NUMBER, f"{_FROM}nineteen of twenty took no longer."),
        nullable("last_at", Kind.TIMESTAMP, "When the newest one was started."),
    ),
    filters=(Filter("served", Kind.FLAG, "Only served ones, or only others.", "Only served ones."),),
    order=("function",),
    about="List the functions of workflows: who serves them, how many run, how long they take",
    empty="no functions",
    one="function",
    key="function",
    commands="See how many workflows functions have, and how long they take.",
    table=("function", "served", "running", "waiting", "held", "started_hour", "failed", "p50_s", "p95_s"),
)

INSTANCES = Resource(
    name="instances",
    path="/instances/v1",
    schema="Instance",
    columns=(
        Column("instance_id", Kind.TEXT),
        Column("state", Kind.TEXT, "`alive`, `lost` (its lease ran out) or `left`."),
        nullable("host", Kind.TEXT),
        nullable("version", Kind.TEXT, "Of Outlast."),
        Column("started_at", Kind.TIMESTAMP),
        nullable("lease_until", Kind.TIMESTAMP, "It renews that before; null once it has left."),
        Column("workflows", Kind.COUNT_AT_LEAST, "How many it runs."),
        Column("steps", Kind.COUNT, "How many steps had run for some seconds at its last beat."),
        Column(
            "versions",
            Kind.OBJECT,
            "The workflows that it serves, and the versions of their files.",
            nullable=True,
            recorded=True,
        ),
    ),
    filters=(Filter("alive", Kind.FLAG, "Only those alive, or only others.", "Only those alive."),),
    order=("instance_id",),
    about="List instances: their leases, what they serve and run; those that are gone for a day",
    help="List instances: their leases, what they serve and run.",
    empty="no instances",
    one="instance",
    key="instance_id",
    commands="See the instances of this database.",
    table=("instance_id", "state", "host", "version", "started_at", "lease_until", "workflows", "steps"),
)

HELD = Resource(
    name="held",
    path="/held/v1",
    schema="HeldGroup",
    columns=(
        Column("function", Kind.TEXT),
        Column("reason", Kind.TEXT, "`non_determinism`, `function_missing`, `paused` and others."),
        Column("count", Kind.COUNT, "How many are held so: of the first 5,000 of all."),
        nullable("since", Kind.TIMESTAMP, "Since when the first of them is."),
        Column("workflow_id", Kind.TEXT, "That one."),
        nullable("step", Kind.TEXT, "The id of the call in it."),
        Column("recorded", Kind.JSON, "What is recorded there.", nullable=True, recorded=True, value=True),
        Column("called", Kind.JSON, "What the code calls there.", nullable=True, recorded=True, value=True),
        nullable("at", Kind.TEXT, "File and line of the call."),
        nullable("remedy", Kind.TEXT, "What lets them go on."),
    ),
    filters=(
        OF_FUNCTION,
        Filter("reason", Kind.TEXT, "For this reason.", "Only for this reason."),
    ),
    order=("function", "reason"),
    about="List what is held by function and reason, with the first of each",
    empty="nothing is held",
    commands="See what is held, and why.",
    table=("function", "reason", "count", "since", "workflow_id", "at", "remedy"),
)
