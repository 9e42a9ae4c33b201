"""The names that function files import. `outlast` re-exports them."""

from outlast.core.callers import Caller
from outlast.core.errors import (
    CallerTokenGone,
    CompensationFailed,
    DatabaseUnavailable,
    InvalidInput,
    KeyReused,
    MapFailed,
    NonDeterminism,
    NotSerializable,
    OutlastError,
    Overloaded,
    QueueBusy,
    QueueFull,
    QueueKeyMissing,
    RateLimited,
    RecoveryExhausted,
    ScheduleNotFound,
    ShuttingDown,
    StepFailed,
    UsageError,
    WorkflowCancelled,
    WorkflowEnded,
    WorkflowError,
    WorkflowExpired,
    WorkflowFailed,
    WorkflowNotFound,
    WorkflowTimeout,
    WrongState,
)
from outlast.sdk.context import Context, context
from outlast.sdk.emitting import emit
from outlast.sdk.handles import WorkflowHandle, wait_any
from outlast.sdk.http import Headers, HTTPException, Response
from outlast.sdk.in_bodies import callback, now, patched, publish, random, sleep, sleep_until, uuid4
from outlast.sdk.maps import MapResult, map_, rows
from outlast.sdk.messages import receive, send
from outlast.sdk.queues import Batch, Debounce, Limit, Queue, Rate
from outlast.sdk.requests import Request
from outlast.sdk.sagas import saga
from outlast.sdk.schedules import schedules
from outlast.sdk.starting import start, start_all, start_once
from outlast.sdk.steps import step
from outlast.sdk.timetables import at, cron, every
from outlast.sdk.transactions import transaction
from outlast.sdk.undos import UNKNOWN, Unknown
from outlast.sdk.webhooks import database_webhook, standard_webhook
from outlast.sdk.workflows import handler, workflow

__all__ = [
    "UNKNOWN",
    "Batch",
    "Caller",
    "CallerTokenGone",
    "CompensationFailed",
    "Context",
    "DatabaseUnavailable",
    "Debounce",
    "HTTPException",
    "Headers",
    "InvalidInput",
    "KeyReused",
    "Limit",
    "MapFailed",
    "MapResult",
    "NonDeterminism",
    "NotSerializable",
    "OutlastError",
    "Overloaded",
    "Queue",
    "QueueBusy",
    "QueueFull",
    "QueueKeyMissing",
    "Rate",
    "RateLimited",
    "RecoveryExhausted",
    "Request",
    "Response",
    "ScheduleNotFound",
    "ShuttingDown",
    "StepFailed",
    "Unknown",
    "UsageError",
    "WorkflowCancelled",
    "WorkflowEnded",
    "WorkflowError",
    "WorkflowExpired",
    "WorkflowFailed",
    "WorkflowHandle",
    "WorkflowNotFound",
    "WorkflowTimeout",
    "WrongState",
    "at",
    "callback",
    "context",
    "cron",
    "database_webhook",
    "emit",
    "every",
    "handler",
    "map_",
    "now",
    "patched",
    "publish",
    "random",
    "receive",
    "rows",
    "saga",
    "schedules",
    "send",
    "sleep",
    "sleep_until",
    "standard_webhook",
    "start",
    "start_all",
    "start_once",
    "step",
    "transaction",
    "uuid4",
    "wait_any",
    "workflow",
]
