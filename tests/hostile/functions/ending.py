"""Functions that end, or try to end, the process."""

import ctypes
import os
import signal
import sys

from outlast import Request, handler, step, workflow


class Unusual(BaseException):
    pass


def end(how: str) -> None:
    """Whatever it takes."""
    if how == "exit":
        os._exit(3)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "abort":
        os.abort()
    if how == "segfault":
        ctypes.string_at(0)
    if how == "sys.exit":
        sys.exit(4)
    kinds: dict[str, type[BaseException]] = {
        "KeyboardInterrupt": KeyboardInterrupt,
        "GeneratorExit": GeneratorExit,
        "SystemExit": SystemExit,
        "StopIteration": StopIteration,
        "StopAsyncIteration": StopAsyncIteration,
        "BaseException": BaseException,
        "Unusual": Unusual,
        "MemoryError": MemoryError,
        "RecursionError": RecursionError,
    }
    raise kinds[how]("on purpose")


@step
async def ends(how: str) -> None:
    end(how)


@step
def ends_in_thread(how: str) -> None:
    end(how)


@workflow
async def in_step(how: str) -> None:
    await ends(how)


@workflow
async def in_body(how: str) -> None:
    end(how)


@workflow
def in_thread(how: str) -> None:
    ends_in_thread(how)


@workflow
def in_body_thread(how: str) -> None:
    end(how)


@handler
async def handling(request: Request) -> None:
    end(request.query["how"])


@handler
def handling_in_thread(request: Request) -> None:
    end(request.query["how"])
