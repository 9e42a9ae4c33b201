"""Hosts on a database of the test's own, or on an embedded one of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.crash.deploys import Deploys
from tests.hosts import Host, Hosts
from tests.memory import confining

FUNCTIONS = Path(__file__).parent / "functions"
EFFECTS = "create table if not exists effects (id bigserial primary key, key text not null)"

Query = Callable[..., list[dict[str, Any]]]
Confine = Callable[[Host], None]


@pytest.fixture
def confine() -> Iterator[Confine]:
    """Give a host a memory limit of the kernel's, where cgroups can be made here."""
    with confining() as put:
        yield put


def query_on(url: str) -> Query:
    """What the database at `url` holds, seen over a connection of its own."""

    def query(text: str, *parameters: Any) -> list[dict[str, Any]]:
        with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(text.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    return query


@pytest.fixture
def query(database: str) -> Query:
    """What the test's database holds. The table that transactions fill is there."""
    query = query_on(database)
    query(EFFECTS)
    return query


@pytest.fixture
def hosts(tmp_path: Path, database: str, query: Query) -> Iterator[Hosts]:
    """Hosts on the test's database."""
    hosts = Hosts(tmp_path, FUNCTIONS, database)
    yield hosts
    hosts.close()


@pytest.fixture
def deploys(tmp_path: Path, database: str) -> Iterator[Deploys]:
    """Hosts of several codes on the test's database."""
    deploys = Deploys(tmp_path, database)
    yield deploys
    deploys.close()


@pytest.fixture
def embedded_hosts(tmp_path: Path) -> Iterator[Hosts]:
    """Hosts on the embedded database of one project folder."""
    hosts = Hosts(tmp_path, FUNCTIONS)
    yield hosts
    hosts.close()
