"""`os.environ` as a function sees it: its own values first, then those of the process.

All functions share one process. A function's own values (`functions/NAME/.env`, `[functions.NAME.env]`) are
found through a context variable, which is set where its code is entered. So two functions can have different
values of one name at the same time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Own = dict[str, str | None]
"""A function's own values. None: the function deleted it, which also hides the process's value."""

_own: ContextVar[Own | None] = ContextVar("outlast_environment", default=None)


def current_environment() -> Own | None:
    """The own values of the function whose code runs here; None if it has none, and outside of functions."""
    return _own.get()


def enter_environment(own: Own | None) -> None:
    """Make this context, and all contexts copied from it, see `own`."""
    if _own.get() is not own:  # most functions have no own values
        _own.set(own)


@contextmanager
def environment(own: Own | None) -> Iterator[None]:
    """Let the code that runs here see `own`, and no other function's values."""
    token = _own.set(own)
    try:
        yield
    finally:
        _own.reset(token)


def install() -> None:
    """Make `os.environ` look there first. The object stays the same, for code that has a reference to it."""
    if not isinstance(os.environ, _Environ):
        os.environ.__class__ = _Environ


class _Environ(os._Environ[str]):
    """A name that a function has of its own is read, written and deleted there; others in the process."""

    def __getitem__(self, key: str) -> str:
        own = _own.get()
        if own is None or key not in own:
            return super().__getitem__(key)
        value = own[key]
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: str, value: str) -> None:
        own = _own.get()
        if own is None or key not in own:
            super().__setitem__(key, value)
        elif isinstance(value, str):
            own[key] = value
        else:
            raise TypeError(f"str expected, not {type(value).__name__}")

    def __delitem__(self, key: str) -> None:
        own = _own.get()
        if own is None or key not in own:
            super().__delitem__(key)
        elif own[key] is None:
            raise KeyError(key)
        else:
            own[key] = None

    def __iter__(self) -> Iterator[str]:
        own = _own.get()
        if not own:
            yield from super().__iter__()
            return
        seen = dict(own)
        yield from (name for name in super().__iter__() if name not in seen)
        yield from (name for name, value in seen.items() if value is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self) if _own.get() else super().__len__()
