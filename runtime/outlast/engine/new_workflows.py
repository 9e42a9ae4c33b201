"""The row of a workflow that this instance starts, for a request, a handler, a step or a parent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from outlast.core.budget import weigh
from outlast.core.errors import QueueKeyMissing, UsageError
from outlast.core.maps import is_map
from outlast.core.names import fingerprint_of
from outlast.core.placement import USUAL, Placement
from outlast.core.queues import KEY_CHARS_MAX, has_door, key_at, key_text
from outlast.core.records import NewWorkflow
from outlast.core.tracebacks import described
from outlast.core.versions import row_version
from outlast.sdk.definitions import WorkflowDefinition
from outlast.sdk.queues import Queue


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
    detached: bool = False,
    placement: Placement = USUAL,
) -> NewWorkflow:
    """A row for `function`, whose file has `version`, with the input `text`, at `now_s` (Unix seconds).

    `subject` and `claims` are the caller's (see core.callers). A request has its own fingerprint. The
    workflow's deadline is `ends_by_s`, or the end of its own timeout if that is earlier. Raises
    QueueKeyMissing, and UsageError for a priority without a queue.
    """
    # The timeout of a map's item counts from when the item begins, which isn't known yet.
    if definition.timeout_s is not None and not (parent is not None and is_map(parent)):
        # guard: delays-use-up-timeouts = now_s + definition.timeout_s
        own_s = now_s + placement.delay_s + definition.timeout_s
        ends_by_s = own_s if ends_by_s is None else min(own_s, ends_by_s)
    queue: Queue | None = placement.queue or definition.queue
    if queue is not None and queue.consumes is not None and not queue.options:
        queue = None  # such a queue has no limits: it only holds messages
    if queue is None and placement.priority:
        raise UsageError(f"a priority counts within a queue, and {function} is in none")
    if queue is not None and queue.batches and not definition.batches:
        raise UsageError(
            f"queue {queue.name!r} has batches, which {function} does not take: "
            "declare it with @workflow(queue=)"
        )
    return NewWorkflow(
        workflow_id=workflow_id,
        function=function,
        input=text,
        request=request,
        idempotency_key=key,
        fingerprint=fingerprint
        or fingerprint_of("START", definition.keyed_as(function), "", b"", (text or "").encode()),
        subject=subject,
        claims=claims,
        version=row_version(definition.version, version),
        parent=parent,
        deadline_s=ends_by_s,
        load_bytes=weigh(text, request),
        queue=None if queue is None else queue.name,
        queue_key="" if queue is None else _key_of(queue, definition, text),
        attributes=placement.attributes,
        priority=placement.priority,
        delay_s=placement.delay_s,
        timeout_s=definition.timeout_s,
        # For a queue that is only named here, the database knows whether it has rules at its door.
        door=queue is not None and (has_door(queue.options) or not queue.options),
        detached=detached,
    )


def _key_of(queue: Queue, definition: WorkflowDefinition, text: str | None) -> str | None:
    """The queue key of this input; None if only the database knows it. Raises QueueKeyMissing."""
    path = queue.options.get("key")
    if path is None:
        return "" if queue.options else None
    if queue.key is not None:
        found, where = _key_by(queue.key, definition, text), "its function of the arguments gives none"
    else:
        found, where = key_at(path, text), f"the input has none at {path!r}"
    if found is None or len(found) > KEY_CHARS_MAX:
        raise QueueKeyMissing(
            f"queue {queue.name!r} needs a key, and {where}: a text, a whole number or a truth, "
            f"of at most {KEY_CHARS_MAX} characters"
        )
    return found


def _key_by(function: Callable[..., Any], definition: WorkflowDefinition, text: str | None) -> str | None:
    try:
        arguments = definition.inputs.bind_json(text or "{}")
        # A batch function has its own name for the list, so the key function gets it by position.
        found = function(*arguments.values()) if definition.batches else function(**arguments)
        return key_text(found)
    except BaseException as error:  # it must not end the process of the caller
        raise QueueKeyMissing(f"the queue's key function failed: {described(error)}") from error
