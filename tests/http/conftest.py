"""Hosts under test: one that most tests of a process share, others with settings of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.conftest import TEMPLATE
from tests.http.harness import Served, drop_database, make_database

OPEN = "--no-verify-jwt"
Start = Callable[..., Served]


@pytest.fixture(scope="session")
def host(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A host that asks nobody who they are. Its tests tell their calls apart by their keys."""
    url = make_database(postgres, TEMPLATE)
    served = Served(tmp_path_factory.mktemp("http"), url, OPEN)
    yield served
    served.close()
    drop_database(postgres, url)


@pytest.fixture(scope="module")
def start_host(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts hosts with settings of their own, on a database of their own or a given one's."""
    started: list[Served] = []
    made: list[str] = []

    def start(
        *options: str,
        beside: Served | None = None,
        database: str | None = None,
        ready: bool = True,
        config: str = "",
        descriptors: int | None = None,
        **settings: object,
    ) -> Served:
        if beside is None and database is None:
            database = make_database(postgres, TEMPLATE)
            made.append(database)
        folder = tmp_path_factory.mktemp("http") if beside is None else beside.folder
        if config:
            (folder / "supabase").mkdir()
            (folder / "supabase" / "config.toml").write_text(config)
        url = database or (beside.database if beside else None)
        assert url is not None
        served = Served(folder, url, *(options or (OPEN,)), ready=ready, descriptors=descriptors, **settings)
        started.append(served)
        return served

    yield start
    for served in started:
        served.close()
    for url in made:
        drop_database(postgres, url)
