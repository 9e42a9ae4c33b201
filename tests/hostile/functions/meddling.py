"""Functions that change what belongs to all."""

import asyncio
import builtins
import gc
import json
import logging
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from outlast import step, workflow

_opened: list[int] = []


@step
async def one() -> int:
    return 1


@workflow
async def builtin() -> int:
    """Patches what others call."""
    builtins.print = lambda *_: 1 / 0  # type: ignore[assignment]
    return await one()


@workflow
async def modules() -> int:
    json.dumps = json.loads = None  # type: ignore[assignment]
    logging.disable(logging.CRITICAL)
    logging.getLogger().handlers.clear()
    gc.disable()
    sys.setrecursionlimit(200)
    socket.setdefaulttimeout(0.001)
    return await one()


@workflow
async def prints(mb: int) -> int:
    for _ in range(mb):
        print("x" * 999_999)  # noqa: T201
    return await one()


@workflow
async def closes_output() -> int:
    sys.stdout.close()
    sys.stderr.close()
    return await one()


@workflow
async def signals() -> int:
    """Takes the host's signals away."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)
    return await one()


@workflow
async def forks() -> int:
    """Forks, and lets both go on."""
    parent = os.getpid()
    os.fork()
    return int(os.getpid() == parent)


@workflow
async def forks_and_ends() -> int:
    """Forks as it should be done."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    return os.waitpid(child, 0)[1]  # noqa: ASYNC222


@workflow
async def descriptors() -> int:
    """Takes every file descriptor there is."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    try:
        while True:
            _opened.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        return 1


@workflow
async def descriptors_back() -> int:
    while _opened:
        os.close(_opened.pop())
    return 1


@workflow
async def place() -> str:
    os.chdir("/")
    os.environ.clear()
    return str(Path.cwd())


@workflow
async def tasks_made() -> int:
    """Takes the loop's task factory, on which branches depend, away."""
    asyncio.get_running_loop().set_task_factory(None)
    return await one()


@workflow
async def anything(value: Any = None) -> Any:
    return value
