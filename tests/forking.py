"""The process that commands of tests are forked from (see `tests/forked.py`); its argument is its socket."""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import os
import select
import socket
import sys
from typing import Any, TextIO

LOADED = (
    "outlast.__main__", "outlast.cli.check", "outlast.cli.db", "outlast.cli.doctor", "outlast.cli.invoke",
    "outlast.cli.listing", "outlast.cli.main", "outlast.cli.remote", "outlast.cli.serve",
    "outlast.cli.tables", "outlast.cli.workflows", "outlast.host.exits", "outlast.host.instance",
    "outlast.host.serve", "outlast.host.server", "outlast.observe.listeners", "outlast.observe.log",
    "outlast.store.address",
)  # fmt: skip
_REQUEST_BYTES = 256 * 1024


def main() -> None:
    """Fork for each request, and tell how each child ended. Returns in children, ready to run the command."""
    gc.disable()
    for module in LOADED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # a child that looked through it would copy it
    asking = socket.socket(fileno=int(sys.argv[1]))
    running: dict[int, tuple[int, socket.socket]] = {}
    poll = select.poll()
    poll.register(asking, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd in running:
                poll.unregister(fd)
                pid, told = running.pop(fd)
                _tell(told, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                told.close()
                os.close(fd)
                continue
            request, fds, _, _ = socket.recv_fds(asking, _REQUEST_BYTES, 4)
            if not request:
                os._exit(0)
            pid = os.fork()
            if pid == 0:
                _become(json.loads(request), *fds[1:])
                return
            told = socket.socket(fileno=fds[0])
            for stream in fds[1:]:
                os.close(stream)
            _tell(told, pid)
            ending = os.pidfd_open(pid)
            running[ending] = pid, told
            poll.register(ending, select.POLLIN)


def _tell(told: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # nobody waits for it any more
        told.send(str(number).encode())


def _become(asked: dict[str, Any], *streams: int) -> None:
    """Be as the command is that was started itself."""
    os.setsid()
    for to, stream in enumerate(streams):
        os.dup2(stream, to)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    for name, fd in ("stdin", 0), ("stdout", 1), ("stderr", 2):
        setattr(sys, name, _as_python_opens(fd, getattr(sys, name)))
    sys.path[0] = asked["cwd"]
    sys.argv[1:] = asked["arguments"]
    sys.orig_argv[1:] = ["-m", "outlast", *asked["arguments"]]


def _as_python_opens(fd: int, before: TextIO) -> TextIO:
    """The stream of this descriptor, as of a process that has started with it."""
    at_once = "PYTHONUNBUFFERED" in os.environ
    return io.TextIOWrapper(
        open(fd, "wb" if fd else "rb", -1 if fd == 0 or not at_once else 0, closefd=False),
        before.encoding,
        before.errors,
        None if fd == 0 else "\n",
        line_buffering=fd == 2 or os.isatty(fd),
        write_through=at_once,
    )


if __name__ == "__main__":
    main()
    from outlast.__main__ import main as run

    sys.exit(run())
