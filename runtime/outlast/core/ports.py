"""The narrow protocols in which engine, store, functions and observe meet; the host joins them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from outlast.core.callbacks import Link
from outlast.core.callers import Caller
from outlast.core.claims import (
    ClaimedWorkflow,
    Claims,
    Consumed,
    LostInstance,
    QueueClaims,
    Room,
    SetAside,
)
from outlast.core.holds import Hold, HoldsSeen
from outlast.core.maps import ItemEnd, MapCounts, MapState, NewMap, Query
from outlast.core.records import (
    Arrivals,
    Batch,
    Beat,
    BulkRan,
    Committed,
    Concerned,
    DeclaredQueue,
    Delivered,
    Entered,
    EventQuery,
    EventsFound,
    InboxQuery,
    LimitsFreed,
    LimitUse,
    NewWorkflow,
    RunningStep,
    StepRecord,
    WorkflowStates,
)
from outlast.core.schedules import Backfill, Declared, Order, ScheduleWork, Ticked, Unusable
from outlast.core.status import Status
from outlast.core.verbs import UNDO, Verb


class Unreachable(Exception):
    """The database can't be reached; whether the last statement was committed is unknown."""


class HeldUp(Unreachable):
    """A statement waited too long for a lock of another transaction. Nothing was written."""


class BadData(Exception):
    """The database refused the data of a batch. Nothing of the batch was written."""


class Conflicted(Exception):
    """A serialization failure or deadlock: nothing was written, and a retry may succeed."""


class TableHeld(Conflicted):
    """Another transaction holds the lock of a whole table for too long. Every write has to wait for it."""


class Locked(Exception):
    """Another transaction holds the lock of a row of the batch for too long. Nothing was written.

    `workflow_ids` are the workflows whose own rows are locked, as far as that is known.
    """

    def __init__(self, text: str = "", workflow_ids: Collection[str] = ()) -> None:
        super().__init__(text)
        self.workflow_ids = workflow_ids


class TookTooLong(Exception):
    """A statement was cancelled after its time limit. Whether it took effect is unknown."""


class NoSuchRow(Exception):
    """The row that a verb names doesn't exist."""


class Unacceptable(Exception):
    """The database refuses the arguments of a verb. Nothing was changed; the text says why."""

    def __init__(self, message: str, argument: str | None = None) -> None:
        super().__init__(message)
        self.argument = argument


class NotNow(Exception):
    """A verb doesn't apply to the current state of its row. Nothing was changed; the text says why."""


class QueueUnusable(Exception):
    """The database has no such queue, or doesn't let this instance use it. `remedy` says what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class MessageRefused(QueueUnusable):
    """The database refuses to turn one or all of the messages into workflows. None was taken."""


class JournalStore(Protocol):
    """Where the journal writes."""

    async def commit(self, batch: Batch) -> Committed:
        """Write a batch in one commit. Raises Unreachable (in doubt), BadData, Conflicted, Locked.

        Any other error may come from one row or from all of them, and may be temporary.
        """

    async def confirm(self, batch: Batch) -> dict[str, float | None]:
        """After a lost answer to a commit: the workflows of the batch whose rows all have its nonce.

        The value is when the workflow was created (Unix seconds), if the batch holds its own row.
        """


@dataclass(frozen=True, slots=True)
class Fence:
    """The owner that must still hold for a transaction's record, and the step that the record belongs to."""

    workflow_id: str
    epoch: int
    step_id: str
    nonce: int


@dataclass(frozen=True, slots=True)
class TransactionWork:
    """A transaction to run. `run` gets the connection (blocking if `threaded`) and returns the record."""

    run: Callable[[Any], Awaitable[StepRecord]]
    threaded: bool
    isolation: str | None
    caller: Caller | None = None
    """The caller under whose Postgres role and claims `run` is run; None for the engine's role."""


class TransactionStore(Protocol):
    """Where transactions run."""

    async def transact(self, work: TransactionWork, fence: Fence | None) -> StepRecord | None:
        """Run `work` and insert its record in one commit. Returns the record; None if the fence refused.

        If the record exists already (the answer to an earlier commit was lost), the run is rolled back and
        that record is returned. Without a fence nothing is recorded. Raises Unreachable, Conflicted,
        UsageError (the body ended the transaction itself), and what `run` raises. After an error nothing was
        committed, or the answer was lost.
        """


class InstanceStore(Protocol):
    """Leases, claims and recovery."""

    def when_lost(self, call: Callable[[], None]) -> None:
        """Call `call` on the event loop whenever the session of the lease ends.

        This only saves time. A store that can't tell needn't call it.
        """

    def when_due(self, call: Callable[[], None]) -> None:
        """Call `call` on the event loop whenever the database notifies of work. This only saves time, too."""

    async def beat(self, lease_ttl_s: float, running: Sequence[RunningStep] | None = None) -> Beat:
        """Renew the lease. `running`: the steps that other instances show for this one; None: as before."""

    async def claim(self, room: Room, *, strict: bool = True, limit_s: float | None = None) -> Claims:
        """Claim the due workflows that there is room for.

        With `strict` no workflow overtakes a larger one that has waited for 10 s. Inputs and records are
        read later, by WorkflowStore.load. Raises Unreachable, and TookTooLong after `limit_s`.
        """

    async def claim_queued(self, room: Room, *, limit_s: float | None = None) -> QueueClaims:
        """Claim workflows that the limits of their queues let begin. Otherwise like `claim`."""

    async def recover(self, lost: Sequence[LostInstance]) -> list[tuple[str, str]]:
        """Make a batch of workflows of lost instances claimable; their ids and statuses (PENDING, EXHAUSTED).

        An instance is skipped if it came back: its lease is valid, and another than when it was found lost.
        """

    async def release(
        self,
        epochs: dict[str, int],
        load_bytes: Mapping[str, int] | None = None,
        due_s: Mapping[str, float | None] | None = None,
    ) -> None:
        """Release rows that this instance owns at these epochs.

        `load_bytes`: their measured sizes, where known. `due_s`: since when they are due, if not now.
        """

    async def leave(self) -> None:
        """End this instance's lease at once."""

    async def tidy(self) -> None:
        """Delete instances that are long gone; make rows of unknown owners claimable."""


class HoldStore(Protocol):
    """Workflows that are held because no code fits their records. All methods raise Unreachable."""

    async def hold(self, holds: Sequence[tuple[str, int, Hold]]) -> dict[str, bool]:
        """Release workflows of this instance (ids, epochs) whose records its code doesn't fit.

        Returns for each id whether it is held; False: another instance has code that may fit. An id that is
        missing no longer belongs to this instance. Raises Unreachable (in doubt; a retry does no harm).
        """

    async def pin(self, workflow_id: str, epoch: int, version: str) -> bool:
        """Record the version that a workflow of this instance runs as. Its row has none yet.

        False: it no longer belongs to this instance. Raises Unreachable (a retry does no harm).
        """

    async def look(self, versions: Mapping[str, str], grace_s: float, days: float) -> HoldsSeen:
        """Publish which functions this instance runs, and process a batch of each of these.

        Held workflows that its code may fit go on. Workflows that were due for `grace_s` while no instance
        had code for them are held. Workflows that were held for `days` end as ERROR (0: never).
        """


class WorkflowStore(Protocol):
    """Reads workflows, to run them or to wait for them. All methods raise Unreachable."""

    def load(
        self, workflows: Sequence[ClaimedWorkflow], enough: Callable[[ClaimedWorkflow], bool]
    ) -> AsyncGenerator[ClaimedWorkflow]:
        """Fill in input, request and records of `workflows`, one after the other, by one query.

        Yields each once it is complete. `enough` is called whenever the `load_bytes` of one have grown. If
        it returns True, neither that workflow nor the following ones are yielded.
        """

    async def states(self, ids: Sequence[str]) -> WorkflowStates:
        """The states of these workflows, of at least one; unknown ids are left out."""

    async def ended(self, ids: Sequence[str]) -> WorkflowStates:
        """The states of those that have ended; of at least one, if any has."""

    async def published(self, queries: Sequence[EventQuery]) -> tuple[dict[int, EventsFound], bool]:
        """What was found, by index in `queries`, and whether the answer was cut short.

        An index without an entry is a workflow that doesn't exist, or unknown if the answer was cut short.
        """

    async def same_payload(self, new: NewWorkflow) -> bool:
        """Whether the workflow with this id was started with an equal payload."""

    async def attributes(self, workflow_id: str) -> str | None:
        """The current attributes of a workflow (JSON); None if it has none."""

    async def step_name(self, workflow_id: str, step_id: str) -> str | None:
        """The name of a step that is recorded, or was running when its workflow was paused."""

    async def concerned(
        self, filter: Any, step: str | None, after: tuple[datetime, str] | None, most: int
    ) -> Concerned:
        """The functions of the next `most` workflows that a bulk's filter finds, and their names of `step`.

        An invalid filter finds nothing; the bulk itself is refused later. Raises Unreachable.
        """

    async def cancel(
        self, workflow_id: str, by: str, why: str | None = None, mode: str = UNDO
    ) -> Status | None:
        """End a live workflow as CANCELLED; None if it wasn't live. Raises Unreachable.

        `by` and `why` are recorded. `mode` is UNDO, or KILL: then nothing is undone. A workflow that has
        something to undo stays PENDING, and the instance that runs it is told to undo.
        """

    async def act(
        self, verb: Verb, key: str | None, arguments: Mapping[str, Any], by: str
    ) -> Mapping[str, Any]:
        """Apply a verb to the row that `key` names; the row that the verb's function returns.

        `by` says who acts. Raises NoSuchRow, Unacceptable, NotNow, Unreachable (in doubt; a retry does no
        harm).
        """

    async def run_bulk(self) -> BulkRan:
        """Process a block of a due bulk, in one commit. Raises Unreachable; a retry does no harm."""


class MessageStore(Protocol):
    """Messages to workflows. All methods raise Unreachable."""

    async def send(self, workflow_id: str, body: str, topic: str, key: str) -> int:
        """Store a message (JSON text); its id. A key is stored once, so a caller in doubt sends again.

        Raises WorkflowNotFound, WorkflowEnded, KeyReused, NotSerializable, Unreachable (in doubt).
        """

    async def send_again(
        self, fence: Fence, workflow_id: str, body: str, topic: str, key: str, generation: int
    ) -> int | None:
        """Like `send`, for a retried workflow: what an earlier generation sent isn't sent again.

        A message with another body is sent. None if the fence doesn't hold. Raises KeyReused if this
        generation has sent another body under the key: the workflow's body isn't deterministic.
        """

    async def answer(self, link: Link, body: str, request: str) -> int | None:
        """Send the answer of one `request` to a callback; its message's id. None if it takes no more answers.

        If the callback takes one answer, all requests with the same answer count as one. Raises what `send`
        raises, and WorkflowNotFound if the callback was made anew with another question.
        """

    async def deliver(self) -> Delivered:
        """Number a batch of messages, and wake the suspended workflows that wait for them."""

    async def tell(self) -> Delivered:
        """Wake workflows that wait for unreported ends, and cancel the children of cancelled workflows."""

    async def read(self, inboxes: Sequence[InboxQuery]) -> dict[int, Arrivals]:
        """The messages that have arrived, by index in `inboxes`; no entry for an empty one."""


class QueueStore(Protocol):
    """Queues: how calls enter them, and what code says of them. All methods raise Unreachable."""

    async def enqueue(self, news: Sequence[NewWorkflow], nonce: int) -> list[Entered]:
        """Apply a queue's rules for new calls to workflows with different ids, in order, in one commit.

        Raises Unreachable (in doubt), and BadData if one of them is refused.
        """

    async def take_limit(self, use: LimitUse, options: Mapping[str, Any]) -> float | None:
        """Take a place for a step under a named limit. None: taken; else in how many seconds to ask again.

        Raises Unreachable; a retry does no harm.
        """

    async def free_limits(
        self, instance_id: str, given_up: Sequence[LimitUse], names: Sequence[str]
    ) -> LimitsFreed:
        """Release the places that were given up, and wake as many waiting steps as the limits have room for.

        Raises Unreachable; a retry does no harm.
        """

    async def declare(self, queues: Sequence[DeclaredQueue], served: Sequence[str] = ()) -> bool:
        """Publish what code declares of these queues; whether that changed any. Raises Unreachable.

        A declaration takes effect if no live instance has newer code. The `served` functions are in no other
        queue.
        """


class MapStore(Protocol):
    """Maps and their items, and other children. All methods raise Unreachable."""

    async def find(self, fence: Fence, new: NewMap, map_ids: Sequence[str]) -> str | None:
        """After a retry: which of `map_ids` is the map `new`. None if the fence refused.

        `map_ids` are the ids that the map at this place may have: of the first generation and of each later
        one. The choice is, in this order: the map that this generation has begun or reopened; one with the
        same function and items; the first id if there is no map; the last one. The other maps begin no more
        items. Raises Unreachable.
        """

    async def open(self, fence: Fence, new: NewMap, items: int | Query | None) -> MapState | None:
        """Make a map once: of this number of items, of the rows of a query, or of items that `keep` adds.

        The rows of the query are stored now. None if the fence refused. Raises UsageError for more than
        ITEMS_MAX rows and for a query that Postgres refuses; Unreachable (a retry does no harm).
        """

    async def reopen(self, fence: Fence, new: NewMap, total: int) -> MapState | None:
        """After a retry: let a map that has not succeeded go on, and retry its failed items.

        It tolerates as many failures as `new` says, of `total` items. Each call retries some thousands of
        items; while the returned state is `reopening` there are more. None if the fence refused.
        """

    async def free(self, map_id: str) -> bool:
        """Delete some stored items of a map over a query or a generator; whether there were any."""

    async def retry_child(self, fence: Fence, child: str) -> bool:
        """Retry a child that failed before its parent was retried; whether it was.

        Nothing is done if the fence refuses.
        """

    async def look(self, map_id: str) -> MapState | None:
        """The state of a map."""

    async def finish(self, map_id: str) -> MapState | None:
        """End a map if all of its items have ended and no item's commit is left that would do it."""

    async def keep(self, fence: Fence, map_id: str, first: int, items: Sequence[str]) -> bool:
        """Store items (JSON) at the places from `first` on, in place of those that were there.

        False if the fence refused. Raises BadData, Unreachable (a retry does no harm).
        """

    async def kept(self, fence: Fence, map_id: str, total: int, tolerate: int) -> bool:
        """Say that all items are stored: `total`, of which `tolerate` may fail. Otherwise like `keep`."""

    async def source(self, map_id: str, after: int, limit: int) -> list[str]:
        """Items of a query (JSON) in their order, without the first `after`."""

    async def start_block(
        self, fence: Fence, map_id: str, first: int, news: Sequence[NewWorkflow], keys: Sequence[str] | None
    ) -> MapState | None:
        """Insert items at the places from `first` on, and advance the map's position, in one commit.

        Nothing is inserted if the map's position is another, or if the map begins no more items. `keys` are
        stored for maps over queries. Returns the map's new state; None if the fence refused. Raises
        UsageError for a key that the map has already, BadData, Unreachable (a retry does no harm).
        """

    async def tell(self, map_id: str, number: int) -> None:
        """Publish the map's progress as event `number` of its parent, which runs here."""

    async def counts(self, map_id: str) -> MapCounts:
        """How many items have ended, by status."""

    async def failed(self, map_id: str, after: str, limit: int) -> list[ItemEnd]:
        """Failed items with ids after `after`, in the order of their ids."""

    def ends(self, map_id: str, ids: Sequence[str] | None, first: int, limit: int) -> list[ItemEnd]:
        """The results of these items, or of `limit` items of a map over a query from the place `first` on.

        In their order. Blocks for a few seconds at most; any thread may call it.
        """

    def failures(self, map_id: str, after: str, limit: int) -> list[ItemEnd]:
        """Like `failed`, but blocking, as `ends`."""


class MessageQueueStore(Protocol):
    """Supabase Queues."""

    async def consume(
        self,
        queue: str,
        function: str,
        room: int,
        version: str | None = None,
        timeout_s: float | None = None,
    ) -> Consumed:
        """Turn at most `room` messages into workflows of `function`, and delete them, in one commit.

        `version` is that of the function's file; `timeout_s` counts from now. If the queue has limits, the
        new workflows wait in it; otherwise this instance owns them. A paused queue gives none.

        Raises Unreachable (in doubt: workflows that this instance owns without knowing are released later),
        MessageRefused and QueueUnusable.
        """

    async def consume_front(
        self,
        queue: str,
        function: str,
        version: str | None = None,
        timeout_s: float | None = None,
        turn_s: float = 0.0,
    ) -> Consumed:
        """Like `consume`, for the first message alone. If it is refused, the same commit sets it aside.

        `turn_s`: see `aside_s`.
        """

    async def set_front_aside(self, queue: str, error: str, remedy: str) -> SetAside | None:
        """Set the first message aside, if there is one, for this reason. Raises what `consume` raises."""


class ScheduleStore(Protocol):
    """Schedules. No lock is held between reading what is due and acting on it.

    All methods raise Unreachable, Locked if another transaction holds a lock that they need, and TookTooLong
    after `limit_s`, where that is a parameter: nothing was done then.
    """

    async def due(self, passed: Sequence[str] = ()) -> ScheduleWork:
        """What is due for schedules. No ticks are returned for those in `passed`."""

    async def tick(self, orders: Sequence[Order], limit_s: float) -> list[Ticked]:
        """Carry out orders for schedules that haven't changed since they were read; skip the others.

        A tick's workflow and the move to the next tick are one commit. Raises Unreachable (in doubt: the next
        call of `due` shows what was committed).
        """

    async def mark_unusable(self, schedule: Unusable, limit_s: float) -> None:
        """Record on a schedule why it can't tick."""

    async def backfill(
        self, schedule: Backfill, times: Sequence[datetime], next_after: datetime | None, limit_s: float
    ) -> int | None:
        """Start these past ticks, and record where to go on (`next_after`). How many were started.

        None if the schedule has changed.
        """

    async def declare(
        self, declared: Sequence[Declared], broken: Sequence[str]
    ) -> list[tuple[str, str]] | None:
        """Put the schedules that code declares into effect, unless a live instance has newer code.

        Returns the changes: names with declared, changed, orphaned or taken; None if there was nothing to do.
        Raises Unreachable.
        """


@dataclass(frozen=True, slots=True)
class Place:
    """A position among the ended workflows: the time of its end and the id of the last one seen."""

    at: datetime | None = None
    workflow_id: str = ""


@dataclass(frozen=True, slots=True)
class Pruned:
    """A batch of removed workflows: how many, whether there may be more, and where to go on."""

    removed: int
    more: bool
    after: Place


class RetentionStore(Protocol):
    """Retention of ended workflows. All methods raise Unreachable."""

    async def declare(self, keeps: Mapping[str, float | None], served: Sequence[str]) -> None:
        """Publish the retention of functions, in seconds (None: for ever). Others of `served` have none."""

    async def prune(self, keep_s: float, after: Place) -> Pruned:
        """Delete a batch of workflows whose retention is over, the oldest after `after` first.

        `keep_s` is the retention of functions that declare none; 0: for ever.
        """


class Catalog(Protocol):
    """Which workflows this instance can run now."""

    def workflow(self, function: str) -> Any | None:
        """The definition (`sdk.definitions.WorkflowDefinition`) that serves `function`; None if none does."""

    def of_version(self, function: str, version: str | None) -> Any | None:
        """The definition that runs workflows of `function` with this version; None if none does."""

    def version(self, function: str) -> str | None:
        """The version of the code that serves `function`."""

    def name_of(self, definition: Any) -> str | None:
        """The name under which a definition is served."""

    def workflow_names(self) -> Sequence[str]:
        """The names of all workflows that can run."""

    def versions(self) -> Mapping[str, str]:
        """The version of the code of each of these workflows."""

    def message_queues(self) -> Mapping[str, Sequence[str]]:
        """For each Supabase Queue the names of the workflows that consume it. More than one is a conflict."""

    def queues(self) -> Sequence[DeclaredQueue]:
        """The queues that code declares."""

    def schedules(self) -> Sequence[Declared]:
        """The schedules that code declares."""

    def retentions(self) -> Mapping[str, float | None]:
        """The retention of functions that declare one, in seconds; None: for ever."""

    def broken_files(self) -> Sequence[str]:
        """The function files that can't be loaded. What they declare is unknown."""


class Store(Protocol):
    """All that one instance reads and writes."""

    @property
    def journal(self) -> JournalStore:
        """The journal."""

    @property
    def transactions(self) -> TransactionStore:
        """Users' transactions."""

    @property
    def instances(self) -> InstanceStore:
        """The lease, claims and recoveries."""

    @property
    def workflows(self) -> WorkflowStore:
        """Workflows, to be read."""

    @property
    def holds(self) -> HoldStore:
        """Held workflows."""

    @property
    def messages(self) -> MessageStore:
        """Messages to workflows."""

    @property
    def queues(self) -> QueueStore:
        """Queues."""

    @property
    def maps(self) -> MapStore:
        """Maps."""

    @property
    def schedules(self) -> ScheduleStore:
        """Schedules."""

    @property
    def message_queues(self) -> MessageQueueStore:
        """Supabase Queues."""

    @property
    def retention(self) -> RetentionStore:
        """Retention."""
