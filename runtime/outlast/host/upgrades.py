"""Parses on after a request that asks for another protocol, as Java's HTTP client does each time.

A server may ignore `Upgrade` (RFC 9110, section 7.8), and then answers the request as it is. But httptools
stops at such a head: it takes the body for empty, and reads nothing more from the connection.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import httptools

_FRAMING = (b"content-length", b"transfer-encoding")


def framing_of(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The fields that say how long a body is; none if there is no body."""
    return [pair for pair in headers if pair[0].lower() in _FRAMING]


def parser_behind(
    protocol: Any, framing: list[tuple[bytes, bytes]]
) -> tuple[httptools.HttpRequestParser, bytes]:
    """Return a parser for what follows a head that was already parsed: its body, and later requests.

    Also returns the bytes that this parser must read first.
    """
    parser = httptools.HttpRequestParser(_BehindHead(protocol) if framing else protocol)
    # As uvicorn does.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    lines = [b"POST / HTTP/1.1", *(b"%s: %s" % pair for pair in framing), b"", b""]
    return parser, b"\r\n".join(lines) if framing else b""


class _BehindHead:
    """Passes the parser's callbacks on, except those for the first head, which was already parsed."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._known = True
        self.on_body = protocol.on_body
        self.on_message_complete = protocol.on_message_complete

    def on_message_begin(self) -> None:
        if not self._known:
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._known:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._known:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self._known:
            self._protocol.on_headers_complete()
        self._known = False
