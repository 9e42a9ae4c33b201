"""Many databases for one test."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from tests.databases import new_database


@pytest.fixture
def databases(postgres: str) -> Iterator[Callable[[], str]]:
    """Each call makes a new database with the current schema, and drops the one before."""
    with contextlib.ExitStack() as stack:

        def fresh() -> str:
            stack.close()
            return stack.enter_context(new_database(postgres))

        yield fresh
