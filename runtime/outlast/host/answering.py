"""Sends an answer's head and body together, and saves it from a reset while the client still sends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

JOINED_BYTES_MAX = 64 * 1024
"""A larger body is sent after its head: joining them would cost more than a second write."""

DRAIN_S = 2.0
"""How long to go on reading after the answer; shorter than the server's patience when it stops."""
DRAIN_BYTES_MAX = 64 * 1024 * 1024
"""How many bytes are read and thrown away. A client that sends more is cut off."""


class AnsweringTransport:
    """A transport that sends a head with its body, and whose `close` lets the client finish its request.

    The server writes head and body one after the other. That would be two packets, and would wake the client
    twice.

    If a socket is closed while input is unread, TCP sends a reset, which takes the answer away from a client
    that hasn't read it yet (RFC 9112, section 9.6). So the writing side is closed first. What still arrives
    is read and thrown away, until the client closes, too. A second `close` takes effect at once.
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
        """Send `data`. A head with a content length waits for its body, or for `flush`."""
        if self._head and len(data) <= JOINED_BYTES_MAX:
            data, self._head = self._head + data, b""
        elif not self._head and data[:9] == b"HTTP/1.1 " and b"\r\ncontent-length: " in data:
            self._head = data
            return
        self.flush()
        self._transport.write(data)

    def flush(self) -> None:
        """Send a head that waits: no body follows."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def is_closing(self) -> bool:
        """Whether nothing more is written here."""
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
        """Throw away what arrived, and close if it is too much."""
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            self.close()

    def lost(self) -> None:
        """Stop waiting: the connection is lost."""
        if self._end is not None:
            self._end.cancel()
            self._end = None
