"""HTTP as uvicorn speaks it over httptools, and what that lacks: a bound for heads, readable refusals."""

from __future__ import annotations

from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from outlast.web.cors import EVERYWHERE
from outlast.web.problems import Problem

HEAD_BYTES_MAX = 128 * 1024
"""Of request line and header fields together; enough for what any proxy lets through."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    _reading_head = True
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Read on, unless the head of the request has grown too large."""
        self._head_bytes += len(data)
        super().data_received(data)
        if not self._reading_head:
            self._head_bytes = 0
        elif self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            detail = f"the header is larger than {HEAD_BYTES_MAX} bytes; send less"
            self._refuse(Problem(431, "header_too_large", detail))

    def on_headers_complete(self) -> None:
        """The parser's callback: a body may follow."""
        self._reading_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The parser's callback: the next request may follow."""
        self._reading_head = True
        self._head_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls for a request that is none."""
        self._refuse(Problem(400, "invalid_http", "the request breaks the rules of HTTP/1.1"))

    def _refuse(self, problem: Problem) -> None:
        answer = problem.answer()
        phrase = HTTPStatus(answer.status).phrase
        headers = [*answer.headers, *EVERYWHERE, (b"content-length", b"%d" % len(answer.body))]
        head = b"".join(b"%s: %s\r\n" % pair for pair in [*headers, (b"connection", b"close")])
        self.transport.write(f"HTTP/1.1 {answer.status} {phrase}\r\n".encode() + head + b"\r\n" + answer.body)
        self.transport.close()
