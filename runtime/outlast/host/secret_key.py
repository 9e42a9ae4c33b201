"""Secrets for a project that sets none: made at the first start on the embedded database, and kept.

The secret key gives access to everything; the JWT secret signs tokens of users, to try `auth="user"`.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from outlast.core.errors import OutlastError

FILE_NAME = "secret_key"
JWT_FILE_NAME = "jwt_secret"
_PREFIX = "sb_secret_"
_USABLE = re.compile(r"[!-~]{16,512}")
_FILE_BYTES_MAX = 4096


class SecretKeyError(OutlastError):
    """The kept key can't be used; the message is one line with the remedy."""

    code = "secret_key"


@dataclass(frozen=True, slots=True)
class SecretKey:
    """The key, and whether this call made it: only then it is shown."""

    value: str
    made: bool


def obtain_secret_key(home: Path) -> SecretKey:
    """The key kept in `home`, made if there is none. `home` must exist. Raises SecretKeyError.

    Processes that start at once agree on one key, and exactly one of them made it.
    """
    return _obtain(home, FILE_NAME, _PREFIX + secrets.token_urlsafe(24))


def obtain_jwt_secret(home: Path) -> str:
    """The secret that signs tokens on the embedded database, kept in the same way. Raises SecretKeyError."""
    return _obtain(home, JWT_FILE_NAME, secrets.token_urlsafe(48)).value


def read_secret_key(home: Path) -> str | None:
    """The key kept in `home`; None if there is none. Raises SecretKeyError."""
    return _read_kept(home / FILE_NAME)


def _obtain(home: Path, file: str, fresh: str) -> SecretKey:
    """The secret kept in `file`; if there is none, `fresh` is kept."""
    kept = _read_kept(home / file)
    if kept is not None:
        return SecretKey(kept, made=False)
    if _write_kept(home, file, fresh):
        return SecretKey(fresh, made=True)
    kept = _read_kept(home / file)
    if kept is None:
        raise SecretKeyError(f"{home / file} was removed while it was being made: start again")
    return SecretKey(kept, made=False)


def _read_kept(path: Path) -> str | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SecretKeyError(
            f"{path} can't be read ({error.strerror}): run as its owner, or set SUPABASE_SECRET_KEY"
        ) from error
    try:
        return _read(fd, path)
    finally:
        os.close(fd)


def _read(fd: int, path: Path) -> str:
    seen = os.fstat(fd)
    if not stat.S_ISREG(seen.st_mode):
        raise SecretKeyError(
            f"{path} is not a plain file: remove it, and a new key is made at the next start"
        )
    mode = stat.S_IMODE(seen.st_mode)
    if mode & 0o077:
        raise SecretKeyError(
            f"{path} can be read or changed by others (mode {mode:04o}): chmod 600 {path}, "
            "or remove it, and a new key is made at the next start"
        )
    text = os.read(fd, _FILE_BYTES_MAX).decode("ascii", "replace").strip()
    if _USABLE.fullmatch(text) is None:
        raise SecretKeyError(f"{path} holds no key: remove it, and a new one is made at the next start")
    return text


def _write_kept(home: Path, file: str, key: str) -> bool:
    """Write `key`, readable for its owner only; False if another process was first. The write is atomic."""
    path = home / file
    draft = home / f".{file}.{secrets.token_hex(8)}"
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            _give_to_owner_of(home, fd)
            os.write(fd, f"{key}\n".encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        try:
            os.link(draft, path)
        finally:
            draft.unlink()
    except FileExistsError:
        return False
    except OSError as error:
        raise SecretKeyError(
            f"{path} can't be made ({error.strerror}): make {home} writable, or set SUPABASE_SECRET_KEY"
        ) from error
    return True


def _give_to_owner_of(home: Path, fd: int) -> None:
    """Give a file that root makes in a user's project to that user."""
    if os.geteuid() == 0:
        owner = home.stat()
        if owner.st_uid != 0:
            os.fchown(fd, owner.st_uid, owner.st_gid)
