"""What a record gives the body: plain JSON, nothing, or a failure."""

from __future__ import annotations

from typing import Any

from outlast.core.codec import Codec
from outlast.core.errors import StepFailed, WorkflowFailed
from outlast.core.failures import decode_failure, globals_of
from outlast.core.records import StepRecord
from outlast.engine.execution.calls import PendingCall
from outlast.engine.execution.execution import Execution
from outlast.sdk.operations import Result, Start, Step, Transaction

PLAIN = Codec(of="the result")


def value(call: PendingCall, record: StepRecord) -> Any:
    """See operations.table."""
    return PLAIN.decode(record.output)


def nothing(call: PendingCall, record: StepRecord) -> None:
    """See operations.table."""


def failure(execution: Execution, call: PendingCall, record: StepRecord) -> Exception:
    """See Operations. The exception's class is looked up where the function that raised it is defined."""
    operation, name = call.operation, record.name
    function: Any = execution.definition.fn
    if isinstance(operation, Step | Transaction):
        function = operation.definition.fn
    elif isinstance(operation, Start | Result) and operation.workflow is not None:
        function = operation.workflow.fn
    error = decode_failure(record.error or "", name, globals_of(function))
    if isinstance(operation, Result) and isinstance(error, StepFailed) and error.step == name:
        # The exception can't be rebuilt here.
        text = f"{error.error_type}: {error.error_message}"
        failed = WorkflowFailed(operation.workflow_id, f"{operation.workflow_id} failed: {text}")
        failed.__cause__ = error
        return failed
    return error
