"""The queues that the workflows of a folder declare."""

from __future__ import annotations

from collections.abc import Mapping

from outlast.core.records import DeclaredQueue
from outlast.sdk.definitions import WorkflowDefinition


def declared_queues(workflows: Mapping[str, WorkflowDefinition]) -> dict[str, DeclaredQueue]:
    """By name. Files that disagree about one are broken: see refusals.py.

    What SQL starts under a former name waits in it, too.
    """
    found: dict[str, DeclaredQueue] = {}
    for function, workflow in workflows.items():
        queue = workflow.queue
        if queue is None:
            continue
        before = found.get(queue.name)
        # guard: former-names-pass-the-queue = (function,)
        functions = (*(before.functions if before else ()), function, *workflow.aliases)
        found[queue.name] = DeclaredQueue(queue.name, queue.options, functions)
    return found


def consumed_queues(workflows: Mapping[str, WorkflowDefinition]) -> dict[str, list[str]]:
    """By Supabase Queue, the workflows that consume it."""
    found: dict[str, list[str]] = {}
    for function, workflow in workflows.items():
        if workflow.queue is not None and workflow.queue.consumes is not None:
            found.setdefault(workflow.queue.consumes, []).append(function)
    return found
