"""Rows of the in-memory store, and the limits of its recoveries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from outlast.core.records import LimitUse, NewWorkflow, StepRecord
from outlast.core.schedules import Schedule
from outlast.core.status import LIVE, Status

WITH_PARENT = "the workflow that started it was cancelled"


class Blocked(Exception):
    """A lock must be waited for. Nothing was changed."""


class RowRefused(Exception):
    """A trigger of the project keeps a row as it is. Nothing was changed."""


@dataclass(slots=True)
class Workflow:
    """A row of `workflow_status`."""

    new: NewWorkflow
    owner: str | None
    nonce: int
    created_at: float
    updated_at: float
    status: Status = Status.PENDING
    epoch: int = 1
    recovery_attempts: int = 0
    claimable_at: float | None = None
    mail: int = 0
    awaits: str | None = None
    output: str | None = None
    error: str | None = None
    response: str | None = None
    load_bytes: int = 0
    began_at: float | None = None
    """When it was claimed for the first time, or created already running."""
    batch: str | None = None
    batch_place: int = 0
    saga: str | None = None
    stop: str | None = None
    stopped_on: str | None = None
    """The instance that ran it when it was cancelled."""
    map: dict[str, Any] | None = None
    detached: bool = False
    awaited: bool = False
    untold: bool = True
    generation: int = 1
    retried_at: float | None = None
    last_place: int = 0
    held: str | None = None
    """Why no instance claims it (JSON)."""
    misfits: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The editions of its function that its records don't fit, each with the difference."""
    forked_from: str | None = None
    root: str | None = None
    born: dict[str, Any] | None = None
    attributes: str | None = None
    """JSON: the attributes of the start, with later changes."""

    @property
    def ended_by_stop(self) -> bool:
        """`outlast.ended_by_stop`."""
        timed_out = json.loads(self.error or "{}").get("code") == "workflow_timeout"
        # guard: memory-stops-forgotten = True
        return self.status is Status.CANCELLED or timed_out


class ActRow(NamedTuple):
    """A row of `acts`."""

    at: float
    verb: str
    noun: str
    name: str
    by: str
    why: str | None
    before: str | None = None


def over_of_pause(held: str | None) -> str | None:
    """What still holds a row whose pause is over: the former hold. A row that isn't paused stays held."""
    found = json.loads(held or "null")
    if found is None or found["reason"] != "paused":
        return held
    return None if found.get("over") is None else json.dumps(found["over"])


def is_untold(row: Workflow) -> bool:
    """Whether its waiters, or its children, must still be told of its end."""
    return row.untold and (row.status not in LIVE or row.saga == "stopping")


def is_killed(row: Workflow) -> bool:
    """Whether it was ended without undoing anything."""
    return row.status is Status.CANCELLED and json.loads(row.error or "{}").get("mode") == "kill"


@dataclass(slots=True)
class LimitRow:
    """A limit of steps: who holds it, and who waits: workflow and step, since when, until when."""

    options: Mapping[str, Any] = field(default_factory=dict)
    uses: dict[LimitUse, float] = field(default_factory=dict)
    given_up: set[LimitUse] = field(default_factory=set)
    waits: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)


@dataclass(slots=True)
class BulkItemRow:
    """A row of `bulk_items`."""

    workflow_id: str
    outcome: str | None = None
    reason: str | None = None


@dataclass(slots=True)
class BulkRow:
    """A row of `bulks`, with its items."""

    verb: str
    filter: dict[str, Any]
    arguments: dict[str, Any]
    rate: float
    expect: int | None
    by: str
    why: str | None
    after: tuple[datetime, str] | None = None
    fixed: bool = False
    items: list[BulkItemRow] = field(default_factory=list)
    place: int = 0
    next_at: float = 0.0
    over: bool = False


@dataclass(slots=True)
class QueueRow:
    """A row of `queues`, and when its workflows began and calls arrived."""

    base: dict[str, Any] = field(default_factory=dict)
    override: dict[str, Any] = field(default_factory=dict)
    overridden: dict[str, Any] | None = None
    """`at`, `by` and `why` of the override."""
    functions: frozenset[str] = frozenset()
    declared_at: float = float("-inf")
    editions: list[str] = field(default_factory=list)
    """The declarations of code, in the order in which they came."""
    paused: dict[str, Any] | None = None
    paused_keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    last_key: str | None = None
    decided_at: float = float("-inf")
    askers: dict[str, tuple[float, float | None]] = field(default_factory=dict)
    """When each instance last asked, and since when it is short of places."""
    left_at: float = float("-inf")
    starts: list[tuple[float, str]] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)

    @property
    def options(self) -> dict[str, Any]:
        """The options in force."""
        return {**self.base, **self.override}


@dataclass(slots=True)
class ScheduleRow:
    """A row of `schedules`."""

    function: str
    schedule: Schedule
    since: datetime
    declared: bool = False
    revision: int = 1
    nominal_at: datetime | None = None
    next_at: datetime | None = None
    waiting_at: datetime | None = None
    last_at: datetime | None = None
    ticked: int = 0
    paused: str | None = None
    orphaned: bool = False
    ended: bool = False
    fault: str | None = None
    backfill: tuple[datetime, datetime] | None = None

    @property
    def ticks(self) -> bool:
        """Whether it starts anything."""
        return self.paused is None and self.fault is None and not (self.orphaned or self.ended)


class TickRow(NamedTuple):
    """A row of `ticks`."""

    schedule: str
    nominal_at: datetime
    outcome: str
    ticks: int


@dataclass(slots=True)
class Record:
    """A row of `operation_outputs`."""

    step: StepRecord
    nonce: int
    completed_at: float
    settled: dict[str, Any] | None = None
    """`by`, `at` and `why` of a result that was given by hand."""
    since_end: bool = False
    """Whether that was after the workflow's present end."""
    instance: str | None = None


@dataclass(slots=True)
class Letter:
    """A row of `messages`. `visible` once its transaction has committed."""

    message_id: int
    workflow_id: str
    topic: str
    body: str
    key: str | None
    number: int | None = None
    visible: bool = True
    sent_at: float = 0.0

    @property
    def waits(self) -> bool:
        """Whether it must still be delivered."""
        return self.number is None and self.visible


@dataclass(slots=True)
class Instance:
    """A row of `instances`. Without real sessions there is none."""

    lease_until: float
    session: int | None
    session_began: float
    functions: frozenset[str] | None = None
    schedule_edition: str | None = None
    queue_editions: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] | None = None
    """The versions of its functions; None until it has told."""


@dataclass(eq=False, slots=True)
class Transaction:
    """An open transaction of a user: its effects, its record, and the row it holds."""

    effects: list[Any] = field(default_factory=list)
    holds: str | None = None
    record: tuple[tuple[str, str], Record] | None = None
    open: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """See store.instances.RecoveryLimits."""

    attempts_max: int = 10
    suspect_after: int = 3
    batch: int = 500
    backoff_s: float = 1.0
    backoff_max_s: float = 60.0
    letters: int = 3
    """Messages in one delivery: few, so that several deliveries are common."""
    messages_waiting: int = 100
    """See store.pgmq.WAITING_MAX."""
