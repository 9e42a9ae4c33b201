"""Exceptions that end a test at once: they belong to the test, even if a workflow catches them."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = ("SIGINT", "SIGALRM")
"""Ctrl-C, and the signal that pytest-timeout uses."""


def outcome_in(error: BaseException | None) -> BaseException | None:
    """The outcome that `error` is or holds: `pytest.fail`, `skip`, `xfail`, `exit`, or Ctrl-C."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(outcome_in, error.exceptions)), None)
    return error if isinstance(error, (KeyboardInterrupt, *_of_pytest())) else None


def _of_pytest() -> tuple[type[BaseException], ...]:
    pytest: Any = sys.modules.get("pytest")  # if pytest isn't loaded, nobody raises its outcomes
    if pytest is None:
        return ()
    return pytest.fail.Exception, pytest.skip.Exception, pytest.exit.Exception


@contextmanager
def signals_heard(hear: Callable[[BaseException], None]) -> Iterator[None]:
    """Report to `hear` what signal handlers raise within this; a step or a task may catch it on its way."""
    replaced: list[tuple[int, Any, Any]] = []
    if threading.current_thread() is threading.main_thread():
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            handler = None if number is None else signal.getsignal(number)
            if number is not None and callable(handler):
                heard = _heard(handler, hear)
                signal.signal(number, heard)
                replaced.append((number, handler, heard))
    try:
        yield
    finally:
        for number, handler, heard in replaced:
            if signal.getsignal(number) is heard:
                signal.signal(number, handler)


def _heard(handler: Callable[..., Any], hear: Callable[[BaseException], None]) -> Callable[..., None]:
    def heard(number: int, frame: FrameType | None) -> None:
        try:
            handler(number, frame)
        except BaseException as error:
            hear(error)
            raise

    return heard
