"""The schedules that the workflows of a folder declare."""

from __future__ import annotations

from collections.abc import Mapping

from outlast.core.schedules import Declared
from outlast.sdk.definitions import WorkflowDefinition


def schedules_of(workflows: Mapping[str, WorkflowDefinition], versions: Mapping[str, str]) -> list[Declared]:
    """By function as it is served. Of two of one name the first stays: the file of the other is refused.

    A function that was renamed keeps its schedule, and so what it has started already.
    """
    found: dict[str, Declared] = {}
    for function, workflow in sorted(workflows.items()):
        for schedule in workflow.schedules:
            name = schedule.name or name_of(workflow.keyed_as(function))
            found.setdefault(name, Declared(name, function, versions.get(function), schedule))
    return sorted(found.values(), key=lambda each: each.name)


def name_of(function: str) -> str:
    """The name of a function's only schedule. A `/` would end it in paths."""
    return function.replace("/", ".")
