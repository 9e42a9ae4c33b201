"""An HTTP answer as plain data, and how it is sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_json
from starlette.types import Message, Send

Pairs = list[tuple[bytes, bytes]]

PIECE_BYTES = 64 * 1024
"""The size of the pieces of an answer: the next one follows when the client has read."""

JSON = (b"content-type", b"application/json")
NO_STORE = (b"cache-control", b"no-store")
ALLOW_ORIGIN = b"access-control-allow-origin"
_BODILESS = frozenset({204, 304})
_OF_A_BODY = frozenset({b"content-type", b"content-length"})


class ClientGone(Exception):
    """The client went away: there is nobody to answer."""


class Reply:
    """A `send` that knows whether an answer has begun: then no other one can be sent.

    `shared` are header fields that every answer gets, unless it says itself who may read it.
    """

    __slots__ = ("_headers", "_send", "_shared", "begun", "status")

    def __init__(self, send: Send, shared: Pairs) -> None:
        self._send = send
        self._shared = shared
        self._headers: Pairs = []
        self.begun = False
        self.status: int | None = None
        """The answer's status, once it has begun."""

    def header(self, name: bytes) -> str | None:
        """A header field of the answer, by its lower-case name, as text."""
        found = dict(self._headers).get(name)
        return None if found is None else found.decode("latin-1")

    async def __call__(self, message: Message) -> None:
        """Send one ASGI message. Raises ClientGone."""
        if not self.begun:
            self.begun = True
            self.status = message.get("status")
            self._headers = headers = [*message.get("headers", ())]
            if ALLOW_ORIGIN not in dict(headers):
                headers += self._shared
            message = {**message, "headers": headers}
        try:
            # guard: answers-in-one-piece = False
            if len(message.get("body", b"")) > PIECE_BYTES:
                await self._send_in_pieces(message)
            else:
                await self._send(message)
        except RuntimeError as error:
            if "the handler is closed" in str(error):  # uvloop says this when the connection has just ended
                raise ClientGone from error
            raise

    async def _send_in_pieces(self, message: Message) -> None:
        """Send in pieces: the server takes the next one when most of the others have left."""
        body, more = message["body"], message.get("more_body", False)
        for start in range(0, len(body), PIECE_BYTES):
            end = start + PIECE_BYTES
            await self._send({**message, "body": body[start:end], "more_body": more or end < len(body)})


@dataclass(slots=True)
class Answer:
    """Status, header fields (lower-case names) and the whole body."""

    status: int
    body: bytes = b""
    headers: Pairs = field(default_factory=list)

    def size(self) -> int:
        """Bytes of its body."""
        return len(self.body)

    async def send(self, send: Send) -> None:
        """Send the whole of it."""
        body, headers = self.body, self.headers
        if self.status in _BODILESS:
            # With a content type but no body clients would try to parse JSON (supabase-js throws).
            body, headers = b"", [pair for pair in headers if pair[0] not in _OF_A_BODY]
        else:
            headers = [*headers, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@dataclass(slots=True)
class Kept:
    """A `send` that keeps the answer: of a request that was made within the process."""

    status: int = 0
    headers: Pairs = field(default_factory=list)
    body: bytes = b""

    async def __call__(self, message: Message) -> None:
        """Take one ASGI message."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], [*message.get("headers", ())]
        else:
            self.body += message.get("body", b"")

    def header(self, name: bytes) -> str | None:
        """The first value of a header field, by its lower-case name."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), None)


def json_answer(document: Any, status: int = 200, headers: Iterable[tuple[bytes, bytes]] = ()) -> Answer:
    """`document` as JSON, not to be cached."""
    return Answer(status, to_json(document, inf_nan_mode="constants"), [JSON, NO_STORE, *headers])


def text_pairs(pairs: Iterable[tuple[str, str]]) -> Pairs:
    """Header fields as the server wants them."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
