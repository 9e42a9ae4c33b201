"""The row of a workflow that Python starts."""

from __future__ import annotations

from outlast.core.budget import weigh
from outlast.core.callers import NOBODY, Caller
from outlast.core.names import fingerprint_of
from outlast.core.ports import Catalog
from outlast.core.records import NewWorkflow
from outlast.sdk.definitions import WorkflowDefinition


def new_workflow(
    catalog: Catalog,
    now_s: float,
    workflow_id: str,
    function: str,
    workflow: WorkflowDefinition,
    text: str,
    key: str | None,
    parent: str | None = None,
    caller: Caller = NOBODY,
) -> NewWorkflow:
    """Of `function` with the input `text`, at `now_s` (Unix seconds)."""
    return NewWorkflow(
        workflow_id=workflow_id,
        function=function,
        input=text,
        idempotency_key=key,
        fingerprint=fingerprint_of("START", function, "", b"", text.encode()),
        subject=caller.id,
        claims=caller.record(),
        version=catalog.version(function),
        parent=parent,
        deadline_s=None if workflow.timeout_s is None else now_s + workflow.timeout_s,
        load_bytes=weigh(text),
    )
