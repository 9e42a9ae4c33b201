"""The functions of a project: found, imported, served by name, and replaced when their files change."""

from __future__ import annotations

import linecache
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from outlast.core import observations, ports
from outlast.core.observations import Observer
from outlast.core.records import DeclaredQueue
from outlast.core.schedules import Declared as DeclaredSchedule
from outlast.core.versions import FIRST, number_of
from outlast.functions.declared import Declare, declare_nothing
from outlast.functions.edition import Edition, make_edition
from outlast.functions.folder import Reader
from outlast.functions.modules import Shelf
from outlast.functions.options import declared_retentions, visible_steps
from outlast.functions.patience import IMPORT_S_MAX
from outlast.functions.routes import FunctionBroken, FunctionFile, FunctionMissing, Target
from outlast.functions.serving import ASGIApp, Served
from outlast.sdk.definitions import WorkflowDefinition

__all__ = ["ASGIApp", "Catalog", "FunctionBroken", "FunctionFile", "FunctionMissing", "Served", "Target"]


class Catalog(ports.Catalog):
    """The catalog of one folder.

    Lookups read one immutable edition of the folder. `prepare` makes the next edition in any thread, `adopt`
    puts it into effect; `load` and `reload` do both. A file that can't be imported any more is broken, as
    under `supabase functions serve`: serving its old code would hide the fault. Workflows that already run in
    the old version go on in it.
    """

    def __init__(
        self,
        folder: Path,
        observe: Observer,
        import_s_max: float = IMPORT_S_MAX,
        declare: Declare = declare_nothing,
    ) -> None:
        """`import_s_max`: how long the import of one file may take at the start.

        `declare` is called at each look, and returns what is declared of functions outside their files.
        """
        self.folder = folder.resolve()
        self.observe = observe
        self._edition = self._newest = Edition(0)
        self._declare = declare
        self._reader = Reader(self.folder)
        self._shelf = Shelf(self.folder, import_s_max)
        self._names: WeakKeyDictionary[Callable[..., Any], str] = WeakKeyDictionary()

    def load(self) -> None:
        """Find and import everything. Raises UsageError if the folder can't be read; never for a bad file."""
        self.reload()

    def reload(self, changed: set[Path] | None = None) -> None:
        """Make what is served agree with the files. If `changed` is None all are read again.

        Raises UsageError if the folder can't be read; then nothing changes.
        """
        self.adopt(self.prepare(changed))

    def prepare(self, changed: set[Path] | None = None) -> Edition:
        """Read and import what changed, without serving it yet. Takes as long as the files' own imports.

        Files that failed before are tried again, unless `changed` is empty and nothing looks changed.
        """
        with self._shelf.lock:
            newest = self._newest
            folder = self._reader.read(changed, self._declare())
            same = (folder.stamp, folder.declarations) == (newest.stamp, newest.declarations)
            if changed is None or changed or not same:
                self._newest = make_edition(folder, self._newest, self._shelf)
            return self._newest

    def redeclared(self) -> bool:
        """Whether other things are declared of functions than when they were last prepared."""
        return self._declare() != self._newest.declarations

    def adopt(self, edition: Edition) -> None:
        """Serve `edition` from now on, unless a newer one is served already. Reports what changed."""
        former = self._edition
        if edition.number <= former.number:
            return
        for file in edition.files.values():
            for served_as, workflow in file.named_workflows():
                self._names[workflow.fn] = served_as
        self._edition = edition
        for name, node in former.nodes.items():
            if edition.nodes.get(name) is not node:
                linecache.cache.pop(str(node.source.path), None)
        self._tell(former, edition)

    def resolve(self, path: str) -> Target:
        """The target of `path` (the part after `/functions/v1/`).

        Raises FunctionMissing and FunctionBroken.
        """
        return self._edition.routes.resolve(path)

    def files(self) -> list[FunctionFile]:
        """All function files, broken ones too, by name."""
        return list(self._edition.files.values())

    def workflow(self, function: str) -> WorkflowDefinition | None:
        """The workflow of this name, also a private one (`checkout/_ship`)."""
        return self._edition.routes.workflows.get(function)

    def of_version(self, function: str, version: str | None) -> WorkflowDefinition | None:
        """The code for a workflow of this name with this version in its row; None if that isn't served.

        Without a version it is the newest code. A row with the digest of a file began before the function
        declared versions.
        """
        numbered = self._edition.routes.numbered.get(function)
        number = number_of(version)
        if numbered is None:
            return self.workflow(function) if number in (None, FIRST) else None
        # guard: open-ones-take-the-newest = numbered[max(numbered)]
        return numbered[max(numbered)] if version is None else numbered.get(number or FIRST)

    def visible_steps(self, function: str) -> frozenset[str] | None:
        """The steps whose outputs users see; None for all.

        No step is visible if the function isn't served now.
        """
        routes = self._edition.routes
        definition = routes.workflows.get(function)
        if definition is None:
            return frozenset()
        return visible_steps(*routes.numbered.get(function, {definition.number: definition}).values())

    def version(self, function: str) -> str | None:
        return self._edition.routes.versions.get(function)

    def verify_jwt(self, function: str) -> bool | None:
        """Whether the gateway checks calls of this file's functions; None if nothing is declared."""
        declared = self._edition.declarations.functions.get(function)
        return None if declared is None else declared.verify_jwt

    def name_of(self, definition: Any) -> str | None:
        """The name under which a workflow runs; of a superseded version, too, while a workflow runs in it."""
        return self._names.get(definition.fn)

    def workflow_names(self) -> list[str]:
        return list(self._edition.routes.workflows)

    def all_workflows(self) -> list[tuple[str, WorkflowDefinition]]:
        """All workflows that can run, of every version, with their names."""
        return [each for file in self.files() if file.error is None for each in file.named_workflows()]

    def versions(self) -> dict[str, str]:
        return self._edition.routes.workflow_versions

    def message_queues(self) -> dict[str, list[str]]:
        return self._edition.routes.message_queues

    def queues(self) -> list[DeclaredQueue]:
        return list(self._edition.routes.queues.values())

    def schedules(self) -> list[DeclaredSchedule]:
        return self._edition.routes.schedules

    def retentions(self) -> dict[str, float | None]:
        return declared_retentions(self._edition.routes.workflows)

    def broken_files(self) -> list[str]:
        return [name for name, file in self._edition.files.items() if file.error is not None]

    def _tell(self, former: Edition, edition: Edition) -> None:
        for path, remedy in edition.misnamed.items():
            if path not in former.misnamed:
                self.observe(observations.FunctionBroken(path, remedy))
        for name, file in edition.files.items():
            before = former.files.get(name)
            if before is not None and _are_alike(before, file):
                continue
            if not file.enabled:
                self.observe(observations.FunctionDisabled(name))
            elif file.error is not None:
                self.observe(observations.FunctionBroken(name, file.error))
            else:
                self.observe(observations.FunctionLoaded(name, file.version, reloaded=before is not None))
                for advice in file.offer.advice:
                    self.observe(observations.FunctionDoubtful(name, advice))


def _are_alike(one: FunctionFile, other: FunctionFile) -> bool:
    """Whether nothing changed that must be reported. Environments are the same object until they change."""
    return (one.version, one.error, one.enabled) == (other.version, other.error, other.enabled) and (
        one.environment is other.environment
    )
