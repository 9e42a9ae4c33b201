"""The short folder of the server's sockets, which no other user can have made before.

A socket's path may have about 100 bytes, and a project's path may have more. So the sockets are in
`/tmp/outlast-UID-DEVICE-INODE`, named after the identity of `HOME/postgres`: all users of that folder get the
same name, with any TMPDIR, and a copy of the folder gets another one. The folder is used only if it is a real
folder of the server's user with mode 0700. As `/tmp` is sticky, nobody can exchange it then.
"""

from __future__ import annotations

# Loading pathlib would take a tenth of the supervisor's start.
# ruff: noqa: PTH102, PTH116, PTH120
import os
import stat

CONTROL = "control"

_BASES = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - see _is_safe


def candidates(folder_fd: int, uid: int) -> list[str]:
    """The possible paths for the sockets of the folder open at `folder_fd`, best first. At most 65 bytes."""
    seen = os.fstat(folder_fd)
    return [f"{base}/outlast-{uid}-{seen.st_dev:x}-{seen.st_ino:x}" for base in _BASES]


def existing(folder_fd: int, uid: int) -> list[str]:
    """The candidates that exist and can't have been made by another user."""
    return [path for path in candidates(folder_fd, uid) if _is_ours(path, uid)]


def make(folder_fd: int, uid: int) -> str | None:
    """Make the folder as `uid`, in the first place that allows it; None if none does."""
    for path in candidates(folder_fd, uid):
        if not _is_safe(os.path.dirname(path), uid):
            continue
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            pass  # made before by this user, or by another: the next line tells
        except OSError:
            continue
        if _is_ours(path, uid):
            return path
    return None


def _is_ours(path: str, uid: int) -> bool:
    try:
        seen = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(seen.st_mode) and seen.st_uid == uid and seen.st_mode & 0o777 == 0o700


def _is_safe(base: str, uid: int) -> bool:
    """Whether only the owner and root can rename or remove what is made in `base`."""
    try:
        seen = os.stat(base)
    except OSError:
        return False
    shared = seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return seen.st_uid in (0, uid) and (not shared or bool(seen.st_mode & stat.S_ISVTX))
