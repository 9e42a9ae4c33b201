"""Silence about what killed processes leave behind: its complaints are of no interest."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


@contextmanager
def quiet() -> Iterator[None]:
    """No collection within it, no warning, nothing that can't be raised."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    collecting = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.unraisablehook = hook
        if collecting:
            gc.enable()


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
