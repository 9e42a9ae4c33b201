"""The life of a workflow as data: its statuses and the only changes between them."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """What `workflow_status.status` holds."""

    ENQUEUED = "ENQUEUED"
    PENDING = "PENDING"
    SUCCESS = "SUCCESS"
    ERROR = "ERROR"
    CANCELLED = "CANCELLED"
    EXHAUSTED = "EXHAUSTED"

    @property
    def ended(self) -> bool:
        """Whether the workflow runs no more. A SUCCESS never changes; any other may be retried."""
        return self not in LIVE


LIVE = frozenset({Status.ENQUEUED, Status.PENDING})
FAILED = frozenset(Status) - LIVE - {Status.SUCCESS}


class Change(StrEnum):
    """Why a status changes. Each is one statement of the store."""

    START = "start"
    ENQUEUE = "enqueue"
    FORK = "fork"
    CLAIM = "claim"
    SUSPEND = "suspend"
    RELEASE = "release"
    RECOVER = "recover"
    FINISH = "finish"
    FAIL = "fail"
    CANCEL = "cancel"
    EXHAUST = "exhaust"
    RETRY = "retry"
    REWIND = "rewind"


TRANSITIONS: dict[tuple[Status | None, Change], Status] = {
    (None, Change.START): Status.PENDING,
    (None, Change.ENQUEUE): Status.ENQUEUED,
    (None, Change.FORK): Status.ENQUEUED,
    (Status.ENQUEUED, Change.CLAIM): Status.PENDING,
    (Status.ENQUEUED, Change.CANCEL): Status.CANCELLED,
    (Status.PENDING, Change.CLAIM): Status.PENDING,
    (Status.PENDING, Change.SUSPEND): Status.PENDING,
    (Status.PENDING, Change.RELEASE): Status.PENDING,
    (Status.PENDING, Change.RECOVER): Status.PENDING,
    (Status.PENDING, Change.FINISH): Status.SUCCESS,
    (Status.PENDING, Change.FAIL): Status.ERROR,
    (Status.PENDING, Change.CANCEL): Status.CANCELLED,
    (Status.PENDING, Change.EXHAUST): Status.EXHAUSTED,
    (Status.ERROR, Change.RETRY): Status.ENQUEUED,
    (Status.CANCELLED, Change.RETRY): Status.ENQUEUED,
    (Status.EXHAUSTED, Change.RETRY): Status.ENQUEUED,
    (Status.ERROR, Change.REWIND): Status.ENQUEUED,
    (Status.CANCELLED, Change.REWIND): Status.ENQUEUED,
    (Status.EXHAUSTED, Change.REWIND): Status.ENQUEUED,
}
