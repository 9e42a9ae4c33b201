"""An engine without HTTP, and a catalog of the workflows that it is given."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from outlast.core.records import DeclaredQueue
from outlast.core.schedules import Declared
from outlast.engine.engine import Engine
from outlast.engine.options import EngineOptions
from outlast.functions.options import declared_queues, schedules_of
from outlast.host.collector import collect_seldom
from outlast.sdk.definitions import WorkflowDefinition
from outlast.sdk.workflows import Workflow
from outlast.store.connections import Database
from outlast.store.instances import RecoveryLimits
from outlast.store.postgres import PostgresStore


class Functions:
    """See core.ports.Catalog."""

    def __init__(self, *workflows: Workflow[..., Any]) -> None:
        self._workflows = {each.definition.name: each.definition for each in workflows}

    def workflow(self, function: str) -> WorkflowDefinition | None:
        """See core.ports.Catalog."""
        return self._workflows.get(function)

    def version(self, function: str) -> str | None:
        """See core.ports.Catalog."""
        return "1"

    def name_of(self, definition: WorkflowDefinition) -> str | None:
        """See core.ports.Catalog."""
        return definition.name

    def of_version(self, function: str, version: str | None) -> WorkflowDefinition | None:
        return self.workflow(function)

    def workflow_names(self) -> Sequence[str]:
        """See core.ports.Catalog."""
        return list(self._workflows)

    def versions(self) -> dict[str, str]:
        """See Catalog."""
        return {name: str(self.version(name)) for name in self.workflow_names()}

    def message_queues(self) -> dict[str, list[str]]:
        """See core.ports.Catalog."""
        return {}

    def queues(self) -> Sequence[DeclaredQueue]:
        """See core.ports.Catalog."""
        return list(declared_queues(self._workflows).values())

    def schedules(self) -> Sequence[Declared]:
        """See core.ports.Catalog."""
        return schedules_of(self._workflows, {})

    def retentions(self) -> dict[str, float | None]:
        return {}

    def broken_files(self) -> Sequence[str]:
        """See core.ports.Catalog."""
        return ()


@contextlib.asynccontextmanager
async def engine_at(url: str, *workflows: Workflow[..., Any]) -> AsyncIterator[Engine]:
    """An engine that runs, with default options."""
    store = PostgresStore(Database.at(url, "benchmarks"), "alone", "0", 4, RecoveryLimits())
    engine = Engine("alone", store, Functions(*workflows), lambda _: None, EngineOptions())
    await engine.open()
    collect_seldom(loaded_stays=True)  # as `outlast serve` does
    yield engine
    await engine.close()
    await store.close()
