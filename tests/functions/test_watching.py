"""What is saved is served a moment later."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable

import pytest

from outlast.core.errors import UsageError
from outlast.core.observations import (
    FunctionBroken,
    FunctionDisabled,
    FunctionLoaded,
    LoopFailed,
    Observation,
)
from outlast.functions.catalog import Catalog
from outlast.functions.declared import Declarations, Declared
from outlast.functions.watching import FolderWatch
from tests.functions.conftest import Project

LONGEST_WAIT_S = 20.0


class Watched:
    """A project whose folder is being watched."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._arrived = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        project.catalog.observe = self._observe
        project.seen.clear()

    def _observe(self, observation: Observation) -> None:
        assert asyncio.get_running_loop() is self._loop  # swapped in on the loop
        self.project.seen.append(observation)
        self._arrived.set()

    async def until(self, fits: Callable[[Observation], bool]) -> None:
        async with asyncio.timeout(LONGEST_WAIT_S):
            while not any(fits(each) for each in self.project.seen):
                self._arrived.clear()
                await self._arrived.wait()
        self.project.seen.clear()

    async def loaded(self, name: str) -> None:
        await self.until(lambda each: isinstance(each, FunctionLoaded) and each.function == name)

    async def broken(self, name: str) -> None:
        await self.until(lambda each: isinstance(each, FunctionBroken) and each.function == name)


@contextlib.asynccontextmanager
async def watching(project: Project) -> AsyncIterator[None]:
    watch = FolderWatch(project.catalog)
    watch.loop.open()
    yield
    async with asyncio.timeout(LONGEST_WAIT_S):
        await watch.loop.close()


@pytest.fixture
async def watched(project: Project) -> AsyncIterator[Watched]:
    project.workflow("hello.py", "hello", 0)
    project.load()
    watched = Watched(project)
    async with watching(project):
        yield watched


async def test_saves_are_served(watched: Watched) -> None:
    project = watched.project
    for number in range(1, 4):
        project.workflow("hello.py", "hello", number)
        await watched.loaded("hello")
        assert await project.call("hello") == number


async def test_files_come_break_are_mended_and_go(watched: Watched) -> None:
    project = watched.project
    project.workflow("new/index.py", "new", 1)
    await watched.loaded("new")
    project.write("new/index.py", "1 / 0")
    await watched.broken("new")
    project.workflow("new/index.py", "new", 2)
    await watched.loaded("new")
    assert await project.call("new") == 2
    shutil.rmtree(project.folder / "new")
    project.workflow("hello.py", "hello", "last")
    await watched.loaded("hello")
    assert "new" not in project.catalog.workflow_names()


async def test_shared_modules_reload_their_dependants(watched: Watched) -> None:
    project = watched.project
    project.write("_shared/db.py", "value = 1")
    project.write(
        "main.py",
        "from outlast import workflow\nfrom _shared import db\n@workflow\nasync def main(): return db.value",
    )
    await watched.loaded("main")
    project.write("_shared/db.py", "value = 2")
    await watched.loaded("main")
    assert await project.call("main") == 2


async def test_the_loop_goes_on_while_a_slow_file_is_imported(watched: Watched) -> None:
    """The file waits for a sign that only the running loop can give."""
    project = watched.project
    begun, go = project.folder.parent / "begun", project.folder.parent / "go"
    project.write(
        "slow.py",
        f"""
        import pathlib, time
        from outlast import workflow
        pathlib.Path({str(begun)!r}).touch()
        while not pathlib.Path({str(go)!r}).exists():
            time.sleep(0.005)
        @workflow
        async def slow(): ...
        """,
    )
    async with asyncio.timeout(LONGEST_WAIT_S):
        while not begun.exists():
            await asyncio.sleep(0.005)
    assert await project.call("hello") == 0
    assert project.catalog.workflow("slow") is None
    go.touch()
    await watched.loaded("slow")


async def test_the_watch_outlives_the_folder(watched: Watched) -> None:
    project = watched.project
    shutil.move(project.folder, project.folder.parent / "aside")
    await watched.until(lambda each: isinstance(each, LoopFailed))
    assert await project.call("hello") == 0
    shutil.move(project.folder.parent / "aside", project.folder)
    project.workflow("hello.py", "hello", 1)
    await watched.loaded("hello")
    assert await project.call("hello") == 1


async def test_changes_from_before_the_watch_are_found(project: Project) -> None:
    project.workflow("hello.py", "hello", 0)
    project.load()
    project.workflow("hello.py", "hello", 1)
    watched = Watched(project)
    async with watching(project):
        await watched.loaded("hello")


async def test_what_is_said_elsewhere_is_followed(watched: Watched) -> None:
    """No file of the folder changes."""
    project = watched.project
    project.declare(hello=Declared(enabled=False))
    await watched.until(lambda each: isinstance(each, FunctionDisabled))
    assert "hello" not in project.catalog.workflow_names()
    project.declare(hello=Declared(environment={"X": "1"}))
    await watched.loaded("hello")
    assert project.catalog.resolve("hello").environment == {"X": "1"}


async def test_the_watch_outlives_what_cannot_be_read(project: Project) -> None:
    faults: list[Exception] = []

    def declare() -> Declarations:
        if faults:
            raise faults[0]
        return project.said

    project.catalog = Catalog(project.folder, project.seen.append, declare=declare)
    project.workflow("hello.py", "hello", 0)
    project.load()
    watched = Watched(project)
    async with watching(project):
        faults.append(UsageError("config.toml is not TOML"))
        await watched.until(lambda each: isinstance(each, LoopFailed) and "is not TOML" in each.error)
        assert await project.call("hello") == 0
        faults.clear()
        project.declare(hello=Declared(enabled=False))
        await watched.until(lambda each: isinstance(each, FunctionDisabled))


async def test_a_folder_that_is_not_there_yet_is_watched_once_it_is(project: Project) -> None:
    project.load()
    aside = project.folder.parent / "aside"
    shutil.move(project.folder, aside)
    watched = Watched(project)
    async with watching(project):
        await watched.until(lambda each: isinstance(each, LoopFailed))
        shutil.move(aside, project.folder)
        project.workflow("hello.py", "hello", 1)
        await watched.loaded("hello")
