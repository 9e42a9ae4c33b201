"""A functions folder to write files into, and a catalog that reads it."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from outlast.core.observations import FunctionBroken, FunctionLoaded, Observation
from outlast.functions.catalog import Catalog, FunctionFile
from outlast.functions.declared import Declarations, Declared

WORKFLOW = """
    from outlast import workflow

    @workflow
    async def {name}():
        return {value!r}
"""


class Project:
    """A folder of functions under test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: list[Observation] = []
        self.said = Declarations(where=folder.parent / "supabase")
        self.catalog = Catalog(folder, self.seen.append, declare=lambda: self.said)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def workflow(self, file: str, name: str, value: object = "done") -> Path:
        return self.write(file, WORKFLOW.format(name=name, value=value))

    def declare(self, **functions: Declared) -> None:
        """Say this of functions from now on, and nothing of others."""
        self.said = replace(self.said, functions=functions)

    def load(self) -> Catalog:
        self.catalog.load()
        return self.catalog

    def file(self, name: str) -> FunctionFile:
        (found,) = [file for file in self.catalog.files() if file.name == name]
        return found

    def error(self, name: str) -> str:
        error = self.file(name).error
        assert error is not None, f"{name} is not broken"
        return error

    def served(self) -> dict[str, str]:
        """Every served name with the kind of what it stands for."""
        return {
            name: type(served).__name__
            for file in self.catalog.files()
            for name, served in file.served.items()
        }

    def loaded(self) -> list[str]:
        return [each.function for each in self.seen if isinstance(each, FunctionLoaded)]

    def broken(self) -> dict[str, str]:
        return {each.function: each.error for each in self.seen if isinstance(each, FunctionBroken)}

    async def call(self, name: str) -> object:
        definition = self.catalog.workflow(name)
        assert definition is not None, f"{name} is not served"
        return await definition.fn()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with project_in(tmp_path) as project:
        yield project


@contextmanager
def project_in(root: Path) -> Iterator[Project]:
    """A project with a folder of functions, whose modules are forgotten at the end."""
    folder = root / "functions"
    folder.mkdir()
    before = _modules()
    try:
        yield Project(folder)
    finally:
        for name in _modules():
            del sys.modules[name]
        sys.modules.update(before)


def _modules() -> dict[str, ModuleType]:
    """Those of functions, of this test's project or of others."""
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "functions"}
