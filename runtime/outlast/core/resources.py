"""The resources of a host as tables: where each is, its columns, what it can be filtered by, its order.

HTTP reads and checks the query by them, makes documents and pages of rows by them, and OpenAPI and the
commands describe them. Each has a query of its name in `store/workflows.sql` or `store/resources.sql`, whose
parameters are the filters' names, its own key and that of what it belongs to, `after_COLUMN` for each column
of the order, and `limit`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

COUNTED_MAX = 1000
"""How far counts go that would take long for many rows: this number stands for itself and all above."""


class Kind(StrEnum):
    """What a column holds, or a filter takes."""

    TEXT = "text"
    COUNT = "count"
    """A whole number from 0 on."""
    COUNT_AT_LEAST = "count, at least"
    """A count up to COUNTED_MAX."""
    INTEGER = "integer"
    NUMBER = "number"
    DURATION = "duration"
    """A number of seconds; a command takes `90`, `90s`, `5m`, `2h` or `7d`."""
    FLAG = "flag"
    RATE = "rate"
    """`{"n": 100, "per": 60}` (seconds), and `"smooth": true` if it is; a command takes `100/60s`."""
    TIMESTAMP = "timestamp"
    """A date with time and offset; a filter takes a date alone, too."""
    OBJECT = "object"
    JSON = "json"
    """Any JSON, as it was recorded."""
    STATUS = "status"
    """A workflow's status; a filter takes several."""
    STEP_STATUS = "step status"
    PAIR = "pair"
    """A key and its value; only filters have it."""


class Column(NamedTuple):
    """A column of a resource: a member of its JSON documents."""

    name: str
    kind: Kind
    about: str = ""
    nullable: bool = False
    optional: bool = False
    """Whether documents may lack it."""
    recorded: bool = False
    """Whether its JSON is passed on exactly as it was recorded."""
    secret: bool = False
    """Whether it is null for all but holders of a secret key."""
    value: bool = False
    """Whether it tells of what workflows work with: a viewer key doesn't see it."""


class Filter(NamedTuple):
    """A parameter that narrows a listing down, and the option `--name` of its command."""

    name: str
    kind: Kind
    about: str
    """For OpenAPI."""
    help: str | None = None
    """Help of the option; None if the command has no such option."""
    value: bool = False
    """Whether one finds out values by it: it is not for a viewer key."""

    @property
    def several(self) -> bool:
        """Whether it may be given several times."""
        return self.kind in (Kind.STATUS, Kind.PAIR)


class Resource(NamedTuple):
    """A listing: of all there is, or of what belongs to one row of another resource."""

    name: str
    path: str
    schema: str
    """Its documents' name in OpenAPI."""
    columns: tuple[Column, ...]
    filters: tuple[Filter, ...]
    order: tuple[str, ...]
    """The columns that rows are ordered by; the cursor holds their values."""
    order_kinds: tuple[Kind, ...]
    about: str
    """For OpenAPI."""
    help: str
    """Of its command."""
    empty: str
    """What a terminal shows where there are no rows."""
    page_rows: int = 1000
    """Rows of a page without `limit`."""
    secret: bool = True
    """Whether only holders of a secret key may read it. A list of all rows takes a `subject` otherwise."""
    one: str = ""
    """What one of them is called, if one can be asked for: `GET PATH/KEY`, `outlast NAME show KEY`."""
    key: str = ""
    """The column that names it then, the placeholder in paths, and the parameter of SQL."""
    of: Resource | None = None
    """What its rows belong to, if they do: its path begins with that one's `item_path`."""
    commands: str = ""
    """Help of the group of its commands."""
    table: tuple[str, ...] = ()
    """The columns that the command lists; all without any."""
    stored: bool = True
    """Whether it is in the database; else in the memory of the host that answers."""

    @property
    def item_path(self) -> str:
        """The path of one row."""
        return f"{self.path}/{{{self.key}}}"

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that its query takes: its own, if one can be asked for, and that of what it belongs to."""
        return tuple(each.key for each in (self, self.of) if each is not None and each.key)


def _nullable(name: str, kind: Kind, about: str = "", *, value: bool = False) -> Column:
    return Column(name, kind, about, nullable=True, value=value)


_SUMMARY = (
    Column("workflow_id", Kind.TEXT),
    Column("function", Kind.TEXT),
    _nullable("version", Kind.TEXT, "Of its function's file, when it was started."),
    Column("status", Kind.STATUS),
    _nullable("error", Kind.OBJECT, "`code` and the beginning of its `message`.", value=True),
    _nullable("queue", Kind.TEXT),
    Column("priority", Kind.INTEGER),
    _nullable("subject", Kind.TEXT, "The signed-in user whose call it was."),
    _nullable("parent", Kind.TEXT, "The workflow that started it."),
    _nullable("forked_from", Kind.TEXT, "The workflow that it is a fork of."),
    Column("attributes", Kind.OBJECT, "What it can be found by.", nullable=True, recorded=True, value=True),
    Column("generation", Kind.COUNT, "From 2 on it was retried."),
    Column("recovery_attempts", Kind.COUNT, "How often an instance that ran it was lost."),
    _nullable("claimable_at", Kind.TIMESTAMP, "When an instance may claim it; null while owned or ended."),
    _nullable("waiting_on", Kind.TEXT, "Why it does not run now; null while it runs, and once it has ended."),
    _nullable("deadline", Kind.TIMESTAMP),
    Column("created_at", Kind.TIMESTAMP),
    _nullable("started_at", Kind.TIMESTAMP),
    Column("updated_at", Kind.TIMESTAMP),
    _nullable("completed_at", Kind.TIMESTAMP),
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
    _nullable("error", Kind.OBJECT, _FAILURE, value=True),
    Column("response", Kind.OBJECT, _RESPONSE, nullable=True, recorded=True, value=True),
    Column("request", Kind.OBJECT, _REQUEST, nullable=True, recorded=True, secret=True, value=True),
    Column("large", Kind.OBJECT, _LARGE, nullable=True, optional=True, recorded=True, value=True),
    _nullable("idempotency_key", Kind.TEXT),
    Column("owner", Kind.TEXT, "The instance that runs it.", nullable=True, secret=True),
    Column("epoch", Kind.COUNT, "Raised by each claim; every write carries it."),
    Column("held", Kind.OBJECT, _HELD, nullable=True, value=True),
)
"""The columns of a workflow that is shown by its id."""

_OF_VERSION = "Only those of this version of the function's file."
_OF_STATUS = "Only those that stand so. May be repeated."
_WITH_ERROR = "Only those whose error's text holds this."
WAITS = ("message", "workflow", "sleep", "time", "queue", "limit", "instance", "recovery", "held", "paused")
"""What workflows wait for, in a word each: `outlast.waits_on`."""
_WAITS = ", ".join(f"`{each}`" for each in WAITS)
_WHY_HELD = "Only those that are held: any, or for a reason such as non_determinism."
_AGO = "30m, 2h or 7d ago, or a date."
FOUND_BY = (
    Filter("function", Kind.TEXT, "Served under this name.", "Only this function's."),
    Filter("prefix", Kind.TEXT, "Whose id begins so.", "Only those whose id begins so."),
    Filter("version", Kind.TEXT, "Started by this version of the function's file.", _OF_VERSION),
    Filter("status", Kind.STATUS, "Any of these; repeated, or with commas between.", _OF_STATUS),
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
        f"Created since then: {_AGO}",
    ),
    Filter("until", Kind.TIMESTAMP, "Created before.", "Created before then."),
    Filter("completed_since", Kind.TIMESTAMP, "Ended then or later.", f"Ended since then: {_AGO}"),
    Filter("completed_until", Kind.TIMESTAMP, "Ended before.", "Ended before then."),
    Filter("held", Kind.TEXT, "Held for this reason; `any` for whatever reason.", _WHY_HELD),
    Filter("waiting_on", Kind.TEXT, f"Waiting for this: {_WAITS}.", "Only those that wait for it: message …"),
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
"""What workflows are found by: `outlast.find_workflows` takes all of them by these names."""

WORKFLOWS = Resource(
    name="workflows",
    path="/workflows/v1",
    schema="WorkflowSummary",
    columns=_SUMMARY,
    filters=(*FOUND_BY, Filter("ascending", Kind.FLAG, "The oldest first.", "The oldest first.")),
    order=("created_at", "workflow_id"),
    order_kinds=(Kind.TIMESTAMP, Kind.TEXT),
    about="List workflows, newest first",
    help="List workflows, the newest first.",
    empty="no workflows",
    page_rows=50,
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
        _nullable("kind", Kind.TEXT, "Which operation it is: `step`, `transaction`, `sleep`, `receive`, …"),
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
    order_kinds=(Kind.COUNT, Kind.TEXT),
    about="List a workflow's steps: the recorded ones in order of completion, then what waits and what runs",
    help="List the steps of a workflow in the order they ended, then those that run.",
    empty="no step is recorded, and none runs",
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
    order_kinds=(Kind.COUNT,),
    about="List a workflow's published events in order, or follow them to its end",
    help="List the events that a workflow has published, in their order.",
    empty="no event is published",
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
        _nullable("number", Kind.COUNT, "Its place among those of its workflow; null until it is delivered."),
        Column("message", Kind.JSON, recorded=True, value=True),
        _nullable("idempotency_key", Kind.TEXT),
        Column("sent_at", Kind.TIMESTAMP),
    ),
    filters=(Filter("topic", Kind.TEXT, "To this topic.", "Only those to this topic."),),
    order=("message_id",),
    order_kinds=(Kind.COUNT,),
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
        _nullable("step_id", Kind.TEXT, "Null for what the body itself said."),
        _nullable("step", Kind.TEXT, "Its name."),
        _nullable("attempt", Kind.COUNT),
        Column("message", Kind.TEXT, "2,000 characters at most.", value=True),
    ),
    filters=(Filter("step_id", Kind.TEXT, "Of this step.", "Only those of this step."),),
    order=("at", "number"),
    order_kinds=(Kind.TIMESTAMP, Kind.COUNT),
    about="List the last 100 lines that a workflow logged or printed on the host that answers",
    help="List the last 100 lines that a workflow logged or printed on this host.",
    empty="no line of it is kept on this host",
    of=WORKFLOWS,
    stored=False,
)

_LIMITS = "The options that hold now: those of the code, with what operators have set in their place."
_WAITING = "How many wait: those that are ready, and those that sleep or have a delay."
QUEUES = Resource(
    name="queues",
    path="/queues/v1",
    schema="Queue",
    columns=(
        Column("name", Kind.TEXT),
        Column("running", Kind.COUNT_AT_LEAST, "How many run now: of a limit of steps, steps."),
        Column("ready", Kind.COUNT_AT_LEAST, "How many could begin now, were it their turn."),
        Column("waiting", Kind.COUNT_AT_LEAST, _WAITING),
        _nullable(
            "ready_since", Kind.TIMESTAMP, "Since when the one of them is ready that has been longest."
        ),
        Column("limits", Kind.OBJECT, _LIMITS, recorded=True),
        Column("base", Kind.OBJECT, "The options that code declares.", recorded=True),
        Column("override", Kind.OBJECT, "What operators have set.", nullable=True, recorded=True),
        _nullable("override_by", Kind.TEXT, "Who set it."),
        _nullable("override_at", Kind.TIMESTAMP),
        _nullable("override_why", Kind.TEXT),
        _nullable("paused_at", Kind.TIMESTAMP, "Since when nothing begins here; null where it isn't paused."),
        _nullable("paused_by", Kind.TEXT),
        _nullable("paused_why", Kind.TEXT),
        Column("paused_keys", Kind.JSON, "Keys that are paused: at most 100.", recorded=True),
        Column("functions", Kind.JSON, "Whose workflows wait here by themselves."),
    ),
    filters=(Filter("paused", Kind.FLAG, "Only paused ones, or only others.", "Only paused ones."),),
    order=("name",),
    order_kinds=(Kind.TEXT,),
    about="List queues with their limits, and how many run and wait",
    help="List queues: how many run and wait, and who has paused them.",
    empty="no queues",
    page_rows=50,
    one="queue",
    key="name",
    commands="Look at queues, change their limits, pause and resume them.",
    table=("name", "running", "ready", "waiting", "ready_since", "limits", "paused_by", "paused_why"),
)

_STATE = "`active`, `paused`, `orphaned` (no file declares it), `ended`, `unusable` (`fault` says why)."
SCHEDULES = Resource(
    name="schedules",
    path="/schedules/v1",
    schema="Schedule",
    columns=(
        Column("name", Kind.TEXT),
        Column("function", Kind.TEXT, "What it starts."),
        Column("state", Kind.TEXT, _STATE),
        _nullable("next_at", Kind.TIMESTAMP, "When its next tick is due."),
        Column("upcoming", Kind.JSON, "Its next times by its timetable, five at most.", recorded=True),
        _nullable("last_at", Kind.TIMESTAMP, "The tick that was run last."),
        _nullable("cron", Kind.TEXT),
        Column("tz", Kind.TEXT, "In which time zone `cron` is read."),
        _nullable("every_s", Kind.COUNT),
        _nullable("at", Kind.TIMESTAMP),
        Column("input", Kind.JSON, "What the workflow is given.", recorded=True, value=True),
        Column("catchup", Kind.TEXT, "What is done about missed ticks: `last`, `none`, `all`."),
        Column("overlap", Kind.TEXT, "While an earlier one is live: `skip`, `wait`, `allow`, `cancel`."),
        _nullable("until", Kind.TIMESTAMP, "No tick is later."),
        _nullable("times", Kind.COUNT, "How many ticks there are in all."),
        Column("jitter_s", Kind.NUMBER, "Up to so much later each tick comes, always by as much."),
        _nullable("pause_after", Kind.COUNT, "It is paused after so many failures in a row."),
        _nullable("waiting_at", Kind.TIMESTAMP, "The tick that waits for the end of an earlier one."),
        Column("started", Kind.COUNT, "How many ticks were run."),
        Column("skipped", Kind.COUNT),
        Column("missed", Kind.COUNT),
        Column("owner", Kind.TEXT, "`code`, or `dynamic` if it was made while running."),
        _nullable("version", Kind.TEXT, "Of the file that declares it."),
        _nullable("paused_at", Kind.TIMESTAMP),
        _nullable("paused_by", Kind.TEXT),
        _nullable("paused_why", Kind.TEXT),
        _nullable("orphaned_at", Kind.TIMESTAMP),
        _nullable("ended_at", Kind.TIMESTAMP),
        _nullable("fault", Kind.TEXT),
        _nullable("backfill_after", Kind.TIMESTAMP, "What of a backfill is left begins after that."),
        _nullable("backfill_until", Kind.TIMESTAMP),
        Column("created_at", Kind.TIMESTAMP),
        _nullable("created_by", Kind.TEXT),
    ),
    filters=(
        Filter("function", Kind.TEXT, "Of this function.", "Only this function's."),
        Filter("state", Kind.TEXT, "In this state.", "Only those in this state, such as paused."),
    ),
    order=("name",),
    order_kinds=(Kind.TEXT,),
    about="List schedules: what they start, and when next",
    help="List schedules: what they start, and when next.",
    empty="no schedules",
    page_rows=50,
    one="schedule",
    key="name",
    commands="Look at schedules, pause and resume them, start what they start now or at times of the past.",
    table=(
        "name",
        "function",
        "state",
        "cron",
        "tz",
        "every_s",
        "next_at",
        "last_at",
        "missed",
        "paused_why",
    ),
)
TICKS = Resource(
    name="ticks",
    path=f"{SCHEDULES.item_path}/ticks",
    schema="Tick",
    columns=(
        Column("number", Kind.COUNT),
        Column("nominal_at", Kind.TIMESTAMP, "The time by the timetable."),
        Column("outcome", Kind.TEXT, "`skipped`, `late` or `missed`."),
        Column("reason", Kind.TEXT),
        Column("count", Kind.COUNT, "For how many ticks this row stands, from that time on."),
        _nullable("workflow_id", Kind.TEXT, "What was run late, or still ran."),
        Column("at", Kind.TIMESTAMP, "When it was noted."),
    ),
    filters=(Filter("outcome", Kind.TEXT, "Of this outcome.", "Only those of this outcome."),),
    order=("number",),
    order_kinds=(Kind.COUNT,),
    about="List the ticks of a schedule that did not go as planned, in order; 1,000 are kept",
    help="List the ticks of a schedule that did not go as planned, and why.",
    empty="all ticks went as planned",
    of=SCHEDULES,
)

ERRORS = Resource(
    name="errors",
    path="/errors/v1",
    schema="ErrorGroup",
    columns=(
        Column("error_group", Kind.TEXT, "What the list of workflows finds them by."),
        Column("function", Kind.TEXT),
        Column("code", Kind.TEXT),
        _nullable("type", Kind.TEXT, "The exception's class."),
        _nullable("place", Kind.TEXT, "The innermost frame of your own code: file and function."),
        _nullable("message", Kind.TEXT, "The beginning of the newest one's.", value=True),
        Column("count", Kind.COUNT_AT_LEAST, "How many failed so in that time."),
        Column("first_at", Kind.TIMESTAMP, "When the first of them failed."),
        Column("last_at", Kind.TIMESTAMP),
        Column("workflow_id", Kind.TEXT, "The newest one."),
    ),
    filters=(
        Filter("function", Kind.TEXT, "Of this function.", "Only this function's."),
        Filter("since", Kind.TIMESTAMP, "Failed then or later.", f"Failed since then: {_AGO}"),
        Filter("until", Kind.TIMESTAMP, "Failed before.", "Failed before then."),
    ),
    order=("last_at", "error_group"),
    order_kinds=(Kind.TIMESTAMP, Kind.TEXT),
    about="List what workflows failed of, by cause: the last first, 1,000 causes at most",
    help="List what workflows failed of, by cause: the last first.",
    empty="nothing failed",
    page_rows=50,
    commands="See what workflows failed of.",
    table=("error_group", "count", "last_at", "function", "code", "type", "place", "message"),
)

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
        _nullable("why", Kind.TEXT),
        Column("before", Kind.OBJECT, "What stood before.", nullable=True, recorded=True, value=True),
    ),
    filters=(
        Filter("workflow", Kind.TEXT, "To this workflow.", "Only what was done to this workflow."),
        Filter("queue", Kind.TEXT, "To this queue.", "Only what was done to this queue."),
        Filter("schedule", Kind.TEXT, "To this schedule.", "Only what was done to this schedule."),
        Filter("verb", Kind.TEXT, "Only this verb.", "Only this verb, such as retry."),
        Filter("since", Kind.TIMESTAMP, "Then or later.", "Since then: 30m, 2h or 7d ago, or a date."),
        Filter("until", Kind.TIMESTAMP, "Before.", "Before then."),
    ),
    order=("number",),
    order_kinds=(Kind.COUNT,),
    about="List what people did to workflows, queues and schedules, the newest first",
    help="List what people did to workflows, queues and schedules, the newest first.",
    empty="nothing was done",
    page_rows=50,
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
        _nullable("expect", Kind.COUNT),
        Column("filter", Kind.OBJECT, "Which workflows.", recorded=True, value=True),
        Column("arguments", Kind.OBJECT, "Those of the verb.", recorded=True, value=True),
        Column("by", Kind.TEXT),
        _nullable("why", Kind.TEXT),
        Column("created_at", Kind.TIMESTAMP),
        _nullable("completed_at", Kind.TIMESTAMP),
    ),
    filters=(
        Filter("verb", Kind.TEXT, "Of this verb.", "Only those of this verb."),
        Filter("status", Kind.STATUS, "Any of these; repeated, or with commas between.", _OF_STATUS),
    ),
    order=("bulk_id",),
    order_kinds=(Kind.TEXT,),
    about="List bulks, newest first: what is done to many workflows, and how far it is",
    help="List what is done to many workflows, and how far it is.",
    empty="no bulks",
    page_rows=50,
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
        _nullable("outcome", Kind.TEXT, "`done`, `refused` or `failed`; null: not yet."),
        _nullable("reason", Kind.TEXT, "Why not."),
        Column("answer", Kind.JSON, "What the verb answered.", nullable=True, recorded=True, value=True),
        _nullable("at", Kind.TIMESTAMP),
    ),
    filters=(
        Filter("outcome", Kind.TEXT, "Of this outcome.", "Only those of this outcome, such as refused."),
    ),
    order=("place",),
    order_kinds=(Kind.COUNT,),
    about="List the workflows that a bulk is done to, and what came of each",
    help="List the workflows that a bulk is done to, and what came of each.",
    empty="no workflows",
    of=BULKS,
    table=("place", "workflow_id", "outcome", "reason", "at"),
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
            "How many open ones began before it was first asked, or up to an hour later, and haven't asked: "
            "they may take the old branch.",
        ),
        Column("failed_old", Kind.COUNT, "How many failed ones took the old branch; a retry takes it again."),
        Column("safe", Kind.FLAG, "Whether no open one can take the old branch any more: it may go."),
        Column("advice", Kind.TEXT, "The same in words."),
        _nullable("asked_at", Kind.TIMESTAMP, "When it was first asked, of what is still there."),
    ),
    filters=(
        Filter("safe", Kind.FLAG, "Only those whose old branch may go, or only others.", "Only what may go."),
    ),
    order=("name",),
    order_kinds=(Kind.TEXT,),
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
        _nullable("p50_s", Kind.NUMBER, f"{_FROM}half took no longer, from their first run to their end."),
        _nullable("p95_s", Kind.NUMBER, f"{_FROM}nineteen of twenty took no longer."),
        _nullable("last_at", Kind.TIMESTAMP, "When the newest one was started."),
    ),
    filters=(Filter("served", Kind.FLAG, "Only served ones, or only others.", "Only served ones."),),
    order=("function",),
    order_kinds=(Kind.TEXT,),
    about="List the functions of workflows: who serves them, how many run, how long they take",
    help="List the functions of workflows: who serves them, how many run, how long they take.",
    empty="no functions",
    page_rows=50,
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
        _nullable("host", Kind.TEXT),
        _nullable("version", Kind.TEXT, "Of Outlast."),
        Column("started_at", Kind.TIMESTAMP),
        _nullable("lease_until", Kind.TIMESTAMP, "It renews that before; null once it has left."),
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
    order_kinds=(Kind.TEXT,),
    about="List instances: their leases, what they serve and run; those that are gone for a day",
    help="List instances: their leases, what they serve and run.",
    empty="no instances",
    page_rows=50,
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
        _nullable("since", Kind.TIMESTAMP, "Since when the first of them is."),
        Column("workflow_id", Kind.TEXT, "That one."),
        _nullable("step", Kind.TEXT, "The id of the call in it."),
        Column("recorded", Kind.JSON, "What is recorded there.", nullable=True, recorded=True, value=True),
        Column("called", Kind.JSON, "What the code calls there.", nullable=True, recorded=True, value=True),
        _nullable("at", Kind.TEXT, "File and line of the call."),
        _nullable("remedy", Kind.TEXT, "What lets them go on."),
    ),
    filters=(
        Filter("function", Kind.TEXT, "Of this function.", "Only this function's."),
        Filter("reason", Kind.TEXT, "For this reason.", "Only for this reason."),
    ),
    order=("function", "reason"),
    order_kinds=(Kind.TEXT, Kind.TEXT),
    about="List what is held by function and reason, with the first of each",
    help="List what is held by function and reason, with the first of each.",
    empty="nothing is held",
    page_rows=50,
    commands="See what is held, and why.",
    table=("function", "reason", "count", "since", "workflow_id", "at", "remedy"),
)

RESOURCES = (
    WORKFLOWS,
    STEPS,
    EVENTS,
    MESSAGES,
    LOGS,
    ERRORS,
    QUEUES,
    SCHEDULES,
    TICKS,
    ACTS,
    BULKS,
    BULK_ITEMS,
    PATCHES,
    CATALOG,
    INSTANCES,
    HELD,
)
"""All of them, as OpenAPI and the commands list them."""

MANAGED = tuple(each.path for each in RESOURCES if each.of is None)
"""How the paths of all of them begin, and those of the verbs."""
