"""How a connection is closed while its client still sends: the answer must not be lost to a reset."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

DRAIN_S = 2.0
"""How long to go on reading after the answer; shorter than the server's patience when it stops."""
DRAIN_BYTES_MAX = 64 * 1024 * 1024
"""How much is read and thrown away. Who sends more is cut off."""


class DrainingTransport:
    """A transport whose `close` lets the client finish what it is sending, within bounds.

    A socket that is closed over unread input makes TCP send a reset, which takes the answer away from a
    client that hasn't read it yet (RFC 9112, section 9.6). So the writing side is closed first. What still
    comes is read and thrown away, until the client closes too. A second `close` is at once.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, sending: Callable[[], bool]
    ) -> None:
        """`sending` tells whether the client is in the middle of a request."""
        self._transport = transport
        self._loop = loop
        self._sending = sending
        self._bytes_left = DRAIN_BYTES_MAX
        self._end: asyncio.TimerHandle | None = None
        self.draining = False

    def __getattr__(self, name: str) -> Any:
        """Everything else is the transport's own."""
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Whether nothing more is to be said here."""
        return self.draining or self._transport.is_closing()

    def close(self) -> None:
        """Close, after the rest of a request that is still coming."""
        idle = self.draining or self._transport.is_closing() or not self._sending()
        if idle or not self._transport.can_write_eof():
            self.lost()
            self._transport.close()
            return
        self.draining = True
        self._end = self._loop.call_later(DRAIN_S, self.close)
        self._transport.write_eof()
        self._transport.resume_reading()

    def drain(self, data: bytes) -> None:
        """Throw away what came, and close when it is too much."""
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            self.close()

    def lost(self) -> None:
        """The connection is over: wait for nothing more."""
        if self._end is not None:
            self._end.cancel()
            self._end = None
