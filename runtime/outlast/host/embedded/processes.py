"""Start the server's programs, and find those that are left over from an earlier one."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None

_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", "HOME": "/"}


def become(uid: int, gid: int) -> None:
    """Give up root for good. Does nothing for a process that is `uid` already."""
    if os.geteuid() != uid:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)


def spawn(
    program: str,
    arguments: list[str],
    *,
    folder_fd: int,
    lock_fd: int,
    user: tuple[int, int],
    death_signal: signal.Signals,
) -> int:
    """Run `program` in the folder open at `folder_fd`; returns its process id.

    It inherits standard streams and `lock_fd`, nothing else. On Linux it gets `death_signal` when the
    calling process ends, however that ends. `user` is the pair of user and group id it runs as.
    """
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        os.fchdir(folder_fd)
        os.set_inheritable(lock_fd, True)
        for number in (signal.SIGPIPE, signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        become(*user)
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() == parent:
            os.execve(program, [program, *arguments], _ENVIRONMENT)
    except OSError as error:
        os.write(2, f"{program} can't be run: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def here(folder_fd: int) -> str:
    """A path of the folder that a program started in it can use, even where its parents are closed to it."""
    if os.path.exists("/proc/self/cwd"):
        return "/proc/self/cwd"
    return os.readlink(f"/dev/fd/{folder_fd}") if sys.platform == "linux" else _path_of(folder_fd)


def _path_of(folder_fd: int) -> str:
    before = os.open(".", os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fchdir(folder_fd)
        return os.getcwd()
    finally:
        os.fchdir(before)
        os.close(before)


def running_in(folder_fd: int) -> list[int]:
    """Process ids of the Postgres processes whose working folder this is (Linux; empty elsewhere)."""
    wanted = os.fstat(folder_fd)
    return [
        process
        for process in _all_processes()
        if _name_of(process) == "postgres" and _folder_of(process) == (wanted.st_dev, wanted.st_ino)
    ]


def kill(process: int, number: signal.Signals) -> None:
    """Send a signal; a process that is gone, or isn't ours, is left alone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(process, number)


def _all_processes() -> Iterator[int]:
    try:
        names = os.listdir("/proc")
    except OSError:
        return
    for name in names:
        if name.isdecimal():
            yield int(name)


def _name_of(process: int) -> str:
    try:
        with open(f"/proc/{process}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _folder_of(process: int) -> tuple[int, int] | None:
    try:
        seen = os.stat(f"/proc/{process}/cwd")
    except OSError:
        return None
    return seen.st_dev, seen.st_ino
