"""The listeners for what steps emit on this instance. An emitting step never waits for a listener."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Lock
from typing import NamedTuple, Protocol

from outlast.core.events import Emission

HELD_MAX = 1_000
"""So many values wait for one listener. Beyond that the oldest are dropped."""

HELD_CHARS_MAX = 256 * 1024
"""So many characters of JSON wait for one listener. Beyond that the oldest values are dropped."""


class Heard(NamedTuple):
    """What a listener takes. `dropped` values are missing before the first one."""

    dropped: int
    emissions: deque[Emission]


class Hears(Protocol):
    """Takes emitted values without waiting."""

    def put(self, emission: Emission) -> None:
        """Take one value. Only under the lock."""


class Emissions:
    """The listeners of all workflows. Steps may emit from any thread."""

    def __init__(self) -> None:
        self.lock = Lock()
        """Guards all of it. No code waits while it holds this lock."""
        self._listeners: dict[str, list[Listener]] = {}

    @contextmanager
    def listening(self, workflow_id: str) -> Iterator[Listener]:
        """Receive what this workflow's steps emit here from now on."""
        listener = Listener(self.lock)
        with self.lock:
            self._listeners.setdefault(workflow_id, []).append(listener)
        try:
            yield listener
        finally:
            with self.lock:
                left = self._listeners[workflow_id]
                left.remove(listener)
                if not left:
                    del self._listeners[workflow_id]

    def of(self, workflow_id: str) -> Sequence[Hears] | None:
        """The listeners of one workflow; None without any. Only under the lock."""
        return self._listeners.get(workflow_id)


class Listener:
    """One listener, and the values that wait for it."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._told = False
        self._held: deque[Emission] = deque()
        self._chars = 0
        self._dropped = 0
        self.after = 0
        """`Emission.after` of the newest value."""

    def put(self, emission: Emission) -> None:
        """Keep a value until it is taken. Only under the lock."""
        self._held.append(emission)
        self._chars += len(emission.value)
        self.after = emission.after
        # guard: listeners-without-bound
        while len(self._held) > HELD_MAX or self._chars > HELD_CHARS_MAX:
            self._chars -= len(self._held.popleft().value)
            self._dropped += 1
        if not self._told:
            self._told = True
            with suppress(RuntimeError):  # its loop is closed: nobody listens any more
                self._loop.call_soon_threadsafe(self._arrived.set)

    def take(self) -> Heard:
        """Take all values that wait."""
        with self._lock:
            heard = Heard(self._dropped, self._held)
            self._held, self._chars, self._dropped, self._told = deque(), 0, 0, False
        self._arrived.clear()
        return heard

    async def arrival(self) -> None:
        """Wait until there are values to take."""
        await self._arrived.wait()
