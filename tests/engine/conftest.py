"""Where a test's rows are: in memory and in virtual time, or in Postgres, where it is marked `postgres`.

What the engine does shows in either; SQL, sessions, transactions and what Postgres refuses only there. With
`ENGINE_TESTS_ON=postgres` in the environment all of them run there.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping

import pytest

from outlast.testing.clock import given_time
from tests.databases import TEMPLATE, new_database
from tests.engine.memory import Memory, VirtualTime

NEEDS_POSTGRES = {"postgres", "empty_database", "supabase_database"}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Time jumps where rows are in memory."""
    return {"loop": VirtualTime.new_loop if _is_in_memory(item) else asyncio.new_event_loop}


@pytest.fixture
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """See tests/conftest.py: here a database in memory, unless the test is marked `postgres`."""
    if not _is_in_memory(request.node):
        with new_database(request.getfixturevalue("postgres"), TEMPLATE) as url:
            yield url
        return
    with given_time(VirtualTime.monotonic, 0):
        if hasattr(request.module, "monotonic"):  # else the test would compare with another clock
            monkeypatch.setattr(request.module, "monotonic", VirtualTime.monotonic)
        yield Memory()


def _is_in_memory(item: pytest.Item) -> bool:
    fixtures = set(getattr(item, "fixturenames", ()))
    return (
        "database" in fixtures
        and not fixtures & NEEDS_POSTGRES
        and item.get_closest_marker("postgres") is None
        and os.environ.get("ENGINE_TESTS_ON") != "postgres"
    )
