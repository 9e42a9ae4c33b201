"""Functions with several versions and names: which file serves which name, and which clash."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from outlast.functions.folder import show_path
from outlast.functions.routes import FunctionFile, list_served
from outlast.functions.serving import home_of
from outlast.sdk.definitions import WorkflowDefinition


class Named(NamedTuple):
    """A workflow, and the name under which a file serves it."""

    name: str
    workflow: WorkflowDefinition
    file: FunctionFile

    def place(self, root: Path) -> str:
        """File and line of its function."""
        code = self.workflow.fn.__code__
        path = Path(code.co_filename)
        shown = show_path(root, path) if path.is_relative_to(root) else str(self.file.path)
        return f"{shown}:{code.co_firstlineno}"


def place_versions(files: Iterable[FunctionFile]) -> list[FunctionFile]:
    """The files, each with the name at which it serves.

    If it declares a version, that is its function's name.
    """
    files = list(files)
    homes = {each.served_as for each in files if each.error is None}
    strays: dict[str, list[FunctionFile]] = {}
    for file in files:
        if (name := _own_name(file)) is not None and _has_no_home(file, files):
            strays.setdefault(name, []).append(file)
    joined = {
        file.name: name for name, found in strays.items() for file in found if name in homes or len(found) > 1
    }
    placed = [_served_as(each, joined[each.name]) if each.name in joined else each for each in files]
    return [_with_advice(each) if _is_moved(each, files) else each for each in placed]


def _is_moved(file: FunctionFile, files: Iterable[FunctionFile]) -> bool:
    """Whether a file serves at another name than its own only because its name ends in a version."""
    if file.served_as == file.name or file.served_as != home_of(file.name):
        return False
    if any(each.served_as == file.served_as for each in files if each.name != file.name):
        return False
    return file.offer.main is None or file.offer.main.name != file.served_as.replace("-", "_")


def _with_advice(file: FunctionFile) -> FunctionFile:
    advice = (
        f"it is served as {file.served_as}, since it has versions and its name ends in one; "
        f'aliases=["{file.name}"] keeps the name that it had without them'
    )
    return replace(file, offer=replace(file.offer, advice=(*file.offer.advice, advice)))


def _own_name(file: FunctionFile) -> str | None:
    """The name of its only function, if that declares a version and has another name than the file."""
    main = file.offer.main
    if not isinstance(main, WorkflowDefinition) or main.version is None or file.offer.others:
        return None
    return None if main.name == file.served_as.replace("-", "_") else main.name


def _has_no_home(file: FunctionFile, files: Iterable[FunctionFile]) -> bool:
    """Whether the names of files don't tell which function it is a version of."""
    return file.served_as == file.name and not any(
        each.served_as == file.name for each in files if each is not file
    )


def _served_as(file: FunctionFile, name: str) -> FunctionFile:
    """A file that serves under the name of its function."""
    advice = (
        f"it is served as {name}, beside its other versions; call the file {name}_v{file.offer.number}.py, "
        "so that this stays so when the others go"
    )
    offer = replace(file.offer, advice=(*file.offer.advice, advice))
    return replace(file, offer=offer, served=list_served(name, offer), served_as=name)


def refuse_clashes(files: Iterable[FunctionFile], root: Path) -> list[FunctionFile]:
    """The files.

    A file is broken if it serves a version, a name or a former name that an earlier file serves.
    """
    seen = _Seen(root)
    checked = []
    for file in files:
        error = file.error or seen.clash(file)
        checked.append(file if error == file.error else replace(file, error=error, served={}))
        if error is None:
            seen.add(file)
    # An alias may clash with what a later file serves. Then the file with the alias is broken.
    return [_refuse_alias(each, seen) for each in checked]


class _Seen:
    """What earlier files serve."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._workflows: dict[str, dict[int, Named]] = {}
        self._others: dict[str, FunctionFile] = {}
        self._aliases: dict[str, Named] = {}

    def add(self, file: FunctionFile) -> None:
        """It is served."""
        for each in named(file):
            self._workflows.setdefault(each.name, {})[each.workflow.number] = each
            for alias in each.workflow.aliases:
                self._aliases.setdefault(alias, each)
        for name, served in file.served.items():
            if not isinstance(served, WorkflowDefinition):
                self._others[name] = file

    def clash(self, file: FunctionFile) -> str | None:
        """Why a file can't be served beside the others."""
        for each in named(file):
            if (found := self._why_not_beside(each)) is not None:
                return found
        for name, served in file.served.items():
            other = self._others.get(name) or next(
                (each.file for each in self._workflows.get(name, {}).values()), None
            )
            if other is not None and not isinstance(served, WorkflowDefinition):
                return self._both(self._path(file), name, self._path(other), "take it out of one of them")
        return None

    def _why_not_beside(self, each: Named) -> str | None:
        where = each.place(self._root)
        beside = self._workflows.get(each.name, {})
        # guard: two-of-one-version
        if (other := beside.get(each.workflow.number)) is not None:
            what = f"version {each.workflow.number} of {each.name}"
            remedy = "give one of them another version: @workflow(version=…), or take it away"
            return self._both(where, what, other.place(self._root), remedy)
        if (file := self._others.get(each.name)) is not None:
            return self._both(where, each.name, self._path(file), "take it out of one of them")
        for other in beside.values():
            if other.workflow.aliases != each.workflow.aliases:
                there = other.place(self._root)
                return f"{where}: {each.name} has other aliases at {there}: write the same list in both"
        for alias in each.workflow.aliases:
            taken = self._aliases.get(alias)
            if taken is not None and taken.name != each.name:
                remedy = "a former name is that of one function: take it out of one of them"
                return self._both(where, f"the alias {alias!r}", taken.place(self._root), remedy)
        return None

    def meets(self, each: Named) -> str | None:
        """The function that has a name which this one declares as a former name."""
        for alias in each.workflow.aliases:
            taken = next(iter(self._workflows.get(alias, {}).values()), None)
            place = taken.place(self._root) if taken is not None else None
            if place is None and alias in self._others:
                place = self._path(self._others[alias])
            # guard: alias-of-another-function
            if place is not None:
                what = f"the alias {alias!r} of {each.name} is the name of a function, at {place}"
                return f"{each.place(self._root)}: {what}: take the alias away, or rename that function"
        return None

    def _both(self, where: str, what: str, other: str, remedy: str) -> str:
        return f"{where}: {other} has {what} too: {remedy}"

    def _path(self, file: FunctionFile) -> str:
        return show_path(self._root, file.path)


def _refuse_alias(file: FunctionFile, seen: _Seen) -> FunctionFile:
    if file.error is not None:
        return file
    error = next((text for each in named(file) if (text := seen.meets(each)) is not None), None)
    return file if error is None else replace(file, error=error, served={})


def named(file: FunctionFile) -> list[Named]:
    """All workflows of a file that can be served, of every version, with their names."""
    if file.error is not None or not file.enabled:
        return []
    return [Named(name, workflow, file) for name, workflow in file.named_workflows()]


def hide_superseded(files: Mapping[str, FunctionFile]) -> dict[str, FunctionFile]:
    """The files by name. For a function with versions, only the file with the highest one is shown."""
    highest: dict[str, int] = {}
    for file in files.values():
        for each in named(file):
            highest[each.name] = max(each.workflow.number, highest.get(each.name, 0))
    return {name: _without_superseded(file, highest) for name, file in files.items()}


def _without_superseded(file: FunctionFile, highest: Mapping[str, int]) -> FunctionFile:
    served = {
        name: each
        for name, each in file.served.items()
        if not isinstance(each, WorkflowDefinition) or each.number == highest.get(name, each.number)
    }
    return file if len(served) == len(file.served) else replace(file, served=served)
