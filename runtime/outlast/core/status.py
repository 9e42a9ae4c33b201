"""The life of a workflow as data: its statuses, and the changes between them."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """The values of `workflow_status.status`."""

    ENQUEUED = "ENQUEUED"
    PENDING = "PENDING"
    SUCCESS = "SUCCESS"
    ERROR = "ERROR"
    CANCELLED = "CANCELLED"
    EXHAUSTED = "EXHAUSTED"

    @property
    def ended(self) -> bool:
        """Whether the workflow has ended. SUCCESS is final; any other may be retried."""
        return self not in LIVE


LIVE = frozenset({Status.ENQUEUED, Status.PENDING})
FAILED = frozenset(Status) - LIVE - {Status.SUCCESS}


class Change(StrEnum):
    """The causes of a change. Each is one statement of the store, or one function of the database."""

    START = "start"
    ENQUEUE = "enqueue"
    FORK = "fork"
    CLAIM = "claim"
    SUSPEND = "suspend"
    RELEASE = "release"
    RECOVER = "recover"
    FINISH = "finish"
    FAIL = "fail"
    HOLD = "hold"
    FREE = "free"
    END_HELD = "end-held"
    PAUSE = "pause"
    RESUME = "resume"
    SETTLE = "settle"
    CANCEL = "cancel"
    KILL = "kill"
    EXHAUST = "exhaust"
    RETRY = "retry"
    REWIND = "rewind"
    DELETE = "delete"


TRANSITIONS: dict[tuple[Status | None, Change], Status | None] = {
    (None, Change.START): Status.PENDING,
    (None, Change.ENQUEUE): Status.ENQUEUED,
    (None, Change.FORK): Status.ENQUEUED,
    (Status.ENQUEUED, Change.CLAIM): Status.PENDING,
    (Status.ENQUEUED, Change.HOLD): Status.ENQUEUED,
    (Status.ENQUEUED, Change.FREE): Status.ENQUEUED,
    (Status.ENQUEUED, Change.END_HELD): Status.ERROR,
    (Status.ENQUEUED, Change.PAUSE): Status.ENQUEUED,
    (Status.ENQUEUED, Change.RESUME): Status.ENQUEUED,
    (Status.ENQUEUED, Change.SETTLE): Status.ENQUEUED,
    (Status.ENQUEUED, Change.CANCEL): Status.CANCELLED,
    (Status.ENQUEUED, Change.KILL): Status.CANCELLED,
    (Status.PENDING, Change.CLAIM): Status.PENDING,
    (Status.PENDING, Change.SUSPEND): Status.PENDING,
    (Status.PENDING, Change.RELEASE): Status.PENDING,
    (Status.PENDING, Change.RECOVER): Status.PENDING,
    (Status.PENDING, Change.HOLD): Status.PENDING,
    (Status.PENDING, Change.FREE): Status.PENDING,
    (Status.PENDING, Change.END_HELD): Status.ERROR,
    (Status.PENDING, Change.PAUSE): Status.PENDING,
    (Status.PENDING, Change.RESUME): Status.PENDING,
    (Status.PENDING, Change.SETTLE): Status.PENDING,
    (Status.PENDING, Change.FINISH): Status.SUCCESS,
    (Status.PENDING, Change.FAIL): Status.ERROR,
    (Status.PENDING, Change.CANCEL): Status.CANCELLED,
    (Status.PENDING, Change.KILL): Status.CANCELLED,
    (Status.PENDING, Change.EXHAUST): Status.EXHAUSTED,
    (Status.ERROR, Change.SETTLE): Status.ERROR,
    (Status.CANCELLED, Change.SETTLE): Status.CANCELLED,
    (Status.EXHAUSTED, Change.SETTLE): Status.EXHAUSTED,
    (Status.ERROR, Change.RETRY): Status.ENQUEUED,
    (Status.CANCELLED, Change.RETRY): Status.ENQUEUED,
    (Status.EXHAUSTED, Change.RETRY): Status.ENQUEUED,
    (Status.ERROR, Change.REWIND): Status.ENQUEUED,
    (Status.CANCELLED, Change.REWIND): Status.ENQUEUED,
    (Status.EXHAUSTED, Change.REWIND): Status.ENQUEUED,
    (Status.SUCCESS, Change.DELETE): None,
    (Status.ERROR, Change.DELETE): None,
    (Status.CANCELLED, Change.DELETE): None,
    (Status.EXHAUSTED, Change.DELETE): None,
}
"""The new status of a row for each cause; None: it is deleted. Of live workflows only held ones are settled.

A cancel of a workflow that has something to undo doesn't change its status: it stays `PENDING` until that is
undone.
"""
