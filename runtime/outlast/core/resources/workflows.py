"""Workflows, and what belongs to one: its steps, events, messages and lines of log."""

from __future__ import annotations

from outlast.core.resources.resource import AGO, Column, Filter, Kind, Resource, nullable

_SUMMARY = (
    Column("workflow_id", Kind.TEXT),
    Column("function", Kind.TEXT),
    nullable("version", Kind.TEXT, "Of its function's file, when it was started."),
    Column("status", Kind.STATUS),
    nullable("error", Kind.OBJECT, "`code` and the beginning of its `message`.", value=True),
    nullable("queue", Kind.TEXT),
    Column("priority", Kind.INTEGER),
    nullable("subject", Kind.TEXT, "The signed-in user whose call it was."),
    nullable("parent", Kind.TEXT, "The workflow that started it."),
    nullable("forked_from", Kind.TEXT, "The workflow that it is a fork of."),
    Column("attributes", Kind.OBJECT, "What it can be found by.", nullable=True, recorded=True, value=True),
    Column("generation", Kind.COUNT, "From 2 on it was retried."),
    Column("recovery_attempts", Kind.COUNT, "How often an instance that ran it was lost."),
    nullable("claimable_at", Kind.TIMESTAMP, "When an instance may claim it; null while owned or ended."),
    nullable("waiting_on", Kind.TEXT, "Why it does not run now; null while it runs, and once it has ended."),
    nullable("deadline", Kind.TIMESTAMP),
    Column("created_at", Kind.TIMESTAMP),
    nullable("started_at", Kind.TIMESTAMP),
    Column("updated_at", Kind.TIMESTAMP),
    nullable("completed_at", Kind.TIMESTAMP),
)
_FAILURE = "`code` and `message`; `failure` holds the exception and its traceback."
_REQUEST = "The call that started it: `method`, `path`, `query`, `headers`; null where none did."
_LARGE = "With `brief`: the members that are left out, each with its `bytes` and how it `begins`."
_RESPONSE = "`status` and `headers`, where the function set them."
_HELD = (
    "Why nobody goes on with it: `reason` (`non_determinism`, `output_mismatch`, `input_mismatch`,"
    " `function_missing`, `paused`) and `since`; with a secret key also what is `recorded`, what the code"
    " `called` in its place, where (`at`), and the `remedy`."
)
WORKFLOW = (
    *(column for column in _SUMMARY if column.name != "error"),
    Column("input", Kind.JSON, recorded=True, value=True),
    Column("output", Kind.JSON, recorded=True, value=True),
    nullable("error", Kind.OBJECT, _FAILURE, value=True),
    Column("response", Kind.OBJECT, _RESPONSE, nullable=True, recorded=True, value=True),
    Column("request", Kind.OBJECT, _REQUEST, nullable=True, recorded=True, secret=True, value=True),
    Column("large", Kind.OBJECT, _LARGE, nullable=True, optional=True, recorded=True, value=True),
    nullable("idempotency_key", Kind.TEXT),
    Column("owner", Kind.TEXT, "The instance that runs it.", nullable=True, secret=True),
    Column("epoch", Kind.COUNT, "Raised by each claim; every write carries it."),
    Column("held", Kind.OBJECT, _HELD, nullable=True, value=True),
)
"""The columns of a workflow that is shown by its id."""

_OF_VERSION = "Only those of this version of the function's file."
OF_STATUS = Filter(
    "status",
    Kind.STATUS,
    "Any of these; repeated, or with commas between.",
    "Only those that stand so. May be repeated.",
)
_WITH_ERROR = "Only those whose error's text holds this."
WAITS = ("message", "workflow", "sleep", "time", "queue", "limit", "instance", "recovery", "held", "paused")
"""What workflows wait for, a word each: see `outlast.waits_on`."""
_WHY_HELD = "Only those that are held: any, or for a reason such as non_determinism."
FOUND_BY = (
    Filter("function", Kind.TEXT, "Served under this name.", "Only this function's."),
    Filter("prefix", Kind.TEXT, "Whose id begins so.", "Only those whose id begins so."),
    Filter("version", Kind.TEXT, "Started by this version of the function's file.", _OF_VERSION),
    OF_STATUS,
    Filter("error", Kind.TEXT, "Whose error's text holds this, in upper or lower case.", _WITH_ERROR, True),
    Filter("queue", Kind.TEXT, "In this queue.", "Only those of this queue, such as pgmq:orders."),
    Filter("parent", Kind.TEXT, "Started by this workflow.", "Only those that this workflow has started."),
    Filter(
        "has_parent", Kind.FLAG, "Started by a workflow, or by none.", "Only those that a workflow started."
    ),
    Filter(
        "since",
        Kind.TIMESTAMP,
        "Created then or later. A date alone is midnight in UTC.",
        f"Created since then: {AGO}",
    ),
    Filter("until", Kind.TIMESTAMP, "Created before.", "Created before then."),
    Filter("completed_since", Kind.TIMESTAMP, "Ended then or later.", f"Ended since then: {AGO}"),
    Filter("completed_until", Kind.TIMESTAMP, "Ended before.", "Ended before then."),
    Filter("held", Kind.TEXT, "Held for this reason; `any` for whatever reason.", _WHY_HELD),
    Filter("waiting_on", Kind.TEXT, "Waiting for this.", "Only those that wait for it.", choices=WAITS),
    Filter(
        "error_group",
        Kind.TEXT,
        "Failed in this way: see `/errors/v1`.",
        "Only those that failed in this way.",
    ),
    Filter(
        "attribute",
        Kind.PAIR,
        "A key and its value: `customer:42`; repeated, all of them.",
        "Only those with this: customer:42. Again for more: all must hold.",
        True,
    ),
)
"""The filters by which workflows are found. `outlast.find_workflows` takes them by these names."""

WORKFLOWS = Resource(
    name="workflows",
    path="/workflows/v1",
    schema="WorkflowSummary",
    columns=_SUMMARY,
    filters=(*FOUND_BY, Filter("ascending", Kind.FLAG, "The oldest first.", "The oldest first.")),
    order=("created_at", "workflow_id"),
    about="List workflows, newest first",
    help="List workflows, the newest first.",
    empty="no workflows",
    secret=False,
    one="workflow",
    key="workflow_id",
    commands="Look at workflows, wait for them, send them messages, cancel them.",
)

_WAKE = "Of a sleep or a receive that isn't over: when it will be."
_RETRY = "Of a step that runs and whose last attempt failed: when the next one begins."
_SETTLED = "Of a result that was given by hand: `by`, `at`, `why`."
_INSTANCE = "The instance that has recorded it, or runs it."
_BYTES = "With `brief`, of an output that is left out: its size as it is stored."
STEPS = Resource(
    name="steps",
    path=f"{WORKFLOWS.item_path}/steps",
    schema="Step",
    columns=(
        Column("step_id", Kind.TEXT),
        Column("name", Kind.TEXT),
        nullable("kind", Kind.TEXT, "Which operation it is: `step`, `transaction`, `sleep`, `receive`, …"),
        Column("status", Kind.STEP_STATUS),
        Column("output", Kind.JSON, recorded=True, value=True),
        Column("output_bytes", Kind.COUNT, _BYTES, nullable=True, optional=True),
        Column("error", Kind.OBJECT, nullable=True, recorded=True, value=True),
        Column("attempts", Kind.COUNT),
        Column("completion_order", Kind.INTEGER, nullable=True),
        Column("started_at", Kind.TIMESTAMP, nullable=True),
        Column("completed_at", Kind.TIMESTAMP, nullable=True),
        Column("wake_at", Kind.TIMESTAMP, _WAKE, optional=True),
        Column("retry_at", Kind.TIMESTAMP, _RETRY, nullable=True, optional=True),
        Column("instance", Kind.TEXT, _INSTANCE, nullable=True, secret=True),
        Column("settled", Kind.OBJECT, _SETTLED, nullable=True, secret=True, value=True),
    ),
    filters=(
        Filter("step_id", Kind.TEXT, "This one alone.", "Only this step."),
        Filter("newest", Kind.FLAG, "The last ones first.", "The last ones first."),
        Filter("brief", Kind.FLAG, "Leave out outputs longer than 4 KiB.", "Leave out long outputs."),
    ),
    order=("place", "step_id"),
    about="List a workflow's steps: the recorded ones in order of completion, then what waits and what runs",
    help="List the steps of a workflow in the order they ended, then those that run.",
    empty="no step is recorded, and none runs",
    page_rows=1000,
    secret=False,
    of=WORKFLOWS,
)

EVENTS = Resource(
    name="events",
    path=f"{WORKFLOWS.item_path}/events",
    schema="Event",
    columns=(
        Column("number", Kind.COUNT, "Its place among all that the workflow has recorded."),
        Column("event", Kind.TEXT, "Its name."),
        Column("published_at", Kind.TIMESTAMP),
        Column("value", Kind.JSON, recorded=True, value=True),
    ),
    filters=(Filter("event", Kind.TEXT, "Of this name alone.", "Only events of this name."),),
    order=("number",),
    about="List a workflow's published events in order, or follow them to its end",
    help="List the events that a workflow has published, in their order.",
    empty="no event is published",
    page_rows=1000,
    secret=False,
    of=WORKFLOWS,
)

MESSAGES = Resource(
    name="messages",
    path=f"{WORKFLOWS.item_path}/messages",
    schema="Message",
    columns=(
        Column("message_id", Kind.COUNT),
        Column("topic", Kind.TEXT, "Empty for the topic without a name."),
        nullable("number", Kind.COUNT, "Its place among those of its workflow; null until it is delivered."),
        Column("message", Kind.JSON, recorded=True, value=True),
        nullable("idempotency_key", Kind.TEXT),
        Column("sent_at", Kind.TIMESTAMP),
    ),
    filters=(Filter("topic", Kind.TEXT, "To this topic.", "Only those to this topic."),),
    order=("message_id",),
    about="List the messages that a workflow was sent, in order",
    help="List the messages that a workflow was sent, in their order.",
    empty="no message was sent",
    page_rows=100,
    of=WORKFLOWS,
)

LOGS = Resource(
    name="logs",
    path=f"{WORKFLOWS.item_path}/logs",
    schema="LogLine",
    columns=(
        Column("at", Kind.TIMESTAMP),
        Column("number", Kind.COUNT, "Of its process."),
        Column("level", Kind.TEXT),
        Column("logger", Kind.TEXT, "`stdout` or `stderr` where it was printed."),
        nullable("step_id", Kind.TEXT, "Null for what the body itself said."),
        nullable("step", Kind.TEXT, "Its name."),
        nullable("attempt", Kind.COUNT),
        Column("message", Kind.TEXT, "2,000 characters at most.", value=True),
    ),
    filters=(Filter("step_id", Kind.TEXT, "Of this step.", "Only those of this step."),),
    order=("at", "number"),
    about="List the last 100 lines that a workflow logged or printed on the host that answers",
    help="List the last 100 lines that a workflow logged or printed on this host.",
    empty="no line of it is kept on this host",
    page_rows=1000,
    of=WORKFLOWS,
)
