"""Who listens to what steps emit on this instance. Nobody who emits waits for a listener."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Lock
from typing import NamedTuple, Protocol

from outlast.core.events import Emission

HELD_MAX = 1_000
"""So many values wait for one listener; beyond, the oldest are dropped."""

HELD_CHARS_MAX = 256 * 1024
"""The same of their JSON."""


class Heard(NamedTuple):
    """What a listener takes: `dropped` values are missing before the first one."""

    dropped: int
    emissions: deque[Emission]


class Hears(Protocol):
    """Takes what is emitted, and doesn't wait."""

    def put(self, emission: Emission) -> None:
        """Take one. Only under the lock."""


class Emissions:
    """The listeners of all workflows. Steps emit from any thread."""

    def __init__(self) -> None:
        self.lock = Lock()
        """Over all of it: nothing is done under it that waits."""
        self._listeners: dict[str, list[Listener]] = {}

    @contextmanager
    def listening(self, workflow_id: str) -> Iterator[Listener]:
        """Hear what this workflow's steps emit here from now on."""
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
        """Those of one workflow. Only under the lock."""
        return self._listeners.get(workflow_id)


class Listener:
    """One who looks, and what waits for it."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._told = False
        self._held: deque[Emission] = deque()
        self._chars = 0
        self._dropped = 0
        self.after = 0
        """`Emission.after` of the newest one."""

    def put(self, emission: Emission) -> None:
        """Keep one until it is taken. Only under the lock."""
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
        """All that waits."""
        with self._lock:
            heard = Heard(self._dropped, self._held)
            self._held, self._chars, self._dropped, self._told = deque(), 0, 0, False
        self._arrived.clear()
        return heard

    async def arrival(self) -> None:
        """Wait until something waits."""
        await self._arrived.wait()
