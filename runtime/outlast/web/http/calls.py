"""One HTTP request: header fields by name, and the body within its limit.

Large bodies are parsed in threads: meanwhile the loop serves others and renews the lease.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import copy_context
from functools import lru_cache, partial
from typing import Any, Protocol, TypeVar

from starlette.types import Receive, Scope, Send

from outlast.core.bounds import check_values
from outlast.core.budget import VALUE_BYTES
from outlast.web.http.answers import ClientGone
from outlast.web.http.large_answers import SHARE, Share, is_small
from outlast.web.http.problems import Problem, ProblemError

LARGE_BYTES = 64 * 1024
"""A smaller body is parsed faster than a thread is woken."""
THREADS = 4
"""Several, because a user's validator may never return."""

_NO_WEIGHT = re.compile(r"q\s*=\s*0(\.0{0,3})?")

T = TypeVar("T")


class Sendable(Protocol):
    """An endpoint's answer, in one piece or as a stream."""

    def size(self) -> int:
        """Bytes of its body; 0 for a stream, which takes room for each piece itself."""

    async def send(self, send: Send) -> None:
        """Send it."""


class Call:
    """A request. Names of header fields are lower-case bytes, as ASGI gives them."""

    __slots__ = (
        "_body", "_first", "_share", "_weighed",
        "headers", "key", "method", "path", "query", "receive", "repeats", "scope",
    )  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.receive = receive
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.headers: list[tuple[bytes, bytes]] = scope["headers"]
        self._first = dict(reversed(self.headers))
        """The first value of each field: most that are looked up aren't there, or there once."""
        self.repeats = len(self._first) < len(self.headers)
        """Whether any header field is there more than once."""
        self._body: bytes | None = None
        self._share: Share | None = scope.get(SHARE)
        self._weighed = False
        self.key: str | None = None
        """The idempotency key of a verified webhook; it takes precedence over the header's."""

    def header(self, name: bytes) -> str | None:
        """The first value of a header field."""
        value = self._first.get(name)
        return None if value is None else value.decode("latin-1")

    def header_values(self, name: bytes) -> list[str]:
        """All values of a header field."""
        if (first := self._first.get(name)) is None:
            return []
        if not self.repeats:
            return [first.decode("latin-1")]
        return [value.decode("latin-1") for key, value in self.headers if key == name]

    def accepts(self, field: bytes, name: str) -> bool:
        """Whether `Accept` or a field like it has `name`, weighed above 0 (RFC 9110, section 12.4.2)."""
        for value in self.header_values(field):
            for each in value.lower().split(","):
                found, *parameters = (part.strip() for part in each.split(";"))
                # guard: weights-of-accept-unread = True
                if found == name and not any(map(_NO_WEIGHT.fullmatch, parameters)):
                    return True
        return False

    def has_any(self, names: frozenset[bytes]) -> bool:
        """Whether any of these header fields is there."""
        return not names.isdisjoint(self._first)

    def text_pairs(self) -> list[tuple[str, str]]:
        """All header fields, in the order sent."""
        return [(key.decode("latin-1"), value.decode("latin-1")) for key, value in self.headers]

    def forget(self, name: bytes) -> None:
        """Drop a header field, so that nothing after this sees or records it."""
        self.headers = [pair for pair in self.headers if pair[0] != name]
        self._first.pop(name, None)
        self.repeats = len(self._first) < len(self.headers)

    async def body(self, bytes_max: int) -> bytes:
        """The whole body, as often as it is asked for. Raises ProblemError (413, 429, 503), ClientGone."""
        if self._body is None:
            self._body = await self._read(bytes_max)
        return self._body

    async def json_body(self, bytes_max: int) -> bytes:
        """Like `body`, for a body that is parsed as JSON next: its values are limited and counted, too.

        Raises TooManyValues (413).
        """
        body = await self.body(bytes_max)
        if self._weighed:
            return body
        values = await run_by_size(len(body), check_values, body)
        if self._share is not None:
            # guard: values-weigh-nothing
            self._share.take(values * VALUE_BYTES)
        self._weighed = True
        return body

    def charge_to(self, caller: str | None, *, secret: bool) -> None:
        """Count its bytes for a caller; None if only the address is known."""
        if self._share is not None:
            self._share.charge_to(caller, secret=secret)

    def hold(
        self, make: Callable[[], Awaitable[T]], size_of: Callable[[T], int]
    ) -> AbstractAsyncContextManager[T]:
        """The result of `make` for the answer, with room for it. See LargeAnswers.hold."""
        return _unbounded(make) if self._share is None else self._share.hold(make, size_of)

    async def answer(self, make: Callable[[], Awaitable[Sendable]], send: Send) -> None:
        """Make an answer and send it, with room for it if it is large."""
        made: Sendable | None = await make()
        assert made is not None
        if is_small(made.size()):
            await made.send(send)
            return

        async def again() -> Sendable:
            nonlocal made
            answer, made = made, None
            return answer or await make()

        async with self.hold(again, lambda answer: answer.size()) as answer:
            await answer.send(send)

    def release(self) -> None:
        """Drop the body and give its room back."""
        self._body = None
        if self._share is not None:
            self._share.release()

    async def _read(self, bytes_max: int) -> bytes:
        """Read the body. Its room is taken at once by its Content-Length, or else as it grows."""
        length = self.header(b"content-length") or ""
        told = int(length) if length.isdecimal() else None
        if told is not None and told > bytes_max:
            raise ProblemError(_too_large(bytes_max))
        if told and self._share is not None:
            # guard: room-taken-late
            self._share.take(told)
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
            if told is None and self._share is not None:
                self._share.take(len(chunk))
            chunks.append(chunk)
            if not message.get("more_body", False):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def until_gone(self) -> None:
        """Wait until the client has gone away. Only for a call whose body has been read."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


@asynccontextmanager
async def _unbounded(make: Callable[[], Awaitable[T]]) -> AsyncIterator[T]:
    yield await make()


def _too_large(bytes_max: int) -> Problem:
    # By closing, the rest needn't be read and thrown away (RFC 9110, section 15.5.14).
    closing = (("connection", "close"),)
    return Problem(
        "payload_too_large", f"the body is larger than {bytes_max} bytes; send less", headers=closing
    )


async def run_by_size(size_bytes: int, fn: Callable[..., T], *args: Any) -> T:
    """Call `fn`; for a large input in a thread, with the same context."""
    # guard: read-on-the-loop = True
    if size_bytes < LARGE_BYTES:
        return fn(*args)
    run = partial(copy_context().run, _call, fn, args)
    return await asyncio.get_running_loop().run_in_executor(_threads(), run)


def _call(fn: Callable[..., T], args: tuple[Any, ...]) -> T:
    """Call `fn`. A future can't carry StopIteration: its caller would wait for ever."""
    try:
        return fn(*args)
    except StopIteration as error:
        raise RuntimeError("the function raised StopIteration") from error


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    """Not the loop's default threads: functions may block those."""
    return ThreadPoolExecutor(THREADS, "outlast-bodies")
