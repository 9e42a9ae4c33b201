"""What options of a folder's workflows come to: queues, schedules, retention, and which steps users see."""

from __future__ import annotations

import math
from collections.abc import Mapping

from outlast.core.records import DeclaredQueue
from outlast.core.schedules import Declared
from outlast.sdk.definitions import WorkflowDefinition
from outlast.sdk.steps import AsyncStep, SyncStep
from outlast.sdk.transactions import AsyncTransaction, SyncTransaction
from outlast.sdk.workflows import Workflow


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


def schedules_of(workflows: Mapping[str, WorkflowDefinition], versions: Mapping[str, str]) -> list[Declared]:
    """By function as it is served. Of two of one name the first stays: the file of the other is refused.

    A function that was renamed keeps its schedule, and so what it has started already.
    """
    found: dict[str, Declared] = {}
    for function, workflow in sorted(workflows.items()):
        for schedule in workflow.schedules:
            name = schedule.name or schedule_name(workflow.keyed_as(function))
            found.setdefault(name, Declared(name, function, versions.get(function), schedule))
    return sorted(found.values(), key=lambda each: each.name)


def schedule_name(function: str) -> str:
    """The name of a function's only schedule. A `/` would end it in paths."""
    return function.replace("/", ".")


def declared_retentions(workflows: Mapping[str, WorkflowDefinition]) -> dict[str, float | None]:
    """By function, in seconds; None: for ever. Those that say nothing aren't there."""
    return {
        name: None if each.retention_s == math.inf else each.retention_s
        for name, each in workflows.items()
        if each.retention_s is not None
    }


_RECORDED = (AsyncStep, SyncStep, AsyncTransaction, SyncTransaction)


def visible_steps(*versions: WorkflowDefinition) -> frozenset[str] | None:
    """The names of the steps that are visible; None for all, whatever they are called.

    Records know a step by its name alone. So a name that the workflow's file gives to something else too is
    visible only if all of that is; a child's never is by a step's option. So it is of several `versions`.
    """
    if all(each.steps_visible for each in versions):
        return None
    shown: dict[str, bool] = {}
    for workflow in versions:
        for each in workflow.fn.__globals__.values():
            if isinstance(each, (*_RECORDED, Workflow)):
                name = each.definition.name
                visible = workflow.steps_visible or (
                    not isinstance(each, Workflow) and each.definition.visible
                )
                shown[name] = visible and shown.get(name, True)
    return frozenset(name for name, visible in shown.items() if visible)
