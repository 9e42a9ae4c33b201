"""The row of a workflow that this instance starts: for a request, a handler, a step or a parent."""

from __future__ import annotations

from outlast.core.budget import weigh
from outlast.core.names import fingerprint_of
from outlast.core.records import NewWorkflow
from outlast.sdk.definitions import WorkflowDefinition


def new_workflow(
    workflow_id: str,
    function: str,
    definition: WorkflowDefinition,
    text: str | None,
    *,
    version: str | None,
    now_s: float,
    key: str | None = None,
    subject: str | None = None,
    claims: str | None = None,
    request: str | None = None,
    fingerprint: str | None = None,
    parent: str | None = None,
    ends_by_s: float | None = None,
) -> NewWorkflow:
    """Of `function`, whose file has `version`, with the input `text`, at `now_s` (Unix seconds).

    `subject` and `claims` are the caller's (see core.callers). A request brings its own fingerprint. The
    workflow has to end by `ends_by_s`, or by its own timeout where that is earlier.
    """
    if definition.timeout_s is not None:
        own_s = now_s + definition.timeout_s
        ends_by_s = own_s if ends_by_s is None else min(own_s, ends_by_s)
    return NewWorkflow(
        workflow_id=workflow_id,
        function=function,
        input=text,
        request=request,
        idempotency_key=key,
        fingerprint=fingerprint or fingerprint_of("START", function, "", b"", (text or "").encode()),
        subject=subject,
        claims=claims,
        version=version,
        parent=parent,
        deadline_s=ends_by_s,
        load_bytes=weigh(text, request),
    )
