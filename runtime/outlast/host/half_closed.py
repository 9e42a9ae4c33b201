"""Clients that send no more: whether one still reads its answer, or has gone."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from contextlib import suppress

LOOK_S = 1.0
"""How often to look whether the connection is still there: nothing is read any more, so nobody tells."""

PROBE_S = 15
"""After so long without a byte, and as often from then on, TCP asks the other side. Who has gone resets."""

_GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL
"""Both directions are closed, by a reset. One that is closed by the client alone is neither."""


class HalfClosed:
    """A connection whose client has closed its sending side. Calls `gone` once when it has left altogether.

    In TCP both look alike at first (RFC 9293, section 3.6). A client that has left answers what is written
    with a reset; while nothing is written, TCP's own probes are answered so once its system has forgotten
    the connection, which takes Linux a minute.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, gone: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._gone = gone
        self._socket: socket.socket = transport.get_extra_info("socket")
        self._poll = select.poll()
        self._poll.register(self._socket.fileno(), 0)
        with suppress(OSError, AttributeError):  # not every system can be told when to ask
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, PROBE_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        self._next = loop.call_later(LOOK_S, self._look)

    def end(self) -> None:
        """Stop looking: the connection has ended."""
        self._next.cancel()

    def _look(self) -> None:
        if any(events & _GONE for _, events in self._poll.poll(0)):
            self._gone()
        else:
            self._next = self._loop.call_later(LOOK_S, self._look)
