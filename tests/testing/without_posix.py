"""Run by test_windows.py in a process of its own: the kit, where only is what Windows has."""

from __future__ import annotations

import builtins
import os
import selectors
import signal
import socket
import sys
from typing import Any

# What libraries bring along is theirs: each knows how to do without on Windows.
import asyncio  # isort: skip
import concurrent.futures.thread  # isort: skip # noqa: F401
import subprocess  # isort: skip # noqa: F401
import anyio  # isort: skip # noqa: F401
import httpx  # isort: skip # noqa: F401
import jwt  # isort: skip # noqa: F401
import psycopg  # isort: skip # noqa: F401
import pydantic_settings  # isort: skip # noqa: F401
import pytest  # isort: skip # noqa: F401
import starlette.requests  # isort: skip # noqa: F401

MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty", "uvloop"}
ATTRIBUTES: dict[Any, tuple[str, ...]] = {
    os: (
        "chown", "fork", "forkpty", "getegid", "geteuid", "getgid", "getgroups", "getpgid", "getpgrp",
        "getsid", "getuid", "killpg", "mkfifo", "nice", "openpty", "pread", "pwrite",
        "register_at_fork", "setpgid", "setsid", "statvfs", "sysconf", "uname", "wait4",
    ),
    signal: (
        "SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP", "SIGUSR1", "SIGUSR2",
        "alarm", "pthread_kill", "pthread_sigmask", "setitimer", "sigwait",
    ),
    socket: ("recv_fds", "send_fds"),
    asyncio: ("open_unix_connection", "start_unix_server"),
}  # fmt: skip


def take_away() -> None:
    """From now on nothing of this is there."""
    for module, names in ATTRIBUTES.items():
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    selectors.DefaultSelector = selectors.SelectSelector  # type: ignore[misc, assignment]

    def refused(*_: object) -> None:
        raise NotImplementedError("not on Windows")

    asyncio.SelectorEventLoop.add_signal_handler = refused  # type: ignore[method-assign, assignment]
    real = builtins.__import__

    def imported(name: str, globals: Any = None, *rest: Any) -> Any:
        asks = (globals or {}).get("__name__", "")
        if name.partition(".")[0] in MODULES and asks.partition(".")[0] in ("outlast", "tests"):
            raise ModuleNotFoundError(f"No module named {name!r}, which {asks} imports")
        return real(name, globals, *rest)

    builtins.__import__ = imported  # type: ignore[assignment]

    def audited(event: str, args: Any) -> None:
        if event == "open" and str(args[0]).startswith(("/proc", "/sys", "/dev/shm")):
            raise FileNotFoundError(args[0])

    sys.addaudithook(audited)


def main() -> None:
    """All that a test may do without Postgres."""
    take_away()
    import outlast.testing.plugin  # noqa: F401
    from outlast.testing import Outlast
    from tests.testing import sound_on_windows as given

    kit = Outlast()
    assert kit.run(given.everything, "a").result == "a fortnight later, of a thread"
    answer = kit.call(given.everything, json={"text": "b"})
    assert answer.status == 202
    assert kit.finish(answer.run).result == "b fortnight later, of a thread"
    assert kit.as_user({"sub": "ada"}).call(given.told_over_http, json={"text": "x"}).json() == "x"
    assert kit.crash_everywhere(given.everything, "c").crashes > 5
    assert kit.crash_everywhere(given.plain, number=1).crashes > 2
    _ = kit.deterministic(given.over_a_set, n=2)
    _ = kit.explore(given.everything, "d", schedules=20, seed=1)
    _ = kit.cancel_everywhere(given.everything, "e")

    async def awaited() -> str:
        return str((await kit.run(given.talks)).result)

    assert asyncio.run(awaited()) == "hello over a socket"
    kit.close()
    sys.stdout.write("all of it")


if __name__ == "__main__":
    main()
