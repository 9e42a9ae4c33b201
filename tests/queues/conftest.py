"""A database with Supabase Queues: pgmq's own SQL, loaded as it says where there is no extension."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.databases import SUPABASE_TEMPLATE, make_template, new_database
from tests.hosts import Hosts

FUNCTIONS = Path(__file__).parent / "functions"
PGMQ = Path(__file__).parents[2] / "build" / "pgmq" / "pgmq" / "sql" / "pgmq.sql"


TEMPLATE = "queue_template"


@pytest.fixture
def queue_database(postgres: str) -> Iterator[str]:
    """The URL of a database like Supabase's, with pgmq and a queue named `orders`."""
    if not PGMQ.exists():
        pytest.skip("SKIPPED LOUDLY: pgmq is not here (tests/queues/setup gets it)")
    make_template(postgres, TEMPLATE, _with_queues, SUPABASE_TEMPLATE)
    with new_database(postgres, TEMPLATE) as url:
        yield url


def _with_queues(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(PGMQ.read_bytes())
        connection.execute("select pgmq.create('orders')")


@pytest.fixture
def hosts(tmp_path: Path, queue_database: str) -> Iterator[Hosts]:
    """Hosts on it."""
    hosts = Hosts(tmp_path, FUNCTIONS, queue_database)
    yield hosts
    hosts.close()
