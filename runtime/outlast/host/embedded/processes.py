"""Starts the server's programs, and finds those that an earlier server left."""

from __future__ import annotations

# Loading pathlib would take a tenth of the supervisor's start.
# ruff: noqa: PTH109, PTH110, PTH116, PTH123, PTH208
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator

_HAS_PROC = sys.platform == "linux" and os.path.exists("/proc/self/cwd")
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", "HOME": "/"}


def become(uid: int, gid: int) -> None:
    """Give up root for good. Does nothing if the process already runs as `uid`."""
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
    """Run `program` as `user` (user and group id) in the folder open at `folder_fd`; return its process id.

    It inherits the standard streams and `lock_fd`, nothing else. On Linux it gets `death_signal` when the
    calling process ends in any way (prctl(2), PR_SET_PDEATHSIG).
    """
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        os.fchdir(folder_fd)
        os.set_inheritable(lock_fd, True)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        become(*user)
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() == parent:
            os.execve(program, [program, *arguments], _ENVIRONMENT)
    except OSError as error:
        os.write(2, f"{program} can't be run: {error.strerror}\n".encode("utf-8", "backslashreplace"))
    finally:
        os._exit(127)


def working_folder(folder_fd: int) -> str:
    """Return the folder's path, for a program that is started in it.

    On Linux this path needs no right to enter the folders above. So a server that root runs under its own
    user id works in a project under `/root`, and a long path or a renamed parent doesn't matter.
    """
    if _HAS_PROC:
        return "/proc/self/cwd"
    os.fchdir(folder_fd)
    try:
        return os.getcwd()
    finally:
        os.chdir("/")


def in_folder(folder_fd: int) -> list[int]:
    """The ids of processes whose working folder this is, if visible (Linux; empty elsewhere)."""
    wanted = _identity(folder_fd)
    return [process for process in _processes() if _identity(f"/proc/{process}/cwd") == wanted]


def has_open(process: int, fd: int) -> bool:
    """Whether a process has the file open that this process has open at `fd` (Linux; false elsewhere)."""
    wanted = _identity(fd)
    try:
        return any(
            _identity(f"/proc/{process}/fd/{name}") == wanted for name in os.listdir(f"/proc/{process}/fd")
        )
    except OSError:
        return False  # ended, or another user's


def name_of(process: int) -> str:
    """The program's name (Linux; empty elsewhere)."""
    try:
        with open(f"/proc/{process}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def send(process: int, number: signal.Signals) -> None:
    """Send a signal; a process that has ended, or belongs to another user, is skipped."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(process, number)


def _processes() -> Iterator[int]:
    if _HAS_PROC:
        me = str(os.getpid())
        yield from (int(name) for name in os.listdir("/proc") if name.isdecimal() and name != me)


def _identity(file: int | str) -> tuple[int, int] | None:
    try:
        seen = os.stat(file)
    except OSError:
        return None
    return seen.st_dev, seen.st_ino
