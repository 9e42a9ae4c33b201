"""The pytest plugin: the fixture `outlast`, and `async def` tests that ask for it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from outlast.testing.kit import Outlast

NAMES = frozenset({"outlast", "outlast_of_class", "outlast_of_module", "outlast_of_session"})


def _made() -> Iterator[Outlast]:
    from outlast.testing.kit import Outlast

    kit = Outlast()
    try:
        yield kit
    finally:
        kit.close()


@pytest.fixture
def outlast() -> Iterator[Outlast]:
    """Workflows on the real engine, in virtual time: see docs/testing.md."""
    yield from _made()


@pytest.fixture(scope="class")
def outlast_of_class() -> Iterator[Outlast]:
    """The same for all tests of a class."""
    yield from _made()


@pytest.fixture(scope="module")
def outlast_of_module() -> Iterator[Outlast]:
    """The same for all tests of a module."""
    yield from _made()


@pytest.fixture(scope="session")
def outlast_of_session() -> Iterator[Outlast]:
    """The same for all tests."""
    yield from _made()


@pytest.hookimpl
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def` test that asks for `outlast`, where no other plugin does. pytest comes last."""
    test: Any = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test) or not NAMES.intersection(pyfuncitem.fixturenames):
        return None
    if pyfuncitem.get_closest_marker("anyio") or pyfuncitem.get_closest_marker("asyncio"):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(test(**{each: pyfuncitem.funcargs[each] for each in names}))
    return True
