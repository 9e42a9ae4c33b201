"""One image for all its tests, built in a minute, and a Postgres that its hosts reach over TCP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.crash.proxy import Proxy
from tests.image.building import Builder, missing
from tests.image.containers import Container, Served


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """The image, built and mounted."""
    if (reason := missing()) is not None:
        pytest.skip(reason)
    builder = Builder(tmp_path_factory.mktemp("image"))
    try:
        builder.build()
        yield Container(builder.mount(), builder.config())
    finally:
        builder.close()


@pytest.fixture
def address(empty_database: str) -> Iterator[str]:
    """An empty database by an address that a container can reach."""
    parts = conninfo_to_dict(empty_database)
    proxy = Proxy(f"{parts['host']}/.s.PGSQL.{parts.get('port') or 5432}")
    try:
        yield f"postgresql://{parts['user']}@127.0.0.1:{proxy.port}/{parts['dbname']}?sslmode=disable"
    finally:
        proxy.close()


@pytest.fixture
def started(image: Container, tmp_path: Path) -> Iterator[list[Served]]:
    """The hosts of one test; all are gone after it."""
    hosts: list[Served] = []
    yield hosts
    for host in hosts:
        host.close()
        print(f"--- {host.log.name}\n{host.said()}")  # noqa: T201 - captured
