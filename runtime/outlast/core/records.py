"""What passes between the engine and the store: rows as the engine knows them.

JSON columns are texts here; dates are Unix seconds of the database's clock. What every call makes is a
NamedTuple: immutable, and made in a third of the time of a frozen dataclass.
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
    """What it is found by (JSON): see core.attributes."""
    queue: str | None = None
    queue_key: str | None = ""
    """None where the database finds it."""
    priority: int = 0
    """Seconds of head start within its queue."""
    delay_s: float = 0.0
    tick: str | None = None
    """Of a workflow that a schedule starts (JSON)."""
    timeout_s: float | None = None
    """What its function bounds it to: a retry counts it anew."""
    door: bool = False
    """Whether it enters its queue one at a time: see core.queues.has_door."""
    detached: bool = False
    """Whether it goes on when its parent is cancelled."""

    @property
    def waits(self) -> bool:
        """Whether it is claimed later, as its queue or its delay says."""
        return self.queue is not None or self.delay_s > 0


RECORD_BYTES = 128
"""What a record takes in memory besides its texts, in bytes of JSON (see core.budget)."""


class StepRecord(NamedTuple):
    """A row of `operation_outputs`.

    `completion_order` says after how many other completions of the workflow this one came. It is None for a
    sleep, a receive or a timer that is not over: then `output` is its wake time in Unix seconds.

    `kind` is of `core.kinds`, empty in histories from before there were kinds. `at_s` is what time it was for
    the body when it was handed this, in Unix seconds. `arguments` is a fingerprint of what was called with.

    `began` and `ended` are readings of `core.clock.monotonic`, None for now. The store makes dates of them by
    how long ago they were when it writes: so both are of the database's clock, and their span is true.

    `called_after` is the place of the last completion that the body had been handed when it made this call:
    what came later has no part in it.
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
    """Of which functions some workflows of a filter are, and what they call a step where that is known."""

    names: Set[tuple[str, str | None]]
    number: int
    last: tuple[datetime, str] | None
    """After which there may be more."""


class BulkRan(NamedTuple):
    """The bulk of which a block was done, if any was; in how many seconds the next block of any is due."""

    bulk_id: str | None
    next_s: float | None
    fault: str | None = None
    """Why it could not be done. It is tried again, and others go on."""


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
    """What a workflow that left the memory is woken by: the end of `target`, or an event after a number."""

    target: str
    event: str = ""
    after: int = 0


class Suspension(NamedTuple):
    """A workflow leaves the memory. It is claimable at `claimable_s`, or at once if that is None.

    `awaits` (JSON) is given where others wake it too. By messages: their `topics`, and up to which number it
    knows its `mail`. If more has arrived by then, it is claimable at once. By other workflows: `ends`, the
    first of them, and `of`, how many; `waits` are all. If one of them has ended, it is claimable at once.
    """

    claimable_s: float | None = None
    awaits: str | None = None
    waits: Sequence[Wait] = ()


@dataclass(slots=True)
class FencedWrite:
    """All that one workflow has to write in one batch, under the epoch it was claimed with."""

    workflow_id: str
    epoch: int
    steps: list[StepRecord] = field(default_factory=list)
    end: Ending | Suspension | None = None


class Batch(NamedTuple):
    """One commit of the journal. Its nonce shows, after a lost answer, which rows it has written."""

    nonce: int
    starts: Sequence[NewWorkflow]
    writes: Sequence[FencedWrite]

    @property
    def workflow_ids(self) -> list[str]:
        """Of all that is in it."""
        starts, writes = self.starts, self.writes
        return [start.workflow_id for start in starts] + [write.workflow_id for write in writes]


class WorkflowState(NamedTuple):
    """What a call that attaches to a workflow needs: to compare payloads, and to answer if it has ended."""

    workflow_id: str
    function: str
    status: Status
    fingerprint: str | None
    subject: str | None
    output: str | None
    error: str | None
    response: str | None
    generation: int = 1
    """From 2 on it was retried."""
    held: str | None = None
    """Why nobody claims it (JSON)."""


class WorkflowStates(NamedTuple):
    """The states of some workflows, by the id that was asked for. What was attached stands as its target."""

    found: dict[str, WorkflowState]
    cut: bool
    """Whether some were left out, because all would take too much memory. Ask again for these."""


class Ownership(NamedTuple):
    """Who owns a workflow, and what else decides who may see what of it. Cheap to read."""

    workflow_id: str
    function: str
    status: Status
    subject: str | None
    parent: str | None


@dataclass(frozen=True, slots=True)
class Committed:
    """What a batch did: whose rows were inserted, whose writes were accepted."""

    started: frozenset[str]
    accepted: frozenset[str]
    created_s: float | None = field(default=None, compare=False)
    """When the rows were inserted, in Unix seconds."""
    woken: bool = field(default=False, compare=False)
    """Whether it made workflows claimable that waited for an end."""


class Entered(NamedTuple):
    """How a call came through its queue's door: see `outlast.enqueue`."""

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
    """Who is to ask for a place again: workflows in memory `here`; `due`: others were made claimable."""

    here: list[str]
    due: bool


class DeclaredQueue(NamedTuple):
    """A queue as code declares it: its options, and the functions that are in it by themselves."""

    name: str
    options: Mapping[str, Any]
    functions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Beat:
    """A renewal's answer: the database's time, and the rows that this instance owns, with their epochs."""

    database_s: float
    owned: dict[str, int]


class Message(NamedTuple):
    """A message to a workflow. `number` is its place among all of that workflow's; `body` is JSON text."""

    message_id: int
    number: int
    body: str


class EventQuery(NamedTuple):
    """Which published events of a workflow are looked for: those of a name after a number, or the newest."""

    workflow_id: str
    event: str
    after: int
    newest: bool = False


class PublishedEvent(NamedTuple):
    """One of them: its number among the workflow's records, and its value as JSON text."""

    number: int
    value: str


class EventsFound(NamedTuple):
    """What a look found, in order. `ended`: the workflow has ended, and these are the last ones."""

    events: list[PublishedEvent]
    ended: bool


class InboxQuery(NamedTuple):
    """A workflow's messages of one topic beyond number `after`; `seen` is its `mail` at the last look."""

    workflow_id: str
    topic: str
    after: int
    seen: int


class Arrivals(NamedTuple):
    """What a look into an inbox found. All messages up to the number `seen` are known, or in `messages`."""

    seen: int
    messages: list[Message]


class Delivered(NamedTuple):
    """How many workflows a delivery made claimable, and whether messages are left for the next one.

    `refused`: whose rows have refused it for the first time.
    """

    woken: int
    left: bool
    refused: Sequence[str] = ()
