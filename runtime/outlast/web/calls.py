"""One HTTP request as the web floor reads it: header fields by name, the body within its limit."""

from __future__ import annotations

from starlette.types import Receive, Scope

from outlast.web.answers import ClientGone
from outlast.web.problems import Problem, ProblemError


class Call:
    """A request. Names of header fields are lower-case bytes, as ASGI gives them."""

    __slots__ = ("_body", "_named", "headers", "key", "method", "path", "query", "receive", "scope")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.receive = receive
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.headers: list[tuple[bytes, bytes]] = scope["headers"]
        self._named = dict(self.headers)  # most fields that are asked for aren't there
        self._body: bytes | None = None
        self.key: str | None = None
        """The idempotency key that a verified webhook stands for; it goes before the header's."""

    def header(self, name: bytes) -> str | None:
        """The first value of a header field."""
        return self.header_values(name)[0] if name in self._named else None

    def header_values(self, name: bytes) -> list[str]:
        """All values of a header field."""
        if name not in self._named:
            return []
        return [value.decode("latin-1") for key, value in self.headers if key == name]

    def text_pairs(self) -> list[tuple[str, str]]:
        """All header fields, in the order sent."""
        return [(key.decode("latin-1"), value.decode("latin-1")) for key, value in self.headers]

    def forget(self, name: bytes) -> None:
        """Drop a header field: what comes after neither sees nor records it."""
        self.headers = [pair for pair in self.headers if pair[0] != name]
        self._named.pop(name, None)

    async def body(self, bytes_max: int) -> bytes:
        """The whole body, as often as it is asked for. Raises ProblemError (413), ClientGone."""
        if self._body is None:
            self._body = await self._read(bytes_max)
        return self._body

    async def _read(self, bytes_max: int) -> bytes:
        length = self.header(b"content-length") or ""
        if length.isdecimal() and int(length) > bytes_max:
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

    async def until_gone(self) -> None:
        """Wait until the client has gone away. Only for a call whose body has been read."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


def _too_large(bytes_max: int) -> Problem:
    # Closing spares us from reading the rest only to throw it away (RFC 9110, section 15.5.14).
    closing = (("connection", "close"),)
    return Problem(
        413, "payload_too_large", f"the body is larger than {bytes_max} bytes; send less", headers=closing
    )
