"""What all tests share: one Postgres for the session, one database for each test that asks."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

from outlast.host.embedded import EmbeddedPostgres
from tests import forked
from tests.databases import (
    EMPTY,
    SUPABASE_TEMPLATE,
    TEMPLATE,
    administering,
    make_templates,
    neighbour,
    new_database,
)
from tests.scratch import scratch_folder

# How fast an example is, or is made, says nothing on a machine that does other things too.
settings.register_profile("outlast", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("outlast")


_scratch = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """One process makes the folder of the Postgres that all share, and removes it when they have ended."""
    given = getattr(config, "workerinput", {}).get("scratch")
    if given is not None:
        config.stash[_scratch] = Path(given)
    else:
        scratch = ExitStack()
        config.stash[_scratch] = scratch.enter_context(scratch_folder())
        config.add_cleanup(scratch.close)
    config.add_cleanup(forked.close)
    # One for each process: Hypothesis removes a folder from under another process that writes there.
    home = config.stash[_scratch] / f"hypothesis-{os.getpid()}"
    set_hypothesis_home_dir(home)
    # What it has read out of the sources stays: to parse all of them takes each process two seconds.
    kept = config.rootpath / ".hypothesis" / "constants"
    with suppress(OSError):  # of a checkout that may not be written to
        kept.mkdir(parents=True, exist_ok=True)
        home.mkdir()
        (home / "constants").symlink_to(kept)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """All that is collected stays: the collector looks neither for garbage meanwhile nor through it later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two for each processor: tests wait half of their time, for hosts that start and for what is due."""
    return 2 * (os.cpu_count() or 1)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a test process of pytest-xdist."""
    node.workerinput["scratch"] = str(node.config.stash[_scratch])


@pytest.fixture(autouse=True, scope="module")
def frozen_heap() -> None:
    """Tests of many schedules collect often: what other files left is looked through once, no more."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a Postgres shared by all test processes, with the template databases."""
    with EmbeddedPostgres.start(request.config.stash[_scratch], durable=False) as server:
        make_templates(server.url)
        with administering(server.url), neighbour(server.url):
            yield server.url


@pytest.fixture
def empty_database(postgres: str) -> Iterator[str]:
    """The URL of a new empty database."""
    with new_database(postgres, EMPTY) as url:
        yield url


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
    """The URL of a new database with the current schema."""
    with new_database(postgres, TEMPLATE) as url:
        yield url


@pytest.fixture
def supabase_database(postgres: str) -> Iterator[str]:
    """The URL of a new database with Supabase's roles and `auth` schema, and the current schema."""
    with new_database(postgres, SUPABASE_TEMPLATE) as url:
        yield url
