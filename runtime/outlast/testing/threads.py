"""Threads for the bodies of `def` workflows: one each, and none that the end of the tests would wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any


class DaemonThreads(Executor):
    """A body of a killed process may wait for ever: nothing can end its thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - it is told to whoever waits for it
                future.set_exception(error)

        threading.Thread(target=run, name="outlast-workflow", daemon=True).start()
        return future
