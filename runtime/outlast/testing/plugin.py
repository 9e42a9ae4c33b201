"""The pytest plugin: the fixture `outlast`, and `async def` tests that ask for it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from outlast.testing.kit import Outlast


@pytest.fixture
def outlast() -> Iterator[Outlast]:
    """Workflows on the real engine, in virtual time: see docs/testing.md."""
    from outlast.testing.kit import Outlast

    kit = Outlast()
    try:
        yield kit
    finally:
        kit.close()


@pytest.hookimpl
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def` test that asks for `outlast`, where no other plugin does. pytest comes last."""
    test: Any = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test) or "outlast" not in pyfuncitem.fixturenames:
        return None
    if pyfuncitem.get_closest_marker("anyio") or pyfuncitem.get_closest_marker("asyncio"):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(test(**{each: pyfuncitem.funcargs[each] for each in names}))
    return True
