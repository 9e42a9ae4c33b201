"""Where the tests' Postgres has its files: in memory where there is room.

Databases come and go by the thousand, 300 files each. On a disk that costs more than all else: ext4 takes
long to find a place for a new file, since it passes over what was deleted a moment ago.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MEMORY = Path("/dev/shm")
ROOM_BYTES = 2 * 1024**3
PREFIX = "outlast-tests-"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder, in memory where there is room and else on disk, which goes at the end of the block."""
    place = MEMORY if _has_room(MEMORY) else Path(tempfile.gettempdir())
    with _locked(place):
        _remove_abandoned(place)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        held = os.open(folder, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # what a server still holds there goes with the next run
        os.close(held)


def _has_room(place: Path) -> bool:
    return place.is_dir() and os.access(place, os.W_OK) and shutil.disk_usage(place).free >= ROOM_BYTES


def _remove_abandoned(place: Path) -> None:
    """Who was killed has left its folder behind, and holds it no more."""
    for folder in place.glob(PREFIX + "*"):
        with suppress(OSError), _locked(folder, fcntl.LOCK_NB):  # it may be another's, or gone
            shutil.rmtree(folder)


@contextmanager
def _locked(folder: Path, how: int = 0) -> Iterator[None]:
    fd = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | how)
        yield
    finally:
        os.close(fd)
