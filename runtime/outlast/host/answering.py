"""How answers leave: a head with its body, and not lost to a reset while the client still sends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

JOINED_BYTES_MAX = 64 * 1024
"""A larger body goes out after its head: to join them would cost more than a write."""

DRAIN_S = 2.0
"""How long to go on reading after the answer; shorter than the server's patience when it stops."""
DRAIN_BYTES_MAX = 64 * 1024 * 1024
"""How much is read and thrown away. Who sends more is cut off."""


class AnsweringTransport:
    """A transport that writes a head with its body; its `close` lets the client finish what it is sending.

    The server writes them one after the other, which would be two packets and would wake the client twice.

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
        self._head = b""
        self.draining = False

    def __getattr__(self, name: str) -> Any:
        """Everything else is the transport's own."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send `data`. A head that tells the length of its body waits for it, or for `flush`."""
        if self._head and len(data) <= JOINED_BYTES_MAX:
            data, self._head = self._head + data, b""
        elif not self._head and data[:9] == b"HTTP/1.1 " and b"\r\ncontent-length: " in data:
            self._head = data
            return
        self.flush()
        self._transport.write(data)

    def flush(self) -> None:
        """No body follows."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def is_closing(self) -> bool:
        """Whether nothing more is to be said here."""
        return self.draining or self._transport.is_closing()

    def close(self) -> None:
        """Close, after the rest of a request that is still coming."""
        self.flush()
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
