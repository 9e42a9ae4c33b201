"""Folders for the embedded Postgres to live in."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.embedded.hosts import remove_sockets, wait_for_end


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A `.outlast` folder to be; its server must have ended within seconds of the test."""
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
