"""Which workflows there are: whatever the test, or what it runs, starts."""

from __future__ import annotations

from itertools import count

from outlast.sdk.definitions import WorkflowDefinition


class GivenCatalog:
    """See core.ports.Catalog. No folder is read: a workflow is known from its first start on."""

    def __init__(self) -> None:
        self._workflows: dict[str, WorkflowDefinition] = {}
        self._names: dict[int, str] = {}

    def add(self, name: str, definition: WorkflowDefinition) -> None:
        """Serve it under a name that it has already."""
        self._workflows[name], self._names[id(definition)] = definition, name

    def workflow(self, function: str) -> WorkflowDefinition | None:
        """See Catalog."""
        return self._workflows.get(function)

    def version(self, function: str) -> str:
        """See Catalog."""
        return "test"

    def name_of(self, definition: WorkflowDefinition) -> str:
        """See Catalog. Two workflows of one name are told apart by a number."""
        name = self._names.get(id(definition))
        if name is None:
            names = (f"{definition.name}{'' if number == 1 else f'-{number}'}" for number in count(1))
            name = self._names[id(definition)] = next(each for each in names if each not in self._workflows)
            self._workflows[name] = definition
        return name

    def workflow_names(self) -> list[str]:
        """See Catalog."""
        return list(self._workflows)

    def queues(self) -> dict[str, list[str]]:
        """See Catalog. None: messages of queues aren't simulated."""
        return {}
