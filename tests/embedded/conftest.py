"""Folders for the embedded Postgres to live in."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from outlast.host.embedded import EmbeddedPostgres
from tests.embedded.hosts import remove_sockets, wait_for_end


@pytest.fixture(scope="session")
def made_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database, to be copied: most tests are not about initdb."""
    home = tmp_path_factory.mktemp("made") / ".outlast"
    EmbeddedPostgres.start(home, durable=False).stop()
    return home


@pytest.fixture
def home(new_home: Path, made_before: Path) -> Path:
    """A `.outlast` folder that was used before."""
    subprocess.run(["cp", "-a", str(made_before), str(new_home)], check=True, timeout=30)
    return new_home


@pytest.fixture
def new_home(tmp_path: Path) -> Iterator[Path]:
    """A `.outlast` folder to be. Its server must have ended within seconds of the test."""
    home = tmp_path / ".outlast"
    yield home
    if (home / "postgres" / "server.lock").exists():
        wait_for_end(home)
        remove_sockets(home)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of the machine can enter, unlike tmp_path."""
    folder = Path(tempfile.mkdtemp(prefix="outlast-test-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
