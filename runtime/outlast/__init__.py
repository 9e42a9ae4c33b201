"""Outlast: Python functions next to a Supabase project that outlast crashes, deploys and freezes."""

from outlast.core.errors import (
    DatabaseUnavailable,
    InvalidInput,
    KeyReused,
    NonDeterminism,
    NotSerializable,
    OutlastError,
    Overloaded,
    RecoveryExhausted,
    ShuttingDown,
    StepFailed,
    UsageError,
    WorkflowCancelled,
    WorkflowEnded,
    WorkflowError,
    WorkflowFailed,
    WorkflowNotFound,
    WorkflowTimeout,
)
from outlast.sdk.context import Caller, Context, context
from outlast.sdk.http import Headers, HTTPException, Request, Response
from outlast.sdk.messages import receive, send
from outlast.sdk.sleeping import sleep, sleep_until
from outlast.sdk.starting import WorkflowHandle, start, start_once
from outlast.sdk.steps import step
from outlast.sdk.transactions import transaction
from outlast.sdk.workflows import handler, workflow

__all__ = [
    "Caller",
    "Context",
    "DatabaseUnavailable",
    "HTTPException",
    "Headers",
    "InvalidInput",
    "KeyReused",
    "NonDeterminism",
    "NotSerializable",
    "OutlastError",
    "Overloaded",
    "RecoveryExhausted",
    "Request",
    "Response",
    "ShuttingDown",
    "StepFailed",
    "UsageError",
    "WorkflowCancelled",
    "WorkflowEnded",
    "WorkflowError",
    "WorkflowFailed",
    "WorkflowHandle",
    "WorkflowNotFound",
    "WorkflowTimeout",
    "context",
    "handler",
    "receive",
    "send",
    "sleep",
    "sleep_until",
    "start",
    "start_once",
    "step",
    "transaction",
    "workflow",
]
