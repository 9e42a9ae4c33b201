"""The values that engine and store exchange: rows as the engine knows them.

JSON columns are texts here; dates are Unix seconds of the database's clock. Values that every call makes are
NamedTuples: they are immutable, and take a third of the time of a frozen dataclass to make.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from outlast.core.status import Status


class NewWorkflow(NamedTuple):
    """A row of `workflow_status` to insert: claimed by this instance at epoch 1, unless it `waits`."""

    workflow_id: str
    function: str
    input: str | None
    request: str | None = None
    idempotency_key: str | None = None
    fingerprint: str | None = None
    subject: str | None = None
    claims: str | None = None
    version: str | None = None
    parent: str | None = None
    deadline_s: float | None = None
    load_bytes: int = 0
    """The memory that input and request take: see core.budget.weigh."""
    attributes: str | None = None
    """Its attributes (JSON): see core.attributes."""
    queue: str | None = None
    queue_key: str | None = ""
    """None if the database computes it from the input."""
    priority: int = 0
    """Seconds of head start within its queue."""
    delay_s: float = 0.0
    tick: str | None = None
    """The tick of the schedule that starts it (JSON)."""
    timeout_s: float | None = None
    """The timeout of its function. After a retry it counts from the retry."""
    door: bool = False
    """Whether its queue has rules for new calls: then calls enter one at a time. See core.queues.has_door."""
    detached: bool = False
    """Whether it goes on when its parent is cancelled."""

    @property
    def waits(self) -> bool:
        """Whether it is claimed later: it waits in its queue, or for its delay."""
        return self.queue is not None or self.delay_s > 0


RECORD_BYTES = 128
"""What a record takes in memory besides its texts, in bytes of JSON (see core.budget)."""


class StepRecord(NamedTuple):
    """A row of `operation_outputs`.

    `completion_order` is the place of this completion among those of the workflow. It is None for a sleep, a
    receive or a timer that is not over; then `output` is its wake time in Unix seconds.

    `kind` is one of `core.kinds`; it is empty in histories from before there were kinds. `at_s` is the body's
    time when it was handed this completion, in Unix seconds. `arguments` is a fingerprint of the arguments.

    `began` and `ended` are readings of `core.clock.monotonic`; None means now. When the store writes them, it
    makes dates of them by how long ago they were. So both are on the database's clock, and their difference
    is right.

    `called_after` is the place of the last completion that the body had been handed when it made this call.
    Later completions had no influence on the call.
    """

    step_id: str
    name: str
    output: str | None = None
    error: str | None = None
    attempts: int = 1
    completion_order: int | None = None
    kind: str = ""
    at_s: float | None = None
    arguments: int | None = None
    began: float | None = None
    ended: float | None = None
    called_after: int | None = None


class Concerned(NamedTuple):
    """The functions of some workflows of a filter, and their names of a step, where that is known."""

    names: Set[tuple[str, str | None]]
    number: int
    last: tuple[datetime, str] | None
    """Where to go on, if there may be more."""


class BulkRan(NamedTuple):
    """The bulk of which a block was processed, if any; and in how many seconds the next block of any bulk is
    due.
    """

    bulk_id: str | None
    next_s: float | None
    fault: str | None = None
    """Why the block failed. It is tried again; other bulks go on."""


class RunningStep(NamedTuple):
    """A running step: its attempt, since when, and when the next attempt begins if this one has failed."""

    workflow_id: str
    epoch: int
    step_id: str
    name: str
    attempt: int
    began_s: float
    retry_s: float | None


class Ending(NamedTuple):
    """How a workflow ends. `response` has status, headers and encoding, if the function set them."""

    status: Status
    output: str | None = None
    error: str | None = None
    response: str | None = None
    refused: Sequence[tuple[int, str]] = ()
    """Of a batch: the places of inputs that don't fit the function, and the errors of their members."""


class Wait(NamedTuple):
    """What wakes a suspended workflow: the end of `target`, or an event of it after this number."""

    target: str
    event: str = ""
    after: int = 0


class Suspension(NamedTuple):
    """A workflow leaves the memory. It is claimable at `claimable_s`, or at once if that is None.

    `awaits` (JSON) is given if something else wakes it, too. For messages it has their `topics` and `mail`,
    the number of the last message that is known; if more have arrived by then, the workflow is claimable at
    once. For other workflows it has `ends`, the first of them, and `of`, their count; `waits` has all. If one
    of them has ended, the workflow is claimable at once.
    """

    claimable_s: float | None = None
    awaits: str | None = None
    waits: Sequence[Wait] = ()


@dataclass(slots=True)
class FencedWrite:
    """All that one workflow writes in one batch, under the epoch at which it was claimed."""

    workflow_id: str
    epoch: int
    steps: list[StepRecord] = field(default_factory=list)
    end: Ending | Suspension | None = None


class Batch(NamedTuple):
    """One commit of the journal. If its answer is lost, the nonce shows which rows it has written."""

    nonce: int
    starts: Sequence[NewWorkflow]
    writes: Sequence[FencedWrite]

    @property
    def workflow_ids(self) -> list[str]:
        """The ids of all workflows in it."""
        starts, writes = self.starts, self.writes
        return [start.workflow_id for start in starts] + [write.workflow_id for write in writes]


class WorkflowState(NamedTuple):
    """What a call needs that attaches to a workflow: to compare payloads, and to answer if it has ended."""

    workflow_id: str
    function: str
    status: Status
    fingerprint: str | None
    subject: str | None
    output: str | None
    error: str | None
    response: str | None
    generation: int = 1
    """Above 1 if it was retried."""
    held: str | None = None
    """Why no instance claims it (JSON)."""


class WorkflowStates(NamedTuple):
    """States of workflows, by the id that was asked for. An attached call has the state of its target."""

    found: dict[str, WorkflowState]
    cut: bool
    """Whether some were left out to save memory. Ask again for these."""


class Ownership(NamedTuple):
    """The owner of a workflow, and what else decides who may see it. Cheap to read."""

    workflow_id: str
    function: str
    status: Status
    subject: str | None
    parent: str | None


@dataclass(frozen=True, slots=True)
class Committed:
    """What a batch did: the ids of inserted rows, and of accepted writes."""

    started: frozenset[str]
    accepted: frozenset[str]
    created_s: float | None = field(default=None, compare=False)
    """When the rows were inserted, in Unix seconds."""
    woken: bool = field(default=False, compare=False)
    """Whether it made workflows claimable that had waited for an end."""


class Entered(NamedTuple):
    """How a call entered its queue: see `outlast.enqueue`."""

    outcome: str
    target: str | None = None
    retry_s: float | None = None


class LimitUse(NamedTuple):
    """A step that has a place under a limit, or waits for one."""

    name: str
    workflow_id: str
    epoch: int
    step_id: str


class LimitsFreed(NamedTuple):
    """Workflows in memory `here` that must ask for a place again; `due`: whether others became claimable."""

    here: list[str]
    due: bool


class DeclaredQueue(NamedTuple):
    """A queue as code declares it: its options, and the functions whose calls enter it by default."""

    name: str
    options: Mapping[str, Any]
    functions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Beat:
    """The answer to a renewal of the lease.

    It has the database's time, and the epochs of this instance's rows.
    """

    database_s: float
    owned: dict[str, int]


class Message(NamedTuple):
    """A message to a workflow. `number` counts the messages of that workflow; `body` is JSON text."""

    message_id: int
    number: int
    body: str


class EventQuery(NamedTuple):
    """A query for published events of a workflow: those of a name after a number, or the newest."""

    workflow_id: str
    event: str
    after: int
    newest: bool = False


class PublishedEvent(NamedTuple):
    """A published event: its number among the workflow's records, and its value as JSON text."""

    number: int
    value: str


class EventsFound(NamedTuple):
    """The events found, in order. `ended`: the workflow has ended, and these are the last ones."""

    events: list[PublishedEvent]
    ended: bool


class InboxQuery(NamedTuple):
    """A query for a workflow's messages of one topic after number `after`; `seen` is its `mail` at the last
    look.
    """

    workflow_id: str
    topic: str
    after: int
    seen: int


class Arrivals(NamedTuple):
    """The messages found in an inbox. The caller now knows all messages up to the number `seen`."""

    seen: int
    messages: list[Message]


class Delivered(NamedTuple):
    """How many workflows a delivery made claimable, and whether messages are left for the next one.

    `refused`: workflows whose rows have refused a delivery for the first time.
    """

    woken: int
    left: bool
    refused: Sequence[str] = ()


class Measures(NamedTuple):
    """Numbers of the whole database. Counts have an upper limit: see `store/measures.sql`."""

    queues: list[tuple[str, float, float]]
    """Queue, how many may begin, and for how many seconds the oldest of them has been ready."""
    open: list[tuple[str, str, float]]
    """Function, state (running, due, waiting, enqueued), count."""
    held: list[tuple[str, str, float]]
    """Function, reason, count."""
    connections: list[tuple[str, float]]
    """State of a session, count."""
