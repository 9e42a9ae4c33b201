"""One HTTP request as the web floor reads it: header fields by name, the body within its limit."""

from __future__ import annotations

from starlette.types import Receive, Scope

from outlast.sdk.http import Headers
from outlast.web.problems import Problem, ProblemError


class ClientGone(Exception):
    """The client went away before its request was whole."""


class Call:
    """A request. Names of header fields are lower-case bytes, as ASGI gives them."""

    __slots__ = ("headers", "method", "path", "query", "receive", "scope")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.receive = receive
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.headers: list[tuple[bytes, bytes]] = scope["headers"]

    def header(self, name: bytes) -> str | None:
        """The first value of a header field."""
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1")
        return None

    def header_values(self, name: bytes) -> list[str]:
        """All values of a header field."""
        return [value.decode("latin-1") for key, value in self.headers if key == name]

    def text_headers(self) -> Headers:
        """All header fields."""
        return Headers((key.decode("latin-1"), value.decode("latin-1")) for key, value in self.headers)

    async def body(self, bytes_max: int) -> bytes:
        """The whole body. Raises ProblemError (413) past `bytes_max`, ClientGone."""
        length = self.header(b"content-length")
        if length is not None and length.isdigit() and int(length) > bytes_max:
            raise ProblemError(_too_large(bytes_max))
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > bytes_max:
                raise ProblemError(_too_large(bytes_max))
            chunks.append(chunk)
            if not message.get("more_body", False):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(bytes_max: int) -> Problem:
    return Problem(413, "payload_too_large", f"the body is larger than {bytes_max} bytes")
