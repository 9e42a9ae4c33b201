"""A request as a function sees it: complete in a handler, as recorded in a workflow."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Sequence
from typing import Any, NamedTuple, NoReturn
from urllib.parse import parse_qsl, quote

from pydantic_core import from_json, to_json

from outlast.core.bounds import check_values
from outlast.core.errors import UsageError
from outlast.sdk.forms import Content, Fields, FormData, Text, parse_form
from outlast.sdk.http import Headers, InvalidBody, body_as_text, body_from_text
from outlast.sdk.loops import on_a_loop


class Client(NamedTuple):
    """The other end of the connection: the last proxy, if there is one."""

    host: str
    port: int


class Parsed:
    """The awaitable result of `request.json()` in async functions."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def __await__(self) -> Generator[Any, Any, Any]:
        yield from ()
        return self._value

    def __repr__(self) -> str:
        return "<request.json(), to be awaited>"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"request.json() has no {name!r} before it is awaited: `await request.json()`")

    def _refuse(self, *_: object) -> NoReturn:
        raise UsageError("request.json() is awaited in async functions: `await request.json()`")

    __getitem__ = __iter__ = __len__ = __bool__ = __contains__ = __eq__ = _refuse
    __hash__ = None  # type: ignore[assignment]


class Request:
    """A request with its whole body. In a workflow it is the recorded one, with few of its headers.

    In `async def` functions its methods are awaited, in `def` functions they aren't.
    """

    __slots__ = ("_body", "_content", "client", "headers", "method", "path", "query_string")

    def __init__(
        self,
        method: str,
        path: str = "/",
        query_string: str = "",
        headers: Headers | None = None,
        body: bytes = b"",
        client: Client | None = None,
    ) -> None:
        self.method = method
        self.path = path
        """The path after the function's name; `/` at least. Decoded."""
        self.query_string = query_string
        self.headers = headers or Headers()
        self._body = body
        self._content: Content | None = None
        self.client = client
        """None in a workflow: it isn't recorded."""

    @property
    def body(self) -> Content:
        """The bytes: `request.body`, or `await request.body()`."""
        if self._content is None:  # made only when it is asked for, as most functions don't need this copy
            self._content = Content(self._body)
        return self._content

    @property
    def query(self) -> dict[str, str]:
        """Query parameters; the last value of a repeated one."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True))

    @property
    def query_params(self) -> Fields[str]:
        """Query parameters, with `getlist` for repeated ones."""
        return Fields(parse_qsl(self.query_string, keep_blank_values=True))

    @property
    def url(self) -> str:
        """Path below the function's name, and query."""
        return quote(self.path) + (f"?{self.query_string}" if self.query_string else "")

    @property
    def cookies(self) -> dict[str, str]:
        """Cookies by name. Empty in a workflow: they aren't recorded."""
        jar: dict[str, str] = {}
        for pair in "; ".join(self.headers.get_all("cookie")).split(";"):
            name, _, value = pair.strip().partition("=")
            if name:
                jar[name] = value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
        return jar

    def text(self) -> Text:
        """The body as UTF-8. Raises UnicodeDecodeError."""
        return Text(self._body.decode())

    def json(self) -> Any:
        """The body as JSON, whatever its content-type.

        Raises InvalidBody, a ValueError. If it isn't caught the answer is a 400 that says so, or a 413 if
        there are too many values.
        """
        check_values(self._body)
        try:
            value = from_json(self._body)
        except ValueError as error:
            raise InvalidBody(400, f"the body is no JSON: {error}") from None
        return Parsed(value) if on_a_loop() else value

    def form(self) -> FormData:
        """The body as a form.

        Raises InvalidBody. If it isn't caught the answer is a 415 or 400 that says so.
        """
        return parse_form(self.headers.get("content-type", ""), self._body)

    def record(self, *, with_body: bool) -> str:
        """JSON for the `request` column, with the body only if no other column holds it."""
        body = self._body if with_body else None
        return record_request(self.method, self.path, self.query_string, self.headers.pairs(), body)

    @classmethod
    def from_record(cls, text: str, input_text: str | None) -> Request:
        """The request in a `request` column; `input_text` is its body if that was JSON."""
        document = from_json(text)
        if "body" in document:
            body = body_from_text(document["body"], document["encoding"])
        else:
            body = (input_text or "").encode()
        pairs = [(name, value) for name, value in document["headers"]]
        return cls(document["method"], document["path"], document["query"], Headers(pairs), body)


def record_request(
    method: str,
    path: str,
    query_string: str,
    headers: Iterable[tuple[str, str]],
    body: bytes | None,
    asked: Iterable[str] = (),
) -> str:
    """JSON for the `request` column.

    `headers` (names in lower case) are stored if they are listed, or `asked` for.
    """
    kept = recorded(headers, asked)
    document: dict[str, Any] = {"method": method, "path": path, "query": query_string, "headers": kept}
    if body:
        document["body"], document["encoding"] = body_as_text(body)
    return to_json(document).decode()


RECORDED = frozenset({
    "accept", "accept-language", "content-type", "content-length", "content-encoding", "content-language",
    "user-agent", "origin", "idempotency-key", "prefer", "x-region", "x-client-info", "x-request-id",
    "x-correlation-id", "traceparent", "tracestate", "baggage",
    "webhook-id", "webhook-timestamp", "webhook-signature",
})  # fmt: skip
"""Fields that are stored of every request."""

HEADERS_BYTES_MAX = 8 * 1024
"""The limit of all stored fields, names and values. Whole fields beyond it are left out."""

ASKED_MAX = 50
_SECRET = re.compile(r"auth|cookie|token|secret|passw|session|credential|api-?key")
_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,100}")


def recorded(headers: Iterable[tuple[str, str]], asked: Iterable[str] = ()) -> list[tuple[str, str]]:
    """The fields that are stored, in the order sent. `headers` by lower-case name."""
    wanted = RECORDED.union(asked) if asked else RECORDED
    kept: list[tuple[str, str]] = []
    room = HEADERS_BYTES_MAX
    for name, value in headers:
        size = len(name) + len(value)
        # guard: all-headers-stored without 1
        if name in wanted and size <= room and not is_secret(name):
            kept.append((name, value))
            room -= size
    return kept


def is_secret(name: str) -> bool:
    """Whether a field of this name may hold a credential. Such fields are never stored."""
    return _SECRET.search(name) is not None


def asked_headers(names: Sequence[str]) -> frozenset[str]:
    """The names that a workflow asks for, in lower case. Raises UsageError."""
    if isinstance(names, str) or len(names) > ASKED_MAX:
        raise UsageError(f"workflow(headers) lists at most {ASKED_MAX} names of headers, not {names!r}")
    lower = [name.lower() if isinstance(name, str) else "" for name in names]
    for name, given in zip(lower, names, strict=True):
        if _NAME.fullmatch(name) is None:
            raise UsageError(f"workflow(headers): {given!r} is not a header name")
        # guard: secret-headers-asked-for
        if is_secret(name):
            raise UsageError(
                f"workflow(headers): {given!r} may hold a credential, which is never stored; "
                "read it in a @handler, and start the workflow from there"
            )
    return frozenset(lower)
