"""Child processes get the environment that the function which starts them sees."""

from __future__ import annotations

import asyncio
import functools
import os
import subprocess
from typing import Any

from outlast.sdk.environment import current_environment

_ENV_POSITION = 9
"""The position of `env` among Popen's arguments after the first."""


def let_children_inherit() -> None:
    """Give `subprocess` the function's environment if the caller names none; C would pass the process's."""
    made = subprocess.Popen.__init__
    if hasattr(made, "__wrapped__"):
        return

    @functools.wraps(made)
    def make(self: Any, args: Any, *more: Any, **options: Any) -> None:
        if current_environment() and len(more) <= _ENV_POSITION and options.get("env") is None:
            options["env"] = dict(os.environ)
        made(self, args, *more, **options)

    subprocess.Popen.__init__ = make  # type: ignore[method-assign]


def let_children_of_loop_inherit(loop: asyncio.AbstractEventLoop) -> None:
    """Do the same for `asyncio.create_subprocess_…`, where a loop starts processes itself, as uvloop does."""
    for name in ("subprocess_exec", "subprocess_shell"):
        setattr(loop, name, _let_inherit(getattr(loop, name)))


def _let_inherit(start: Any) -> Any:
    # No `async def`: this frame must be gone when the process forks. Otherwise `forks` would end the child as
    # its own.
    @functools.wraps(start)
    def start_child(*args: Any, **options: Any) -> Any:
        if current_environment() and options.get("env") is None:
            options["env"] = dict(os.environ)
        return start(*args, **options)

    return start_child
