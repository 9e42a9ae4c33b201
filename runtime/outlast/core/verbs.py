"""What callers can do to a resource, as a table. HTTP routes, OpenAPI and the commands are made from it.

Each verb is a function in the database (`Verb.function`), which SQL can call, too. Two verbs have code of
their own in addition: `cancel`, which a workflow's owner may do, too, and `send`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from outlast.core.resources import QUEUES, SCHEDULES, WORKFLOWS, Column, Kind, Resource
from outlast.core.schedules import JITTER_S_MAX, PAUSE_AFTER_MAX, TIMES_MAX, check_schedule, count_ticks
from outlast.core.status import TRANSITIONS, Change, Status


class Argument(NamedTuple):
    """An argument of a verb: a member of the body over HTTP, an argument or an option of the command."""

    name: str
    kind: Kind
    about: str
    """For OpenAPI, and the help of the option."""
    minimum: float | None = None
    """The smallest number, or the smallest length of a text."""
    maximum: float | None = None
    required: bool = False
    """In the command, a required one is an argument, any other an option."""
    nullable: bool = False
    """Whether null is different from leaving it out: it resets to the default."""
    choices: tuple[str, ...] = ()
    """The allowed texts; empty: any."""
    setting: bool = False
    """Whether the database's function takes it as a member of its JSON argument `settings`."""


class Verb(NamedTuple):
    """One row of the table."""

    name: str
    """The name of its command. If it changes a workflow's status, `core.status` has a change of this name."""
    noun: Resource
    """The resource that it acts on."""
    about: str
    """For OpenAPI."""
    done: str
    """For OpenAPI: what a 2xx answer means."""
    help: str
    """Help of the command."""
    past: str
    """The word that the command prints before the key of the row."""
    secret: bool = True
    """Whether it needs a secret key. Otherwise the workflow's owner may do it, too."""
    arguments: tuple[Argument, ...] = ()
    answer: tuple[Column, ...] = ()
    """What its function returns. If empty, the answer is the row, as it is then."""
    accepted: str = ""
    """For OpenAPI: what a 202 answer means, if there is one."""
    refused: str = ""
    """For OpenAPI: when it is refused with 409."""
    method: str = "POST"
    check: Callable[[Mapping[str, Any]], None] | None = None
    """Raises ValueError for arguments that the database can't check. Called before the verb's function."""
    complete: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    """Makes the answer from what the verb's function returns."""
    own_paths: tuple[str, ...] = ()
    """Its paths, if they aren't the usual one."""
    own_function: str = ""
    """The name of its function, if it isn't the usual one."""
    bulk: bool = False
    """Whether a bulk can do it: see BULK."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths that requests are sent to. A path without the noun's key names no particular row."""
        usual = self.noun.item_path if self.method == "PATCH" else f"{self.noun.item_path}/{self.name}"
        return self.own_paths or (usual,)

    @property
    def of_one(self) -> bool:
        """Whether it acts on one row."""
        return self.paths[0].startswith(self.noun.item_path)

    @property
    def function(self) -> str:
        """The name of its function in the schema `outlast`.

        The function takes the key and the arguments by name, and `by`: who acts. It raises SQLSTATE 22023 for
        invalid arguments, P0002 if there is no such row, 55000 if the row's state doesn't allow the verb.
        """
        return self.own_function or f"{self.name}_{self.noun.one}"

    @property
    def statuses(self) -> frozenset[Status]:
        """The statuses in which a workflow takes it; all, if the table has no change of its name."""
        change = Change.__members__.get(self.name.upper()) if self.noun is WORKFLOWS else None
        return frozenset(each for each, other in TRANSITIONS if each and other is change) or frozenset(Status)

    def refusal(self, status: Status) -> str:
        """What a caller is told if the workflow has another status."""
        needed = " or ".join(each for each in Status if each in self.statuses)
        return f"the workflow is {status}; only one that is {needed} can be {self.past}"


KEY = "idempotency_key"
"""The argument that makes a repeated call of a verb act once."""
WHY = Argument("why", Kind.TEXT, "Why: others see it.", 1, 1_000)

UNDO = "undo"
KILL = "kill"
"""The modes of cancelling a workflow."""

CANCEL = Verb(
    name="cancel",
    noun=WORKFLOWS,
    about="Cancel a workflow; cancelling it again in the same way changes nothing",
    done="It is cancelled.",
    accepted="It is PENDING until what its sagas have done is undone.",
    help="Cancel a workflow. What its sagas have done is undone first; it does nothing more.",
    past="cancelled",
    secret=False,
    bulk=True,
    arguments=(
        Argument(
            "mode",
            Kind.TEXT,
            "`undo`, or `kill`: at once, undoing nothing. That needs a secret key.",
            choices=(UNDO, KILL),
        ),
        WHY,
    ),
)
_STANDS = Column("status", Kind.STATUS)
_HELD = Column("held", Kind.OBJECT, "Why it is not run: `reason`, `since`, and more.", nullable=True)
PAUSE = Verb(
    name="pause",
    noun=WORKFLOWS,
    about="Let a workflow do nothing until it is resumed; messages and timers go on arriving",
    done="It is paused. A step that ran is cut off, and done again later unless it was recorded.",
    help="Let a workflow do nothing until it is resumed. Messages and timers go on arriving.",
    past="paused",
    bulk=True,
    refused="It has ended, or runs within a map or a batch.",
    arguments=(WHY,),
    answer=(_STANDS, _HELD),
)
RESUME = Verb(
    name="resume",
    noun=WORKFLOWS,
    about="Let a workflow go on that was paused, or is held",
    done="It goes on.",
    help="Let a workflow go on that was paused, or is held.",
    past="resumed",
    bulk=True,
    refused="It has ended.",
    arguments=(WHY,),
    answer=(_STANDS, _HELD),
)
FORK = Verb(
    name="fork",
    noun=WORKFLOWS,
    about="Run a workflow again as another one, from its beginning or from a step",
    done="The new one waits to be claimed.",
    help="Run a workflow again as another one, from its beginning or from a step.",
    past="forked",
    bulk=True,
    refused="It has not failed (`failed`), a saga has undone what would be kept, or it is a map or a batch.",
    arguments=(
        Argument(
            "from",
            Kind.TEXT,
            "`start`, `failed`, or a step's id or name: from there on it is done again.",
            1,
            255,
        ),
        Argument("input", Kind.JSON, "Other arguments, with `start` only."),
        Argument("children", Kind.TEXT, "`reuse` what it has started, or `new`.", choices=("reuse", "new")),
        Argument(KEY, Kind.TEXT, "The same key forks it once.", 1, 255),
        WHY,
    ),
    answer=(
        Column("fork", Kind.TEXT, "The new one's id."),
        Column("kept", Kind.COUNT, "How many records it begins with."),
        Column("again", Kind.JSON, "The steps that it does again: `step_id` and `name`, 1,000 at most."),
    ),
)
SETTLE = Verb(
    name="settle",
    noun=WORKFLOWS,
    about="Record by hand what a step came to, of a workflow that is paused, held or has failed",
    done="It is recorded, and marked with who did it.",
    help="Record by hand what a step came to: STEP is its id or name.",
    past="settled",
    refused="The workflow may run that step, it has succeeded, or the workflow went on after it.",
    arguments=(
        Argument("step", Kind.TEXT, "The step's id or name.", 1, 255, required=True),
        Argument("output", Kind.JSON, "What it returned."),
        Argument("error", Kind.TEXT, "Or the text of what it raised.", 1, 10_000),
        Argument("name", Kind.TEXT, "What the code calls there, of a step that isn't recorded yet.", 1, 255),
        WHY,
    ),
    answer=(Column("step_id", Kind.TEXT), _STANDS),
)
DELETE = Verb(
    name="delete",
    noun=WORKFLOWS,
    about="Remove a workflow that has ended, with its records, messages and what it has started",
    done="They are gone. Its idempotency key is new again.",
    help="Remove a workflow that has ended, and what it has started.",
    past="deleted",
    bulk=True,
    refused="It is live, or something live belongs to it or may still read its result.",
    arguments=(WHY,),
    answer=(Column("deleted", Kind.COUNT, "How many workflows are gone."),),
)
_RETRIED = (
    Column("status", Kind.STATUS, "How it stands: it waits to be claimed."),
    Column("generation", Kind.COUNT, "How often it was let run to an end."),
    Column("dropped", Kind.JSON, "The ids of the steps whose records were dropped: 1,000 at most."),
)
_NOT_FAILED = "It is not ERROR, CANCELLED or EXHAUSTED; or it is a map, or a batch."
RETRY = Verb(
    name="retry",
    noun=WORKFLOWS,
    about="Let a failed workflow go on in place, without its last failure; what has succeeded stays",
    done="It goes on.",
    help="Let a failed workflow go on. What has succeeded stays; what failed runs again.",
    past="retried",
    refused=_NOT_FAILED,
    bulk=True,
    arguments=(WHY,),
    answer=_RETRIED,
)
REWIND = Verb(
    name="rewind",
    noun=WORKFLOWS,
    about="Let a failed workflow go on in place from an earlier step, which runs again, as what came of it",
    done="It goes on.",
    help="Let a failed workflow go on from an earlier step: its id, or its name if no other has that.",
    past="rewound",
    refused=_NOT_FAILED,
    bulk=True,
    arguments=(Argument("to", Kind.TEXT, "The step: its id, or its name.", 1, 1_000, required=True), WHY),
    answer=_RETRIED,
)
SEND = Verb(
    name="send",
    noun=WORKFLOWS,
    own_paths=(f"{WORKFLOWS.item_path}/messages", f"{WORKFLOWS.item_path}/messages/{{topic}}"),
    about="Send a message to a workflow",
    done="It is durable.",
    help="Send a message to a workflow. The same key sends it once.",
    past="sent",
)

SET_WORKFLOW = Verb(
    name="set",
    noun=WORKFLOWS,
    method="PATCH",
    about="Change a workflow's attributes; null takes one away, others stay",
    done="They are changed.",
    help='Change what a workflow is found by: \'{"customer": "42"}\'; null takes one away.',
    past="changed",
    bulk=True,
    arguments=(
        Argument("attributes", Kind.OBJECT, "Keys and their values; null takes one away.", required=True),
        WHY,
    ),
    answer=(Column("changed", Kind.TEXT, "Its id."),),
)
BULK = Verb(
    name="bulk",
    noun=WORKFLOWS,
    own_paths=(f"{WORKFLOWS.path}/bulk",),
    own_function="bulk",
    about="Do a verb to all workflows of a filter, so many a second: at most 1,000,000",
    done="What was found, and what the verb would do to ten of them: with `dry_run`.",
    accepted="A workflow does it: `outlast bulks show` tells how far it is.",
    help="Do a verb to all workflows of a filter.",
    past="begun",
    refused="Another number of workflows is found than `expect` says.",
    arguments=(
        Argument("verb", Kind.TEXT, "What is done to each: cancel, retry, pause, …", 1, 100, required=True),
        Argument("filter", Kind.OBJECT, "Which ones: the filters of the list, one at least.", required=True),
        Argument("arguments", Kind.OBJECT, "Those of the verb."),
        Argument("dry_run", Kind.FLAG, "Only try it on ten, and take that back."),
        Argument("expect", Kind.COUNT, "How many there must be.", 0, 1_000_000),
        Argument("rate", Kind.COUNT, "How many a second: 50 if it isn't given.", 1, 10_000),
        WHY,
    ),
    answer=(
        Column("workflow_id", Kind.TEXT, "What does it; null with `dry_run`.", nullable=True),
        Column("count", Kind.COUNT, "How many are found."),
        Column(
            "samples",
            Kind.JSON,
            "With `dry_run`: the oldest ten, and what the verb would do to them.",
            nullable=True,
        ),
    ),
)
_KEY = Argument("key", Kind.TEXT, "Only what has this key.", 1, 255)
_COUNT_MAX = 1_000_000


def _limit(
    name: str, kind: Kind, about: str, least: float | None = None, most: float | None = None
) -> Argument:
    return Argument(name, kind, about, least, most, nullable=True, setting=True)


# Options that decide how calls enter a queue (key, exclusive, debounce, …) aren't here: instances must agree
# on them, so only code sets them.
SET_QUEUE = Verb(
    name="set",
    noun=QUEUES,
    method="PATCH",
    about="Set limits of a queue in place of those that its code declares; null takes one back",
    done="They hold from now on, over deploys too.",
    help="Set limits of a queue. They stay over deploys until they are reset.",
    past="changed",
    arguments=(
        _limit("concurrency", Kind.COUNT, "How many run at once.", 1, _COUNT_MAX),
        _limit("per_key", Kind.COUNT, "How many of a key run at once.", 1, _COUNT_MAX),
        _limit("per_instance", Kind.COUNT, "How many an instance runs at once.", 1, _COUNT_MAX),
        _limit("rate", Kind.RATE, "How many begin in a time."),
        _limit("rate_per_key", Kind.RATE, "How many of a key begin in a time."),
        _limit("weight", Kind.OBJECT, "How often keys have their turn: keys and weights, 0.01 to 100."),
        _limit("max_backlog", Kind.COUNT, "How many may wait.", 1, 10_000_000),
        _limit("start_within", Kind.DURATION, "What hasn't begun by then is cancelled.", 0.001, 31 * 86_400),
        Argument("reset", Kind.FLAG, "Take all back that was set before."),
        WHY,
    ),
)
PAUSE_QUEUE = Verb(
    name="pause",
    noun=QUEUES,
    about="Let nothing begin in a queue, or of one of its keys; what runs goes on",
    done="It is paused.",
    help="Let nothing begin in a queue, or of one of its keys. What runs goes on.",
    past="paused",
    arguments=(_KEY, WHY),
)
RESUME_QUEUE = Verb(
    name="resume",
    noun=QUEUES,
    about="Let a paused queue go on, or one of its keys",
    done="It goes on.",
    help="Let a paused queue go on, or one of its keys.",
    past="resumed",
    arguments=(_KEY,),
)
DRAIN_QUEUE = Verb(
    name="drain",
    noun=QUEUES,
    about="Cancel what waits in a queue and has not begun, or that of one key",
    done="So many are cancelled: 10,000 at most.",
    help="Cancel what waits in a queue and has not begun.",
    past="drained",
    arguments=(_KEY,),
    answer=(
        Column("cancelled", Kind.COUNT, "How many were cancelled."),
        Column("more", Kind.FLAG, "Whether more may wait: then do it again."),
    ),
)

_SPAN_S_MAX = 366 * 86_400
CREATE_SCHEDULE = Verb(
    name="create",
    noun=SCHEDULES,
    own_paths=(SCHEDULES.path,),
    about="Make a schedule, or change one that was made so; the same again changes nothing",
    done="It ticks from now on.",
    help="Make a schedule, or change one that was made so.",
    past="created",
    refused="A function's file declares one of this name.",
    check=check_schedule,
    arguments=(
        Argument("name", Kind.TEXT, "Its name.", 1, 100, required=True),
        Argument("function", Kind.TEXT, "What it starts: FILE or FILE/WORKFLOW.", 1, 511, required=True),
        Argument("cron", Kind.TEXT, "A cron expression: 5 fields, or 6 with seconds first.", 1, 200),
        Argument("tz", Kind.TEXT, "The time zone in which it is read, such as Europe/Berlin.", 1, 100),
        Argument("every", Kind.DURATION, "The time from one tick to the next.", 1, _SPAN_S_MAX),
        Argument("at", Kind.TIMESTAMP, "The time of the only tick."),
        Argument("input", Kind.JSON, "What the workflow is given: its arguments."),
        Argument("catchup", Kind.TEXT, "What is done about missed ticks: last, none or all.", 1, 10),
        Argument("overlap", Kind.TEXT, "While an earlier one is live: skip, wait, allow or cancel.", 1, 10),
        Argument("until", Kind.TIMESTAMP, "No tick is later."),
        Argument("times", Kind.COUNT, "How many ticks there are.", 1, TIMES_MAX),
        Argument("jitter", Kind.DURATION, "Up to so much later each tick comes.", 0, JITTER_S_MAX),
        Argument("pause_after", Kind.COUNT, "Pause it after so many failures in a row.", 1, PAUSE_AFTER_MAX),
    ),
    answer=(Column("created", Kind.TEXT, "Its name."),),
)
DELETE_SCHEDULE = Verb(
    name="delete",
    noun=SCHEDULES,
    about="Delete a schedule that was made while running, or that no file declares any more",
    done="It is gone; what it has started goes on.",
    help="Delete a schedule. What it has started goes on.",
    past="deleted",
    refused="A function's file declares it.",
    answer=(Column("deleted", Kind.TEXT, "Its name."),),
)
PAUSE_SCHEDULE = Verb(
    name="pause",
    noun=SCHEDULES,
    about="Let a schedule start nothing until it is resumed",
    done="It is paused.",
    help="Let a schedule start nothing until it is resumed.",
    past="paused",
    arguments=(WHY,),
)
RESUME_SCHEDULE = Verb(
    name="resume",
    noun=SCHEDULES,
    about="Let a paused schedule go on, from now on: what it would have done meanwhile is not done",
    done="It goes on.",
    help="Let a paused schedule go on, from now on.",
    past="resumed",
    refused="No file declares it any more.",
)
TRIGGER_SCHEDULE = Verb(
    name="trigger",
    noun=SCHEDULES,
    about="Start now what a schedule starts, whatever else runs, and though it is paused",
    done="Its workflow waits to be claimed.",
    help="Start now what a schedule starts.",
    past="triggered",
    refused="The queue of its function takes nothing now.",
    arguments=(
        Argument("idempotency_key", Kind.TEXT, "The same key starts it once: letters, digits, - . _", 1, 100),
    ),
    answer=(Column("workflow_id", Kind.TEXT),),
)
BACKFILL_SCHEDULE = Verb(
    name="backfill",
    noun=SCHEDULES,
    about="Start the ticks of a time that is past, beside each other; each is started once",
    done="They are started one after the other.",
    help="Start the ticks of a time that is past: those later than AFTER, up to UNTIL.",
    past="backfilled",
    refused="Another backfill of it isn't over.",
    arguments=(
        Argument("after", Kind.TIMESTAMP, "Only later ones.", required=True),
        Argument("until", Kind.TIMESTAMP, "That and earlier ones.", required=True),
        Argument("dry_run", Kind.FLAG, "Only say which."),
    ),
    complete=count_ticks,
    answer=(
        Column("count", Kind.COUNT, "How many ticks; 10,000 stands for itself and all above."),
        Column("newest", Kind.JSON, "The newest of them: ten at most.", recorded=True),
        Column("dry_run", Kind.FLAG),
    ),
)

VERBS = (
    CANCEL,
    RETRY,
    REWIND,
    PAUSE,
    RESUME,
    FORK,
    SETTLE,
    DELETE,
    SEND,
    SET_WORKFLOW,
    BULK,
    SET_QUEUE,
    PAUSE_QUEUE,
    RESUME_QUEUE,
    DRAIN_QUEUE,
    CREATE_SCHEDULE,
    DELETE_SCHEDULE,
    PAUSE_SCHEDULE,
    RESUME_SCHEDULE,
    TRIGGER_SCHEDULE,
    BACKFILL_SCHEDULE,
)
"""All of them, as OpenAPI lists them."""
