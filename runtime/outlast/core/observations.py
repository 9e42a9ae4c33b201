"""What the host tells of itself, after it is true: typed facts. The log is made of them.

Whoever tells doesn't know who listens. Durations are seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from outlast.core.frozen import Frozen
from outlast.core.tracing import Stay

FILES_NAMED = 3


class Observation(Frozen):
    """The root of all facts."""


class InstanceJoined(Observation):
    """This instance has its lease."""

    instance_id: str


class InstanceLost(Observation):
    """Another instance is gone; `recovered` of its workflows were made claimable now.

    `reason`: its lease ran out (`lease`), or only its database session was gone (`session`).
    """

    instance_id: str
    recovered: int
    exhausted: tuple[str, ...]
    reason: Literal["lease", "session"] = "lease"


class InstanceStopping(Observation):
    """This instance takes no more work, and waits so long for the running steps of these workflows."""

    workflow_ids: tuple[str, ...]
    drain_s: float


class InstanceStopped(Observation):
    """It has let go of everything; `given_back` workflows had not left when the time was over."""

    took_s: float
    given_back: int


class RequestAnswered(Observation):
    """A request that the log is to show. `status` None: the client went away before its answer.

    `path` is without the query. `client` is the address that the connection came from, or the one that a
    trusted proxy named; `code` says what was wrong, where something was.
    """

    method: str
    path: str
    status: int | None
    duration_s: float
    client: str
    code: str | None
    workflow_id: str | None


class RequestsUntold(Observation):
    """So many requests were left out: there were more than are told of in a second."""

    count: int


class ConnectionsFull(Observation):
    """As many connections are open as may be; `ended` were ended or turned away since this was last told."""

    ended: int
    limit: int


class ForwardedUnbelieved(Observation):
    """Whoever calls from `address` says for whom, and is no trusted proxy."""

    address: str


class SchemaMigrated(Observation):
    """Migrations or seeds were applied to the database: their names, or how many from which to which."""

    files: str

    @classmethod
    def of(cls, files: Sequence[str]) -> SchemaMigrated:
        """A new database takes dozens of them: these are one line of a log."""
        few = len(files) <= FILES_NAMED
        return cls(", ".join(files) if few else f"{len(files)} files, {files[0]} to {files[-1]}")


class SchemaNewer(Observation):
    """The database has migrations that this version doesn't carry."""

    versions: tuple[str, ...]


class SettingsChanged(Observation):
    """Something was changed that is read at the start alone: `what` names it."""

    what: str


Trigger = Literal["call", "child", "sql", "queue", "schedule"]


class WorkflowStarted(Observation):
    """A workflow's row is durable, and it runs here for the first time.

    `trigger` is what made the row: a `call` of a client, a handler or a signed-in user, a parent (`child`),
    the database itself (`sql`), a message of a Supabase Queue (`queue`), or a `schedule`. `request` is what
    the row keeps of it (JSON), where this instance has made the row. `told_before`: as WorkflowEnqueued.
    """

    workflow_id: str
    function: str
    trigger: Trigger
    parent: str | None = None
    request: str | None = None
    told_before: bool = False


class WorkflowEnqueued(Observation):
    """A workflow's row is durable, and it waits to be claimed. As for WorkflowStarted."""

    workflow_id: str
    function: str
    trigger: Trigger
    parent: str | None = None
    request: str | None = None


class WorkflowResumed(Observation):
    """A workflow is back in memory, after so long that it has a new trace. Told where there are traces."""

    workflow_id: str
    stay: Stay


class CallWaited(Observation):
    """A caller that has a trace of its own has waited for a workflow. `headers` say which, by W3C's names."""

    workflow_id: str
    function: str
    headers: tuple[tuple[str, str], ...]
    duration_s: float


class WorkflowsClaimed(Observation):
    """These workflows run here from now on: woken, recovered, handed over, started by SQL or by messages.

    `lags_s`: for how long each had been due. Messages have none. `begun`: those that have not run before.
    `queues`: for each of `lags_s` the queue in which it waited; empty outside of queues, `map` in a map's.
    """

    workflow_ids: tuple[str, ...]
    lags_s: tuple[float, ...] = ()
    begun: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()


class WorkflowEnded(Observation):
    """A workflow's end is durable. `error` is the cause with its traceback, for the log alone.

    `duration_s` is the time of its last stay in memory, `age_s` that since it was created.
    """

    workflow_id: str
    function: str
    status: str
    duration_s: float
    error: str | None = None
    age_s: float | None = None
    stay: Stay | None = None


class WorkflowHeld(Observation):
    """No code that runs fits its records, or its function is not there: it waits for other code.

    `detail` is what its row says: see core.holds.
    """

    workflow_id: str
    function: str
    detail: Mapping[str, Any]


class HeldFreed(Observation):
    """Other code came: `count` workflows that were held go on."""

    count: int


class WorkflowStopped(Observation):
    """An execution ended without the workflow's end: `reason` is Suspended, LeaseLost, HandedOver, …"""

    workflow_id: str
    function: str
    reason: str
    detail: str
    duration_s: float = 0.0
    stay: Stay | None = None


class StepEnded(Observation):
    """A step or a transaction (`kind`) has run, to be recorded with the next commit.

    `duration_s` counts from its first attempt to the end of the last.
    """

    workflow_id: str
    function: str
    step_id: str
    name: str
    kind: str
    succeeded: bool
    attempts: int
    duration_s: float
    stay: Stay | None = None


class StepRetried(Observation):
    """An attempt failed and another follows in `wait_s`."""

    workflow_id: str
    step_id: str
    name: str
    attempt: int
    wait_s: float
    error: str
    function: str = ""
    stay: Stay | None = None


class UndoFailed(Observation):
    """What should undo `step` raised `error`, and is tried again in `wait_s`."""

    workflow_id: str
    step: str
    undo: str
    error: str
    wait_s: float


class UndoGivenUp(Observation):
    """What should undo `step` raised `error` when its time was over: it stands."""

    workflow_id: str
    step: str
    undo: str
    error: str


class ResultChanged(Observation):
    """A workflow's result is stored in another form than its annotation gives."""

    workflow_id: str
    function: str
    reason: str


class QueueRefused(Observation):
    """A queue isn't consumed; `remedy` says what to do."""

    queue: str
    error: str
    remedy: str


class MessageSetAside(Observation):
    """A message becomes no workflow, for `error`. It stays in its queue, and is tried again; others go on."""

    queue: str
    message_id: int
    error: str
    remedy: str


class QueueUndecided(Observation):
    """What of a queue begins can't be decided now. It is asked again; other queues go on."""

    queue: str
    error: str


class QueueConsumed(Observation):
    """A queue that was refused before is consumed now."""

    queue: str


class ScheduleDeclared(Observation):
    """A schedule's code is in effect: declared, changed, orphaned; or taken: a dynamic one has its name."""

    schedule: str
    change: str


class ScheduleTicked(Observation):
    """A schedule's row went on: started, skipped, waits, moved or paused.

    `lag_s`: of one that started, how long after its time.
    """

    schedule: str
    outcome: str
    workflow_id: str | None
    lag_s: float | None = None


class WorkflowsRemoved(Observation):
    """Ended workflows were kept for long enough: so many have been removed since the last look."""

    count: int


class ScheduleFailed(Observation):
    """What is to be done for a schedule (`what`: tick or backfill) fails. It is tried again; others go on."""

    schedule: str
    what: str
    error: str


class ScheduleUnusable(Observation):
    """A schedule can't tick until it is changed."""

    schedule: str
    error: str


class DatabaseLost(Observation):
    """A statement of the engine failed for want of a connection; it is tried again."""

    what: str
    error: str


class DatabaseFound(Observation):
    """The database answers again."""

    away_s: float


class DatabaseConnected(Observation):
    """The first connection of its kind. `sessions`: whether one is a session of its own while it lasts."""

    kind: str
    sessions: bool


class DatabaseRefused(Observation):
    """No connection, for a cause that somebody can remove: `remedy` says how."""

    error: str
    remedy: str


class RealtimeRefused(Observation):
    """Realtime doesn't take published events: they are recorded all the same. `remedy` says what to do."""

    error: str
    remedy: str


class RealtimeAccepted(Observation):
    """Realtime takes published events again."""

    refused_s: float


class ClaimGivenUp(Observation):
    """A claim of up to `room` workflows took longer than `limit_s`; smaller ones follow."""

    limit_s: float
    room: int


class WriteHeldUp(Observation):
    """Somebody holds the row of a workflow, so that nothing of it is written. The others go on."""

    workflow_id: str


class RowsRefused(Observation):
    """A trigger or a constraint of the project's keeps their rows as they are. Other workflows go on."""

    workflow_ids: tuple[str, ...]


class LoopFailed(Observation):
    """One round of a background loop failed in a way nobody expected; the loop goes on."""

    loop: str
    error: str


class LoopBlocked(Observation):
    """For `blocked_s` nothing but one call has run here. `where` is its line, `workflow_id` whose it is."""

    blocked_s: float
    where: str
    workflow_id: str | None


class LoopFreed(Observation):
    """The event loop goes on, after so long."""

    blocked_s: float
    where: str
    workflow_id: str | None


class LoopLooked(Observation):
    """The event loop was asked for a sign of life, and gave it after so long. Told a few times a second."""

    lag_s: float


class LoopInterrupted(Observation):
    """A function tried to end the event loop; it goes on."""

    error: str


class JournalCommitted(Observation):
    """What `workflows` had to write is durable; `depth` others wait for the next commit."""

    workflows: int
    depth: int
    took_s: float


class JournalStalled(Observation):
    """Something waits to be written, and for `stalled_s` nothing was. Calls get 503 meanwhile."""

    stalled_s: float


class JournalMoves(Observation):
    """The journal writes again, after so long."""

    stalled_s: float


class CallUnawaited(Observation):
    """A step, a sleep or another call `name` was made at `place` (file:line) and never awaited.

    `workflow_id` is empty outside of a workflow's body.
    """

    workflow_id: str
    function: str
    name: str
    place: str


class ArgumentsChanged(Observation):
    """A replay calls a recorded step at `place` (file:line) with other arguments than it once had."""

    workflow_id: str
    function: str
    step_id: str
    name: str
    place: str


class BodyReads(Observation):
    """A workflow's body reads a clock, or chance, at `place` (file:line): that is another thing on replay."""

    function: str
    what: str
    place: str
    instead: str


class FunctionLoaded(Observation):
    """A function file serves requests, first or anew."""

    function: str
    version: str
    reloaded: bool


class NothingServed(Observation):
    """The functions folder holds none."""

    folder: str


class FunctionDisabled(Observation):
    """A function file isn't served, because `supabase/config.toml` says so."""

    function: str


class FunctionDoubtful(Observation):
    """A function file is served, and something in it is likely to go wrong."""

    function: str
    advice: str


class FunctionBroken(Observation):
    """A function file can't be served; the others are untouched."""

    function: str
    error: str


class CallRefused(Observation):
    """A call was refused (401, 403, 429), or asked for a workflow that isn't there for its caller."""

    who: str
    """A user's id, the name of a key, `anonymous`, or `nobody known` if what was presented proved nothing."""
    address: str
    method: str
    path: str
    code: str


class CallsRefused(Observation):
    """So many more within `window_s`, by code, which were not told one by one."""

    by_code: tuple[tuple[str, int], ...]
    window_s: float


class CallbackUnreadable(Observation):
    """A link was opened whose answers must fit `type`, which `file` has no more."""

    function: str
    file: str
    type: str


class WorkflowManaged(Observation):
    """A call under /workflows/v1 was answered. `who` and `address` as for refusals."""

    who: str
    address: str
    method: str
    path: str
    status: int


Observer = Callable[[Observation], None]
"""Whom facts are told to. A host has `observe.listeners.Listeners`."""


def ignore(_: Observation) -> None:
    """An observer that keeps nothing."""
