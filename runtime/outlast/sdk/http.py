"""HTTP in functions: header fields, the response that a function can return, the error that it can raise."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from pydantic_core import from_json, to_json

from outlast.core.bounds import check_size
from outlast.core.codec import encode_loosely, plain_json
from outlast.core.errors import NotSerializable, UsageError
from outlast.core.storable import clean_text

_UNSENDABLE = frozenset(
    {"content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer"}
)
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""RFC 9110, section 5.5: no control characters."""


_SHORT_BYTES = 1024
"""A shorter body is stored as text if it can be, so that it is readable in the database."""


class Headers(Mapping[str, str]):
    """Header fields by lower-case name. `get_all` returns all values of a repeated field."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._pairs = [(name.lower(), value) for name, value in pairs]

    def __getitem__(self, name: str) -> str:
        values = self.get_all(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self._pairs))

    def __len__(self) -> int:
        return len({name for name, _ in self._pairs})

    def __repr__(self) -> str:
        return f"Headers({self._pairs!r})"

    def get_all(self, name: str) -> list[str]:
        """Every value of `name`, in the order sent."""
        wanted = name.lower()
        return [value for key, value in self._pairs if key == wanted]

    getlist = get_all

    def pairs(self) -> list[tuple[str, str]]:
        """All fields in the order sent."""
        return list(self._pairs)


class Response:
    """An answer with its own status and headers.

    `body` is bytes, text or any JSON value. Without a `content-type` header its type decides. Raises
    UsageError for an invalid status or header, NotSerializable for a body that JSON can't hold.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(
        self,
        body: Any = None,
        status: int = 200,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    ) -> None:
        if not isinstance(status, int) or not 200 <= status <= 599:
            raise UsageError(f"Response: the status must be 200 to 599, not {status!r}")
        pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
        kept = [(str(name).lower(), str(value)) for name, value in pairs]
        for name, value in kept:
            check_header(name, value)
        self.status = status
        self.body, kind = _body_of(body)
        if kind is not None and not any(name == "content-type" for name, _ in kept):
            kept.append(("content-type", kind))
        self.headers = Headers(kept)

    def record(self) -> tuple[str, str | None]:
        """JSON for the `response` column (status, headers, encoding) and the text for `output`.

        Raises NotSerializable if it is too large.
        """
        document: dict[str, Any] = {"status": self.status, "headers": self.headers.pairs()}
        if self.headers.get("content-type") == "application/json" and self.body:
            document["encoding"] = "json"
            output: str | None = self.body.decode()
        else:
            text, document["encoding"] = body_as_text(self.body)
            output = to_json(text).decode()
        check_size(len(output or ""), "the body of the Response")
        return to_json(document).decode(), output

    @classmethod
    def from_record(cls, response: str, output: str | None) -> Response:
        """The same response again, with the same bytes."""
        document = from_json(response)
        answer = cls(status=document["status"], headers=[(n, v) for n, v in document["headers"]])
        if document["encoding"] == "json":
            answer.body = (output or "null").encode()
        else:
            answer.body = body_from_text(from_json(output or '""'), document["encoding"])
        return answer


class HTTPException(Exception):
    """If a workflow or a step raises it, it is the answer: it is recorded, and replayed.

    `detail` is a text (sent as a problem document) or a JSON value (sent as it is). Any other value is
    converted at once to the JSON that a workflow's result would be, the same in a step, a body and a handler.
    """

    # Defaults for a record without them: of a class whose `__init__` sets nothing, or with a detail that was
    # too large.
    status: int = 500
    detail: Any = None
    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, status: int, detail: Any = None, headers: Mapping[str, str] | None = None) -> None:
        if not isinstance(status, int) or not 400 <= status <= 599:
            raise UsageError(f"HTTPException: the status must be 400 to 599, not {status!r}")
        for name, value in (headers or {}).items():
            check_header(name.lower(), value)
        detail = _detail_of(detail)
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})

    def __str__(self) -> str:
        return f"{self.status} {self.detail}"


class InvalidBody(HTTPException, ValueError):
    """The request's body isn't what the function reads it as. If it isn't caught, it is the answer."""


def _detail_of(detail: Any) -> Any:
    """A detail that can be recorded and sent.

    No detail is an error, because it is what the caller must know.
    """
    if isinstance(detail, str):
        return clean_text(str.__str__(detail))
    try:
        plain_json(detail)
    # guard: details-that-cant-be-recorded
    except NotSerializable:
        return from_json(encode_loosely(detail, bytes_as="utf8"))
    return detail


def check_header(name: str, value: str) -> None:
    """Raise UsageError for a field that would break the connection, or that only the server may set."""
    if not name or not all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in name) or not name.isascii():
        raise UsageError(f"Response: {name!r} is not a header name")
    if name in _UNSENDABLE:
        raise UsageError(f"Response: the server sets {name!r} itself")
    if _VALUE.fullmatch(value) is None:
        raise UsageError(f"Response: the value of {name!r} has a character that headers can't carry")


def _body_of(body: Any) -> tuple[bytes, str | None]:
    if body is None:
        return b"", None
    if isinstance(body, bytes):
        return body, "application/octet-stream"
    if isinstance(body, str):
        return body.encode("utf-8"), "text/plain; charset=utf-8"
    try:
        text = to_json(body, inf_nan_mode="constants")
        if b"NaN" in text or b"Infinity" in text:
            from_json(text, allow_inf_nan=False)
        return text, "application/json"
    except ValueError as error:
        raise NotSerializable(f"Response: the body has no JSON form: {error}") from error


def body_as_text(body: bytes) -> tuple[str, str]:
    """The body and its encoding: text, if that isn't longer than base64 when both are in JSON."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), "base64"
    if len(to_json(text)) <= 2 + 4 * ((len(body) + 2) // 3) or len(body) < _SHORT_BYTES:
        return text, "utf-8"
    return base64.b64encode(body).decode(), "base64"


def body_from_text(text: str, encoding: str) -> bytes:
    """The bytes that were given to `body_as_text`."""
    return base64.b64decode(text) if encoding == "base64" else text.encode()
