"""Functions that keep the event loop to themselves."""

import os
import resource
import time
import urllib.request
from pathlib import Path

from outlast import Request, handler, step, workflow


@step
async def doze(seconds: float) -> str:
    time.sleep(seconds)  # noqa: ASYNC251
    return "slept"


@workflow
async def sleeps(seconds: float) -> str:
    return await doze(seconds)


@workflow
async def spins(seconds: float) -> int:
    count, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        count += 1
    return min(count, 1)


@workflow
async def counts(seconds: float) -> int:
    """Calls into C that hold the interpreter, each twice as long, until one took so long (processor time)."""
    length, took = 10**6, 0.0
    while took < seconds:
        began = time.process_time()
        sum(range(length))
        length, took = 2 * length, time.process_time() - began
    return 1


@handler
async def handles(request: Request) -> str:
    time.sleep(float(request.query["seconds"]))  # noqa: ASYNC251
    return "slept"


def _is_freed() -> bool:
    return (Path(os.environ["PROOF_FOLDER"]) / "freed").exists()


@workflow
async def sleeps_until_freed() -> str:
    if not _is_freed():
        time.sleep(60)  # noqa: ASYNC251
    return "freed"


def _take_no_more_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize(), most))


@workflow
async def fills_memory_until_freed() -> str:
    """No thread can begin any more."""
    if not _is_freed():
        _take_no_more_memory()
        time.sleep(60)  # noqa: ASYNC251
    return "freed"


@workflow
async def calls_its_host_until_freed(url: str) -> str:
    if not _is_freed():
        urllib.request.urlopen(url, timeout=60)  # noqa: ASYNC210
    return "freed"
