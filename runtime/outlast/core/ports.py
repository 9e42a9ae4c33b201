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
    """Another transaction holds what a statement needs, for too long. Nothing was written."""


class BadData(Exception):
    """The database refused the data of a batch. Nothing of the batch was written."""


class Conflicted(Exception):
    """A serialization failure or deadlock: nothing was written, the same again may succeed."""


class TableHeld(Conflicted):
    """Somebody holds a whole table, for longer than anybody is to wait: all wait for that."""


class Locked(Exception):
    """Somebody holds a row of a batch, for longer than anybody is to wait: nothing was written.

    `workflow_ids` are those whose own rows are held, as far as that is known.
    """

    def __init__(self, text: str = "", workflow_ids: Collection[str] = ()) -> None:
        super().__init__(text)
        self.workflow_ids = workflow_ids


class TookTooLong(Exception):
    """A statement was given up after its time: whether it was done is unknown."""


class NoSuchRow(Exception):
    """What a verb is to be done to isn't there."""


class Unacceptable(Exception):
    """A verb's arguments are none that the database takes. Nothing was changed; the text says why."""

    def __init__(self, message: str, argument: str | None = None) -> None:
        super().__init__(message)
        self.argument = argument


class NotNow(Exception):
    """As things are, a verb can't be done. Nothing was changed; the text says why."""


class QueueUnusable(Exception):
    """The database has no such queue, or doesn't let this instance use it. `remedy` says what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class MessageRefused(QueueUnusable):
    """The database doesn't let messages become workflows, or one of them: nothing was taken."""


class JournalStore(Protocol):
    """Where the journal writes."""

    async def commit(self, batch: Batch) -> Committed:
        """Write a batch in one commit. Raises Unreachable (in doubt), BadData, Conflicted, Locked.

        What else it raises may be of one of them, or of all, and may be over later.
        """

    async def confirm(self, batch: Batch) -> dict[str, float | None]:
        """After a commit whose answer was lost: the workflows of the batch whose rows all have its nonce.

        With each that has a row of its own in the batch, when it was created, in Unix seconds.
        """


@dataclass(frozen=True, slots=True)
class Fence:
    """The owner that a transaction's record is checked against, and the step that it belongs to."""

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

        A record that stands there already (a commit whose answer was lost) undoes the run and is returned.
        Without a fence nothing is recorded. Raises Unreachable, Conflicted, UsageError (the body ended the
        transaction itself) and whatever `run` raises; then nothing was committed, or the answer was lost.
        """


class InstanceStore(Protocol):
    """Leases, claims and recovery."""

    def when_lost(self, call: Callable[[], None]) -> None:
        """Call `call` on the event loop whenever the lease's session is seen to end.

        It only makes things quicker: a store that can't tell needs never call.
        """

    def when_due(self, call: Callable[[], None]) -> None:
        """Call `call` on the event loop whenever the database says that there may be work. As above."""

    async def beat(self, lease_ttl_s: float, running: Sequence[RunningStep] | None = None) -> Beat:
        """Renew the lease. `running` is what other instances show of this one's steps; None: no change."""

    async def claim(self, room: Room, *, strict: bool = True, limit_s: float | None = None) -> Claims:
        """Claim what is due, as far as there is room.

        With `strict` nothing passes what is larger and has waited for 10 s. Nothing of them is read yet:
        see WorkflowStore.load. Raises Unreachable, and TookTooLong after `limit_s`.
        """

    async def claim_queued(self, room: Room, *, limit_s: float | None = None) -> QueueClaims:
        """Claim what queues let begin, within their limits. As `claim`."""

    async def recover(self, lost: Sequence[LostInstance]) -> list[tuple[str, str]]:
        """Make workflows of lost instances claimable; ids and statuses (PENDING or EXHAUSTED) of a batch.

        An instance whose lease is neither over nor the one it was when it was found gone has come back.
        """

    async def release(
        self,
        epochs: dict[str, int],
        load_bytes: Mapping[str, int] | None = None,
        due_s: Mapping[str, float | None] | None = None,
    ) -> None:
        """Give back rows that this instance owns at these epochs.

        What was learned of their `load_bytes`; since when they are due, if not now.
        """

    async def leave(self) -> None:
        """End this instance's lease at once."""

    async def tidy(self) -> None:
        """Forget instances that are long gone; adopt rows whose owner is unknown."""


class HoldStore(Protocol):
    """What is held because no code fits it. All methods raise Unreachable."""

    async def hold(self, holds: Sequence[tuple[str, int, Hold]]) -> dict[str, bool]:
        """Give back workflows of this instance (ids, epochs) whose records its code doesn't fit.

        By id whether it is held; False: an instance has other code for it. What isn't there is no longer this
        instance's. Raises Unreachable (in doubt: doing it again is refused, and no error).
        """

    async def pin(self, workflow_id: str, epoch: int, version: str) -> bool:
        """Write down which version a workflow of this instance runs as, which bears none yet.

        False: it isn't this instance's any more. Raises Unreachable (doing it again does no harm).
        """

    async def look(self, versions: Mapping[str, str], grace_s: float, days: float) -> HoldsSeen:
        """Make known which functions this instance runs, and see to all that is held.

        What its code may fit goes on; what was due for `grace_s` while no instance had code for it is held;
        what was held for so many `days` ends as ERROR (0: nothing does): a batch of each.
        """


class WorkflowStore(Protocol):
    """Reads workflows, for those who run them and those who wait for them. All methods raise Unreachable."""

    def load(
        self, workflows: Sequence[ClaimedWorkflow], enough: Callable[[ClaimedWorkflow], bool]
    ) -> AsyncGenerator[ClaimedWorkflow]:
        """Fill in input, request and records of `workflows`, one after the other, by one query.

        Each is given once it is whole. `enough` is asked whenever one has grown (its `load_bytes`); what it
        stops is not given, nor what comes after.
        """

    async def states(self, ids: Sequence[str]) -> WorkflowStates:
        """The states of these workflows, of at least one; unknown ids are left out."""

    async def ended(self, ids: Sequence[str]) -> WorkflowStates:
        """The states of those that have ended, of at least one if there are any."""

    async def published(self, queries: Sequence[EventQuery]) -> tuple[dict[int, EventsFound], bool]:
        """By index in `queries` what was found, and whether that was cut short: then others are unknown.

        Else what has no entry is no workflow.
        """

    async def same_payload(self, new: NewWorkflow) -> bool:
        """Whether the workflow with this id was started with an equal payload."""

    async def attributes(self, workflow_id: str) -> str | None:
        """What it is found by (JSON), as it stands now; None for nothing."""

    async def step_name(self, workflow_id: str, step_id: str) -> str | None:
        """The name of a step that is recorded, or ran when its workflow was paused."""

    async def concerned(
        self, filter: Any, step: str | None, after: tuple[datetime, str] | None, most: int
    ) -> Concerned:
        """What the next `most` workflows that a bulk's filter finds are of, and what they call this step.

        A filter that is none finds nothing: the bulk is refused. Raises Unreachable.
        """

    async def cancel(
        self, workflow_id: str, by: str, why: str | None = None, mode: str = UNDO
    ) -> Status | None:
        """End a live workflow as CANCELLED; None if it wasn't live. Raises Unreachable.

        It is noted who did it (`by`), and why. `mode` is UNDO, or KILL: then nothing is undone.
        One that has noted something to undo stays PENDING, and who runs it is told to undo.
        """

    async def act(
        self, verb: Verb, key: str | None, arguments: Mapping[str, Any], by: str
    ) -> Mapping[str, Any]:
        """Do a verb to what `key` names; the row that its function returns. `by` says who does it.

        Raises NoSuchRow, Unacceptable, NotNow, Unreachable (in doubt: doing it again is no error).
        """

    async def run_bulk(self) -> BulkRan:
        """Do a block of a bulk that is due, in one commit. Raises Unreachable: the same may be done again."""


class MessageStore(Protocol):
    """Messages to workflows. All methods raise Unreachable."""

    async def send(self, workflow_id: str, body: str, topic: str, key: str) -> int:
        """Store a message (JSON text); its id. Under one key once: whoever is in doubt sends again.

        Raises WorkflowNotFound, WorkflowEnded, KeyReused, NotSerializable, Unreachable (in doubt).
        """

    async def send_again(
        self, fence: Fence, workflow_id: str, body: str, topic: str, key: str, generation: int
    ) -> int | None:
        """As `send`, by a workflow that was retried: the same message as in any generation is sent once.

        Another one is another message. None if the fence doesn't hold. Raises KeyReused where it has sent
        another one in this generation: the body isn't the same each time.
        """

    async def answer(self, link: Link, body: str, request: str) -> int | None:
        """Send the answer of one `request` to a callback; its message's id. None if it takes no more.

        Of a callback for one answer all that send the same are one request. Raises what `send` raises, and
        WorkflowNotFound where another question stands at its place.
        """

    async def deliver(self) -> Delivered:
        """Number a batch of messages, and wake the suspended workflows that wait for them."""

    async def tell(self) -> Delivered:
        """Wake who waits for what has ended and nobody told of, and cancel the children of the cancelled."""

    async def read(self, inboxes: Sequence[InboxQuery]) -> dict[int, Arrivals]:
        """What has arrived, by index in `inboxes`; no entry where nothing has."""


class QueueStore(Protocol):
    """Queues: how calls enter them, and what code says of them. All methods raise Unreachable."""

    async def enqueue(self, news: Sequence[NewWorkflow], nonce: int) -> list[Entered]:
        """Let workflows with different ids enter one queue by its door, one after the other, in one commit.

        Raises Unreachable (in doubt), and BadData where one of them is refused.
        """

    async def take_limit(self, use: LimitUse, options: Mapping[str, Any]) -> float | None:
        """Take a place for a step under a named limit: None; else in how many seconds to ask again.

        Raises Unreachable; then the same may be asked again.
        """

    async def free_limits(
        self, instance_id: str, given_up: Sequence[LimitUse], names: Sequence[str]
    ) -> LimitsFreed:
        """Give back what was given up, and wake as many as have room under these limits.

        Raises Unreachable; then the same may be done again.
        """

    async def declare(self, queues: Sequence[DeclaredQueue], served: Sequence[str] = ()) -> bool:
        """Make known what code says of these queues; whether that changed any. Raises Unreachable.

        It is put into effect if it is the newest that code of instances that live says. The functions that
        are `served` are in no other queue.
        """


class MapStore(Protocol):
    """Maps and their items, and other children. All methods raise Unreachable."""

    async def find(self, fence: Fence, new: NewMap, map_ids: Sequence[str]) -> str | None:
        """Of a workflow that was retried: which of the maps of one place `new` is.

        The ids are those of the first generation and of each later one. It is the one that this generation
        has begun or let go on, or else one with the same function and items; or else the first one if none
        is there, or the last. Of the others no more items begin. None if the fence refused. Raises
        Unreachable.
        """

    async def open(self, fence: Fence, new: NewMap, items: int | Query | None) -> MapState | None:
        """Make a map once, of so many items, of what a query gives, or of what `keep` brings.

        None if the fence refused.

        What a query gives is kept as it is now. Raises UsageError for more than ITEMS_MAX rows and for a
        query that Postgres refuses; Unreachable: the same may be done again.
        """

    async def reopen(self, fence: Fence, new: NewMap, total: int) -> MapState | None:
        """Of a workflow that was retried: let a map that has not succeeded go on, with its failed items.

        It tolerates what `new` does, of so many.

        Once for each retry, some thousands of them with each call. How it stands then: while it is
        `reopening` there are more. None if the fence refused.
        """

    async def free(self, map_id: str) -> bool:
        """Remove some of what a map over a query or a generator has kept; whether there was anything."""

    async def retry_child(self, fence: Fence, child: str) -> bool:
        """Retry a child that failed before its parent was retried; whether it was.

        Nothing is done if the fence refuses.
        """

    async def look(self, map_id: str) -> MapState | None:
        """How a map stands."""

    async def finish(self, map_id: str) -> MapState | None:
        """End a map all of whose items have ended, if none is left that tells of it."""

    async def keep(self, fence: Fence, map_id: str, first: int, items: Sequence[str]) -> bool:
        """Keep items (JSON), whose places begin at `first`; what stands there is replaced.

        False if the fence refused. Raises BadData, Unreachable: the same may be done again.
        """

    async def kept(self, fence: Fence, map_id: str, total: int, tolerate: int) -> bool:
        """All items are kept: so many, of which so many may fail. As `keep`."""

    async def source(self, map_id: str, after: int, limit: int) -> list[str]:
        """Items of a query (JSON), in their order, those after the first `after`."""

    async def start_block(
        self, fence: Fence, map_id: str, first: int, news: Sequence[NewWorkflow], keys: Sequence[str] | None
    ) -> MapState | None:
        """Insert items, whose places begin at `first`, and move the map's position, in one commit.

        Nothing is done where the map stands elsewhere, or begins no more. `keys` are kept for maps over
        queries. How the map stands then; None if the fence refused. Raises UsageError for a key that the map
        has already, BadData, Unreachable: the same may be done again.
        """

    async def tell(self, map_id: str, number: int) -> None:
        """Publish how far it is, at this place of its parent, which runs here."""

    async def counts(self, map_id: str) -> MapCounts:
        """How many items ended, and how."""

    async def failed(self, map_id: str, after: str, limit: int) -> list[ItemEnd]:
        """Items that failed, in the order of their ids, those beyond the id `after`."""

    def ends(self, map_id: str, ids: Sequence[str] | None, first: int, limit: int) -> list[ItemEnd]:
        """Items as they ended: these, or `limit` of a map over a query whose places begin at `first`.

        It blocks, from any thread, for some seconds at most. In their order.
        """

    def failures(self, map_id: str, after: str, limit: int) -> list[ItemEnd]:
        """As `failed`, and it blocks as `ends` does."""


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

        `version` is of the function's file; `timeout_s` counts from now. Where the queue has limits they
        wait for their turn in it; else this instance has claimed them. None is taken while it is paused.

        Raises Unreachable (in doubt: what was committed is released later, as its owner doesn't know it),
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
        """As `consume`, of the one in front. If it is refused it is set aside, in the same commit.

        `turn_s`: see `aside_s`.
        """

    async def set_front_aside(self, queue: str, error: str, remedy: str) -> SetAside | None:
        """Set the message in front aside, if there is one, for this reason. Raises as `consume`."""


class ScheduleStore(Protocol):
    """Schedules. Nothing is held between a look and what is decided by it.

    All methods raise Unreachable, Locked where somebody holds what they need, and TookTooLong, after
    `limit_s` where that is given: nothing was done then.
    """

    async def due(self, passed: Sequence[str] = ()) -> ScheduleWork:
        """What is to be done about schedules; for those that are `passed` by no tick is."""

    async def tick(self, orders: Sequence[Order], limit_s: float) -> list[Ticked]:
        """Do what was decided about schedules that are still as they were; nothing about others.

        A tick's workflow and the move to the next tick are one commit. Raises Unreachable (in doubt: what
        was committed shows at the next look).
        """

    async def mark_unusable(self, schedule: Unusable, limit_s: float) -> None:
        """Say on a schedule why it can't tick."""

    async def backfill(
        self, schedule: Backfill, times: Sequence[datetime], next_after: datetime | None, limit_s: float
    ) -> int | None:
        """Start these ticks of the past, and note what is left; how many were started.

        None if the schedule has changed.
        """

    async def declare(
        self, declared: Sequence[Declared], broken: Sequence[str]
    ) -> list[tuple[str, str]] | None:
        """Put into effect what code declares, if this is the newest code of instances that live.

        What changed, by name: declared, changed, orphaned, taken. None if there was nothing to do. Raises
        Unreachable.
        """


@dataclass(frozen=True, slots=True)
class Place:
    """How far a look through the ended workflows has come: the end and the id of the last one."""

    at: datetime | None = None
    workflow_id: str = ""


@dataclass(frozen=True, slots=True)
class Pruned:
    """A batch of removed workflows: how many, whether others may follow, and after which."""

    removed: int
    more: bool
    after: Place


class RetentionStore(Protocol):
    """For how long ended workflows are kept. All methods raise Unreachable."""

    async def declare(self, keeps: Mapping[str, float | None], served: Sequence[str]) -> None:
        """What functions say, in seconds; None: for ever. All else of `served` says nothing."""

    async def prune(self, keep_s: float, after: Place) -> Pruned:
        """Remove a batch of those that were kept for long enough, the oldest after `after` first.

        `keep_s` is for functions that say nothing; 0: for ever.
        """


class Catalog(Protocol):
    """Which workflows this instance can run now."""

    def workflow(self, function: str) -> Any | None:
        """The definition (`sdk.definitions.WorkflowDefinition`) that serves `function`; None if none does."""

    def of_version(self, function: str, version: str | None) -> Any | None:
        """The definition that runs a workflow of `function` whose row bears `version`; None if none does."""

    def version(self, function: str) -> str | None:
        """The version of the code that serves `function`."""

    def name_of(self, definition: Any) -> str | None:
        """The name under which a definition is served."""

    def workflow_names(self) -> Sequence[str]:
        """The names of all workflows that can run."""

    def versions(self) -> Mapping[str, str]:
        """Of each of these the version of its code."""

    def message_queues(self) -> Mapping[str, Sequence[str]]:
        """For each Supabase Queue the names of the workflows that consume it. More than one is a conflict."""

    def queues(self) -> Sequence[DeclaredQueue]:
        """The queues that code declares."""

    def schedules(self) -> Sequence[Declared]:
        """The schedules that code declares."""

    def retentions(self) -> Mapping[str, float | None]:
        """For how long functions that say so keep their ended workflows, in seconds; None: for ever."""

    def broken_files(self) -> Sequence[str]:
        """The function files that can't be loaded, so that nobody knows what they declare."""


class Store(Protocol):
    """All that one instance reads and writes."""

    @property
    def journal(self) -> JournalStore:
        """What is recorded."""

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
        """What no code fits."""

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
        """For how long ended workflows are kept."""
