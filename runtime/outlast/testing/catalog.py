"""The functions of a test: those that the test, or the code it runs, starts or calls."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from outlast.core.failures import globals_of
from outlast.core.ports import Catalog
from outlast.core.records import DeclaredQueue
from outlast.core.schedules import Declared
from outlast.core.versions import FIRST, number_of
from outlast.functions.folder import ROOT
from outlast.functions.options import declared_queues, declared_retentions, schedules_of, visible_steps
from outlast.functions.routes import FunctionFile, Routes, Target, list_served
from outlast.functions.serving import NothingServed, Offer, home_of, offer_of
from outlast.functions.versions import hide_superseded, place_versions
from outlast.sdk.definitions import HandlerDefinition, WorkflowDefinition

if TYPE_CHECKING:
    from outlast.host.config_toml import FunctionSettings

VERSION = "test"


class GivenCatalog(Catalog):
    """See functions.catalog.Catalog. A function is known from its first start or call on.

    A function in the project's folder of functions has the name that a host serves it under, and is the same
    object that the test imported. Others are served under their own names.
    """

    def __init__(self) -> None:
        self._workflows: dict[str, WorkflowDefinition] = {}
        self._numbered: dict[str, dict[int, WorkflowDefinition]] = {}
        self._names: dict[int, str] = {}
        self._ticking: dict[str, WorkflowDefinition] = {}
        self._files: dict[str, FunctionFile] = {}
        self._routes = Routes(())
        self.declared: Mapping[str, FunctionSettings] = {}
        """The settings of functions in `supabase/config.toml`."""

    def add(self, name: str, definition: WorkflowDefinition) -> None:
        """Serve it under a name that it already has, beside its other versions, and under former names."""
        self._names[id(definition)] = name
        for each in (name, *definition.aliases):
            versions = self._numbered.setdefault(each, {})
            if definition.version is None:
                versions.clear()
            versions[definition.number] = definition
            self._workflows[each] = versions[max(versions)]

    def workflow(self, function: str) -> WorkflowDefinition | None:
        return self._workflows.get(function)

    def of_version(self, function: str, version: str | None) -> WorkflowDefinition | None:
        versions = self._numbered.get(function, {})
        return self._workflows.get(function) if version is None else versions.get(number_of(version) or FIRST)

    def version(self, function: str) -> str:
        return VERSION

    def name_of(self, definition: WorkflowDefinition) -> str:
        """See Catalog. A number is added to the second workflow of a name."""
        if id(definition) not in self._names:
            self._serve_home_of(definition)
        name = self._names.get(id(definition))
        if name is None:
            self.add(name := self._free(definition), definition)
        return name

    def workflow_names(self) -> list[str]:
        return list(self._workflows)

    def versions(self) -> dict[str, str]:
        return {name: self.version(name) for name in self._workflows}

    def message_queues(self) -> dict[str, list[str]]:
        """See Catalog. None, since no test sends messages to Supabase Queues."""
        return {}

    def queues(self) -> list[DeclaredQueue]:
        named = {name: each for name, each in self._workflows.items() if name not in each.aliases}
        return list(declared_queues(named).values())

    def schedules(self) -> list[Declared]:
        """See Catalog: those whose ticks the test has turned on."""
        return schedules_of(self._ticking, dict.fromkeys(self._ticking, VERSION))

    def let_tick(self, definition: WorkflowDefinition) -> None:
        """Declare the schedules of a workflow."""
        self._ticking[self.name_of(definition)] = definition

    def retentions(self) -> dict[str, float | None]:
        return declared_retentions(self._workflows)

    def broken_files(self) -> list[str]:
        return []

    # --- over HTTP ----------------------------------------------------------------------------------------

    def path_of(self, definition: WorkflowDefinition | HandlerDefinition) -> str:
        """Serve a function from now on, and return its path after `/functions/v1/`."""
        self._serve_home_of(definition)
        for file in self._files.values():
            for path, served in file.served.items():
                if served is definition:
                    return path
        name = self.name_of(definition) if isinstance(definition, WorkflowDefinition) else definition.name
        self._serve(name, Offer(main=definition), Path(definition.fn.__code__.co_filename))
        return name

    def resolve(self, path: str) -> Target:
        """See Catalog. A file of the folder is imported when it is called."""
        self.serve_file(path.partition("/")[0])
        return self._routes.resolve(path)

    def files(self) -> list[FunctionFile]:
        return list(self._files.values())

    def verify_jwt(self, function: str) -> bool | None:
        declared = self.declared.get(function)
        return None if declared is None else declared.verify_jwt

    def visible_steps(self, function: str) -> frozenset[str] | None:
        definition = self.workflow(function)
        return frozenset() if definition is None else visible_steps(definition)

    def _serve_home_of(self, definition: WorkflowDefinition | HandlerDefinition) -> None:
        package, _, rest = definition.fn.__module__.partition(".")
        module = sys.modules.get(definition.fn.__module__)
        # If the file was reloaded since the test imported it, it has other objects.
        same = module is not None and vars(module) is globals_of(definition.fn)
        if package == ROOT and rest and same:
            self.serve_file(rest.partition(".")[0])

    def serve_file(self, name: str) -> None:
        """Serve the functions of that file of the folder, if it exists. Raises what its import raises."""
        if name in self._files or name.startswith("_") or (module := _import(name)) is None:
            return
        try:
            offer = offer_of(name, module)
        except NothingServed:
            return
        self._serve(name, offer, Path(module.__file__ or name))

    def _serve(self, name: str, offer: Offer, path: Path) -> None:
        at = home_of(name) if offer.has_versions else name
        file = FunctionFile(name, path, VERSION, None, list_served(at, offer), offer, served_as=at)
        self._files[name] = file
        placed = {each.name: each for each in place_versions(self._files.values())}
        self._files = hide_superseded(placed)
        self._routes = Routes(self._files.values())
        for function, definition in self._files[name].named_workflows():
            if id(definition) not in self._names:
                self.add(function, definition)

    def _free(self, definition: WorkflowDefinition) -> str:
        names = (f"{definition.name}{'' if number == 1 else f'-{number}'}" for number in count(1))
        return next(each for each in names if self._has_room(each, definition))

    def _has_room(self, name: str, definition: WorkflowDefinition) -> bool:
        """Whether only other versions of it are served under this name."""
        versions = self._numbered.get(name, {})
        declared = definition.version is not None and all(each.version for each in versions.values())
        return not versions or (declared and definition.number not in versions)


def _import(name: str) -> ModuleType | None:
    """Import a file of functions, or a folder's `index.py`; None if there is none."""
    for module in (f"{ROOT}.{name}", f"{ROOT}.{name}.index"):
        try:
            spec = find_spec(module)
        except (ImportError, ValueError):
            return None
        if spec is not None and spec.origin is not None:
            return import_module(module)
    return None
