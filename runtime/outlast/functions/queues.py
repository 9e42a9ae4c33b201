"""The queues that the workflows of a folder declare."""

from __future__ import annotations

from collections.abc import Mapping

from outlast.core.records import DeclaredQueue
from outlast.sdk.definitions import WorkflowDefinition
from outlast.sdk.queues import Queue


def declared_queues(workflows: Mapping[str, WorkflowDefinition]) -> dict[str, DeclaredQueue]:
    """By name. Of two that differ, neither is declared: see `conflicting`."""
    found: dict[str, DeclaredQueue] = {}
    for function, workflow in workflows.items():
        queue = workflow.queue
        if queue is None:
            continue
        before = found.get(queue.name)
        functions = (*(before.functions if before else ()), function)
        options = queue.options or (before.options if before else {})
        found[queue.name] = DeclaredQueue(queue.name, options, functions)
    return found


def consumed_queues(workflows: Mapping[str, WorkflowDefinition]) -> dict[str, list[str]]:
    """By Supabase Queue, the workflows that consume it."""
    found: dict[str, list[str]] = {}
    for function, workflow in workflows.items():
        if workflow.queue is not None and workflow.queue.consumes is not None:
            found.setdefault(workflow.queue.consumes, []).append(function)
    return found


def conflict(one: Queue, other: Queue) -> bool:
    """Whether two queues of one name say different things. One without options only names the other."""
    if not one.options or not other.options:
        return False
    return one.options != other.options or _code(one) != _code(other)


def _code(queue: Queue) -> object:
    return (
        None
        if queue.key is None
        else queue.key.__code__.co_code
        if hasattr(queue.key, "__code__")
        else queue.key
    )
