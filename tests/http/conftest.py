"""Hosts under test: one that most tests of a process share, others with settings of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.databases import new_database
from tests.http.harness import Served

OPEN = "--no-verify-jwt"
Start = Callable[..., Served]


@pytest.fixture(scope="session")
def host(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A host that asks nobody who they are. Its tests tell their calls apart by their keys."""
    with new_database(postgres) as url:
        served = Served(tmp_path_factory.mktemp("http"), url, OPEN)
        yield served
        served.close()


@pytest.fixture(scope="module")
def start_host(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts hosts with settings of their own, on a database of their own or a given one's."""
    started: list[Served] = []
    made = ExitStack()

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
            database = made.enter_context(new_database(postgres))
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
    made.close()
