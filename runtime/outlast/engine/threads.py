"""Running a function in a thread of a pool."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


async def in_thread(pool: ThreadPoolExecutor, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """`fn` in a thread of `pool`, with this task's context variables."""
    own = contextvars.copy_context()

    def run() -> Any:
        try:
            return own.run(fn, *args, **kwargs)
        except StopIteration as error:
            raise RuntimeError("the function raised StopIteration") from error
        except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
            raise RuntimeError(f"the function raised {type(error).__name__}") from error

    return await asyncio.get_running_loop().run_in_executor(pool, run)
