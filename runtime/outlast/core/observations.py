"""Typed facts about what the host did, told after they are true. Log, metrics and traces are made of them.

The code that tells a fact doesn't know who listens. Durations are seconds.
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
    """This instance claims no more. It waits up to `drain_s` for the running steps of these workflows."""

    workflow_ids: tuple[str, ...]
    drain_s: float


class InstanceStopped(Observation):
    """This instance has stopped. It released `given_back` workflows that still ran when the time was over."""

    took_s: float
    given_back: int


class RequestAnswered(Observation):
    """A request that the log shows. `status` None: the client disconnected before its answer.

    `path` is without the query. `client` is the address of the connection, or the one that a trusted proxy
    named; `code` is the error's code, if there was an error.
    """

    method: str
    path: str
    status: int | None
    duration_s: float
    client: str
    code: str | None
    workflow_id: str | None


class RequestsUntold(Observation):
    """`count` requests were left out of the log: there were more than its limit per second."""

    count: int


class ConnectionsFull(Observation):
    """The limit of open connections is reached; `ended` were closed or refused since this was last told."""

    ended: int
    limit: int


class ForwardedUnbelieved(Observation):
    """A request from `address` has forwarding headers, but `address` is no trusted proxy."""

    address: str


class SchemaMigrated(Observation):
    """Migrations or seeds were applied to the database: their names, or how many from which to which."""

    files: str

    @classmethod
    def of(cls, files: Sequence[str]) -> SchemaMigrated:
        """One short line, also for the dozens of migrations of a new database."""
        few = len(files) <= FILES_NAMED
        return cls(", ".join(files) if few else f"{len(files)} files, {files[0]} to {files[-1]}")


class SchemaNewer(Observation):
    """The database has migrations that this version doesn't know."""

    versions: tuple[str, ...]


class SettingsChanged(Observation):
    """A setting was changed that is only read at the start: `what` names it."""

    what: str


Trigger = Literal["call", "child", "sql", "queue", "schedule"]


class WorkflowStarted(Observation):
    """A workflow's row is durable, and it runs here for the first time.

    `trigger` is what made the row: a `call` of a client, a handler or a signed-in user, a parent (`child`),
    the database itself (`sql`), a message of a Supabase Queue (`queue`), or a `schedule`. `request` is the
    part of the request that the row keeps (JSON), if this instance made the row. `told_before`: whether
    WorkflowEnqueued was told of it.
    """

    workflow_id: str
    function: str
    trigger: Trigger
    parent: str | None = None
    request: str | None = None
    told_before: bool = False


class WorkflowEnqueued(Observation):
    """A workflow's row is durable, and it waits to be claimed. Fields as in WorkflowStarted."""

    workflow_id: str
    function: str
    trigger: Trigger
    parent: str | None = None
    request: str | None = None


class WorkflowResumed(Observation):
    """A workflow is in memory again, after so long that it gets a new trace. Told only if traces are on."""

    workflow_id: str
    stay: Stay


class CallWaited(Observation):
    """A caller with its own trace has waited for a workflow. `headers` are its W3C trace headers."""

    workflow_id: str
    function: str
    headers: tuple[tuple[str, str], ...]
    duration_s: float


class WorkflowsClaimed(Observation):
    """This instance claimed these workflows: woken, recovered, handed over, started by SQL or by messages.

    `lags_s`: how long each had been due; none for messages. `begun`: those that have not run before.
    `queues`: for each of `lags_s` the queue in which it waited; empty without a queue, `map` for items.
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
    """A workflow waits for other code: no running code fits its records, or no instance has its function.

    `detail` is the content of its row's `held`: see core.holds.
    """

    workflow_id: str
    function: str
    detail: Mapping[str, Any]


class HeldFreed(Observation):
    """Other code was deployed: `count` held workflows go on."""

    count: int


class WorkflowStopped(Observation):
    """An execution ended before its workflow did: `reason` is Suspended, LeaseLost, HandedOver, …"""

    workflow_id: str
    function: str
    reason: str
    detail: str
    duration_s: float = 0.0
    stay: Stay | None = None


class StepEnded(Observation):
    """A step or a transaction (`kind`) has run. The next commit records it.

    `duration_s` counts from the start of its first attempt to the end of its last.
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
    """The undo of `step` raised `error`. It is tried again in `wait_s`."""

    workflow_id: str
    step: str
    undo: str
    error: str
    wait_s: float


class UndoGivenUp(Observation):
    """The undo of `step` raised `error` in its last attempt: the step's effect stays."""

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
    """A Supabase Queue can't be consumed; `remedy` says what to do."""

    queue: str
    error: str
    remedy: str


class MessageSetAside(Observation):
    """A message couldn't become a workflow. It stays in its queue and is tried again; others go on."""

    queue: str
    message_id: int
    error: str
    remedy: str


class QueueUndecided(Observation):
    """The database couldn't decide what may begin in a queue. It is tried again; other queues go on."""

    queue: str
    error: str


class QueueConsumed(Observation):
    """A Supabase Queue is consumed again, after QueueRefused."""

    queue: str


class ScheduleDeclared(Observation):
    """A schedule of the code took effect: declared, changed, orphaned; `taken`: a dynamic one has it."""

    schedule: str
    change: str


class ScheduleTicked(Observation):
    """A schedule has ticked: `outcome` is started, skipped, waits, moved or paused.

    `lag_s`: how long after its time a workflow was started.
    """

    schedule: str
    outcome: str
    workflow_id: str | None
    lag_s: float | None = None


class WorkflowsRemoved(Observation):
    """Retention has removed `count` ended workflows since the last such fact."""

    count: int


class ScheduleFailed(Observation):
    """A tick or a backfill (`what`) of a schedule failed. It is tried again; other schedules go on."""

    schedule: str
    what: str
    error: str


class ScheduleUnusable(Observation):
    """A schedule can't tick until it is changed."""

    schedule: str
    error: str


class DatabaseLost(Observation):
    """A statement of the engine failed because the database can't be reached; it is tried again."""

    what: str
    error: str


class DatabaseFound(Observation):
    """The database answers again."""

    away_s: float


class DatabaseConnected(Observation):
    """The first connection of its kind. `sessions`: whether each connection has a session of its own."""

    kind: str
    sessions: bool


class DatabaseRefused(Observation):
    """The database refuses connections, for a cause that an operator can remove: `remedy` says how."""

    error: str
    remedy: str


class RealtimeRefused(Observation):
    """Supabase Realtime refuses published events. They are recorded anyway; `remedy` says what to do."""

    error: str
    remedy: str


class RealtimeAccepted(Observation):
    """Supabase Realtime accepts published events again."""

    refused_s: float


class ClaimGivenUp(Observation):
    """A claim of up to `room` workflows took longer than `limit_s`; the next ones claim fewer."""

    limit_s: float
    room: int


class WriteHeldUp(Observation):
    """Another session holds a lock on a workflow's row, so its writes wait. Other workflows go on."""

    workflow_id: str


class RowsRefused(Observation):
    """A trigger or a constraint of the project refuses changes of these rows. Other workflows go on."""

    workflow_ids: tuple[str, ...]


class LoopFailed(Observation):
    """One round of a background loop failed in a way nobody expected; the loop goes on."""

    loop: str
    error: str


class LoopBlocked(Observation):
    """One call has blocked the event loop for `blocked_s`, at the line `where`, in this workflow."""

    blocked_s: float
    where: str
    workflow_id: str | None


class LoopFreed(Observation):
    """The event loop goes on, after LoopBlocked."""

    blocked_s: float
    where: str
    workflow_id: str | None


class LoopLooked(Observation):
    """How long a callback waited for its turn on the event loop. Told a few times a second."""

    lag_s: float


class LoopInterrupted(Observation):
    """A function tried to end the event loop; it goes on."""

    error: str


class JournalCommitted(Observation):
    """A commit wrote for this number of `workflows`; `depth` others wait for the next one."""

    workflows: int
    depth: int
    took_s: float


class JournalStalled(Observation):
    """Writes are waiting, and nothing was committed for `stalled_s`. Calls get 503 meanwhile."""

    stalled_s: float


class JournalMoves(Observation):
    """The journal writes again, after JournalStalled."""

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
    """A replay calls a recorded step at `place` (file:line) with other arguments than the recorded ones."""

    workflow_id: str
    function: str
    step_id: str
    name: str
    place: str


class BodyReads(Observation):
    """A workflow's body reads a clock or chance at `place` (file:line). A replay would get another value."""

    function: str
    what: str
    place: str
    instead: str


class FunctionLoaded(Observation):
    """A function file serves requests, for the first time or reloaded."""

    function: str
    version: str
    reloaded: bool


class NothingServed(Observation):
    """The functions folder has no function files."""

    folder: str


class FunctionDisabled(Observation):
    """A function file isn't served, because `supabase/config.toml` says so."""

    function: str


class FunctionDoubtful(Observation):
    """A function file is served, but something in it looks like a mistake."""

    function: str
    advice: str


class FunctionBroken(Observation):
    """A function file can't be served; the others are untouched."""

    function: str
    error: str


class CallRefused(Observation):
    """A call was refused (401, 403, 429), or asked for a workflow that its caller can't see."""

    who: str
    """A user's id, the name of a key, `anonymous`, or `nobody known` if no credential was valid."""
    address: str
    method: str
    path: str
    code: str


class CallsRefused(Observation):
    """Refused calls within `window_s` that weren't told one by one: counts by code."""

    by_code: tuple[tuple[str, int], ...]
    window_s: float


class CallbackUnreadable(Observation):
    """A callback's link was opened, but the type of its answers no longer exists in `file`."""

    function: str
    file: str
    type: str


class WorkflowManaged(Observation):
    """A call under /workflows/v1 was answered. `who` and `address` as in CallRefused."""

    who: str
    address: str
    method: str
    path: str
    status: int


Observer = Callable[[Observation], None]
"""A function that is told each fact. In a host it is `observe.listeners.Listeners`."""


def ignore(_: Observation) -> None:
    """An observer that ignores all facts."""
