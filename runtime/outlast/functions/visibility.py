"""Which of a workflow's steps show users what they returned."""

from __future__ import annotations

from outlast.sdk.definitions import WorkflowDefinition
from outlast.sdk.steps import AsyncStep, SyncStep
from outlast.sdk.transactions import AsyncTransaction, SyncTransaction
from outlast.sdk.workflows import Workflow

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
