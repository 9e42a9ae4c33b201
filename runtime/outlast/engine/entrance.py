"""The check at the engine's entrance: only its own loop, and only once the database was reached."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from outlast.core.errors import DatabaseUnavailable, Overloaded, UsageError
from outlast.core.ports import HeldUp, Unreachable


class Entrance:
    """The engine's entrance. Closed at first."""

    loop: asyncio.AbstractEventLoop
    thread: int
    """The thread that the loop runs in."""

    def __init__(self) -> None:
        self.stopping = False
        """Whether this instance takes no more work."""
        self._opened = False

    def join(self) -> None:
        """Take the current loop and thread as the engine's."""
        self.loop = asyncio.get_running_loop()
        self.thread = threading.get_ident()

    def open(self) -> None:
        """The database was reached: let calls in."""
        self._opened = True

    def check(self) -> None:
        """Raises DatabaseUnavailable before the database was reached, and UsageError on another loop."""
        if not self._opened:
            raise DatabaseUnavailable("the database hasn't been reached yet")
        # guard: other-loops-enter
        if threading.get_ident() != self.thread:
            # If a future's loop is closed when it is settled, the error would stop the journal.
            raise UsageError("the engine is entered on its own loop alone: see sdk.calls.on_host")

    def is_here(self) -> bool:
        """Whether this is the loop's thread."""
        return threading.get_ident() == self.thread


@contextmanager
def reaching(unknown: str = "") -> Iterator[None]:
    """Within this block, raises DatabaseUnavailable for Unreachable, and Overloaded for HeldUp."""
    try:
        yield
    except HeldUp as error:
        raise Overloaded(str(error)) from error
    except Unreachable as error:
        raise DatabaseUnavailable(f"{unknown}{error}") from error
