"""A database with Supabase Queues: pgmq's own SQL, loaded as it says where there is no extension."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.hosts import Hosts

FUNCTIONS = Path(__file__).parent / "functions"
PGMQ = Path(__file__).parents[2] / "build" / "pgmq" / "pgmq" / "sql" / "pgmq.sql"


@pytest.fixture
def queue_database(supabase_database: str) -> str:
    """A database like Supabase's, with pgmq and a queue named `orders`."""
    if not PGMQ.exists():
        pytest.skip("SKIPPED LOUDLY: pgmq is not here (tests/queues/setup gets it)")
    with psycopg.connect(supabase_database, autocommit=True) as connection:
        connection.execute(PGMQ.read_bytes())
        connection.execute("select pgmq.create('orders')")
    return supabase_database


@pytest.fixture
def hosts(tmp_path: Path, queue_database: str) -> Iterator[Hosts]:
    """Hosts on it."""
    hosts = Hosts(tmp_path, FUNCTIONS, queue_database)
    yield hosts
    hosts.close()
