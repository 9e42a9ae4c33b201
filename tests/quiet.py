"""What killed processes leave behind is thrown away where they ran, and complains to nobody."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from outlast.testing.trials import quiet

T = TypeVar("T")


def quietly(run: Callable[[], T]) -> T:
    """Call `run` and throw away what it leaves: all but what it returns is gone, as its variables are."""
    with quiet():
        result = run()
        _forget_scopes()
        # A coroutine's `finally` blocks run as it is collected: what they let live is found the next time.
        while gc.collect():
            pass
    return result


def _forget_scopes() -> None:
    """anyio holds what was killed within one of its scopes, as it waits for the scope's end."""
    backend: Any = sys.modules.get("anyio._backends._asyncio")
    if backend is not None:
        backend._task_states.clear()
