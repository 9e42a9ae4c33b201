"""Who may enter the engine: calls on its own loop, from when the database was reached until it shuts down."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from outlast.core.errors import DatabaseUnavailable, Overloaded, UsageError
from outlast.core.ports import HeldUp, Unreachable


class Entrance:
    """The engine's. It is closed at first."""

    loop: asyncio.AbstractEventLoop
    thread: int
    """In which the loop runs."""

    def __init__(self) -> None:
        self.stopping = False
        """Whether this instance takes no more work."""
        self._opened = False

    def join(self) -> None:
        """This is the loop, and its thread."""
        self.loop = asyncio.get_running_loop()
        self.thread = threading.get_ident()

    def open(self) -> None:
        """The database was reached."""
        self._opened = True

    def check(self) -> None:
        """Raises DatabaseUnavailable before it is open, and UsageError on another loop."""
        if not self._opened:
            raise DatabaseUnavailable("the database hasn't been reached yet")
        # guard: other-loops-enter
        if threading.get_ident() != self.thread:
            # A future of a loop that is closed when it is settled would take the journal along.
            raise UsageError("the engine is entered on its own loop alone: see sdk.calls.on_host")

    def is_here(self) -> bool:
        """Whether this is the thread that the loop runs in."""
        return threading.get_ident() == self.thread


@contextmanager
def reaching(unknown: str = "") -> Iterator[None]:
    """What is done within needs the database. Raises DatabaseUnavailable; Overloaded for HeldUp."""
    try:
        yield
    except HeldUp as error:
        raise Overloaded(str(error)) from error
    except Unreachable as error:
        raise DatabaseUnavailable(f"{unknown}{error}") from error
