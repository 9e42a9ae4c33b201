"""The pytest plugin: the fixture `outlast`, and `async def` tests that ask for it."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from outlast.testing.kit import Outlast

NAMES = frozenset({"outlast", "outlast_of_class", "outlast_of_module", "outlast_of_session"})


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--outlast-pg`."""
    parser.getgroup("outlast").addoption(
        "--outlast-pg",
        action="store_true",
        help="run transactions on an embedded Postgres, each test on a database of its own",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Add the marker for the same, and import function files as the host does, as `functions.NAME`."""
    config.addinivalue_line("markers", "outlast_pg: transactions of this test run on an embedded Postgres")
    project = _project(config)
    homes = (each for each in (project, project / "supabase") if (each / "functions").is_dir())
    if (home := next(homes, None)) is not None and str(home) not in sys.path:
        sys.path.append(str(home))


def _project(config: pytest.Config) -> Path:
    """The folder that holds `functions` and `supabase`, even if pytest runs in one of them."""
    root = config.rootpath
    root = root.parent if root.name == "functions" else root
    return root.parent if root.name == "supabase" and not (root / "supabase").is_dir() else root


@pytest.fixture(scope="session")
def outlast_postgres(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[str]:
    """The URL of the embedded Postgres of `--outlast-pg`, with the project's `supabase/` applied."""
    from outlast.testing.postgres import server

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if hasattr(pytestconfig, "workerinput") else base
    with server(shared, _project(pytestconfig) / "supabase") as url:
        yield url


def _make_outlast(request: pytest.FixtureRequest) -> Iterator[Outlast]:
    from outlast.testing.kit import Outlast

    databases = None
    marked = request.scope == "function" and request.node.get_closest_marker("outlast_pg") is not None
    if marked or request.config.getoption("outlast_pg"):
        from outlast.testing.postgres import Databases

        databases = Databases(request.getfixturevalue("outlast_postgres"))
    kit = Outlast(databases=databases)
    try:
        yield kit
    finally:
        kit.close()
        for report in kit.reports:  # shown if the test failed, and by -rA
            request.node.add_report_section("call", "outlast", str(report))


@pytest.fixture
def outlast(request: pytest.FixtureRequest) -> Iterator[Outlast]:
    """Workflows on the real engine, in virtual time: see docs/testing.md."""
    yield from _make_outlast(request)


@pytest.fixture(scope="class")
def outlast_of_class(request: pytest.FixtureRequest) -> Iterator[Outlast]:
    """The same for all tests of a class."""
    yield from _make_outlast(request)


@pytest.fixture(scope="module")
def outlast_of_module(request: pytest.FixtureRequest) -> Iterator[Outlast]:
    """The same for all tests of a module."""
    yield from _make_outlast(request)


@pytest.fixture(scope="session")
def outlast_of_session(request: pytest.FixtureRequest) -> Iterator[Outlast]:
    """The same for all tests."""
    yield from _make_outlast(request)


@pytest.hookimpl
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def` test that uses `outlast`, if no other plugin does. pytest comes last."""
    test: Any = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test) or not NAMES.intersection(pyfuncitem.fixturenames):
        return None
    if pyfuncitem.get_closest_marker("anyio") or pyfuncitem.get_closest_marker("asyncio"):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(test(**{each: pyfuncitem.funcargs[each] for each in names}))
    return True
