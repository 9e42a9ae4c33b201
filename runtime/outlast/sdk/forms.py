"""Forms of browsers and webhooks: `application/x-www-form-urlencoded` and `multipart/form-data`."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from email.message import Message
from io import BytesIO
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from outlast.sdk.http import Headers, InvalidBody

V = TypeVar("V", covariant=True)

FIELDS_MAX = 1_000
"""The most fields and files of a form. Their size is limited by that of the body."""

_HEAD_BYTES_MAX = 16 * 1024
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
"""RFC 2046, section 5.1.1."""
_PARAMETER = re.compile(r';\s*(name|filename)="((?:\\["\\]|[^"])*)"', re.IGNORECASE)
"""RFC 7578, section 4.2. Browsers send a quote as %22, curl as \\"; a lone backslash is part of a path."""


class Content(bytes):
    """Bytes that may also be called and awaited, as in other frameworks: `await request.body()`."""

    __slots__ = ()
    __stands_for__ = bytes

    def __call__(self) -> Content:
        return self

    def __await__(self) -> Generator[Any, Any, bytes]:
        yield from ()
        return bytes(self)


class Text(str):
    """A text that may also be awaited."""

    __slots__ = ()
    __stands_for__ = str

    def __await__(self) -> Generator[Any, Any, str]:
        yield from ()
        return str(self)


class Fields(Mapping[str, V]):
    """Fields in the order sent. For a repeated one `[name]` returns the last value, `getlist` all."""

    def __init__(self, pairs: Iterable[tuple[str, V]] = ()) -> None:
        self._pairs = list(pairs)
        self._last = dict(self._pairs)

    def __getitem__(self, name: str) -> V:
        return self._last[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._last)

    def __len__(self) -> int:
        return len(self._last)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._pairs!r})"

    def getlist(self, name: str) -> list[V]:
        """Every value of `name`."""
        return [value for key, value in self._pairs if key == name]

    def multi_items(self) -> list[tuple[str, V]]:
        """All fields."""
        return list(self._pairs)


class UploadFile:
    """A file of a form. It is in memory, as the whole request is."""

    def __init__(self, content: bytes, filename: str, headers: Headers) -> None:
        self.filename = filename
        """As the client says. Never use it as a path."""
        self.headers = headers
        self.content_type = headers.get("content-type", "")
        self.size = len(content)
        """In bytes."""
        self.file = BytesIO(content)

    def __repr__(self) -> str:
        return f"UploadFile({self.filename!r}, {self.size} bytes)"

    def read(self, size: int = -1) -> Content:
        """The next `size` bytes, or the rest. May be awaited, but needn't."""
        return Content(self.file.read(size))


class FormData(Fields[str | UploadFile]):
    """A form: texts, and an `UploadFile` for each file. May also be awaited."""

    def __await__(self) -> Generator[Any, Any, FormData]:
        yield from ()
        return self


def parse_form(content_type: str, body: bytes) -> FormData:
    """Raises InvalidBody: 415 if the body isn't a form, 400 if it can't be read."""
    described = Message()
    described["content-type"] = content_type or "application/octet-stream"
    kind = described.get_content_type()
    if kind == "application/x-www-form-urlencoded":
        return FormData(_urlencoded(body))
    if kind == "multipart/form-data":
        boundary = described.get_param("boundary")
        if not isinstance(boundary, str) or _BOUNDARY.fullmatch(boundary) is None:
            raise InvalidBody(400, "the form can't be read: its content-type has no proper boundary")
        return FormData(_multipart(body, boundary.encode("ascii")))
    raise InvalidBody(
        415, "the body must be a form: application/x-www-form-urlencoded or multipart/form-data"
    )


def _urlencoded(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    except UnicodeDecodeError:
        raise InvalidBody(400, "the form can't be read: it is not UTF-8") from None
    except ValueError:
        raise _too_many() from None


def _multipart(body: bytes, boundary: bytes) -> Iterator[tuple[str, str | UploadFile]]:
    """The parts between lines of `--boundary`. Text before the first and after the last one is ignored."""
    delimiter = b"\r\n--" + boundary
    parts = (b"\r\n" + body).split(delimiter, FIELDS_MAX + 2)
    for at, part in enumerate(parts[1:]):
        if part.startswith(b"--"):
            return
        if at >= FIELDS_MAX:
            raise _too_many()
        line, _, rest = part.partition(b"\r\n")
        if line.strip(b" \t") or at + 2 >= len(parts):
            break
        yield _part(rest)
    raise InvalidBody(400, "the form can't be read: its last boundary is missing")


def _part(part: bytes) -> tuple[str, str | UploadFile]:
    head, ended, content = part.partition(b"\r\n\r\n")
    if not ended or len(head) > _HEAD_BYTES_MAX:
        raise InvalidBody(400, "the form can't be read: a part has no proper header")
    try:
        lines = head.decode().split("\r\n")
        headers = Headers((name, value.strip()) for name, _, value in (line.partition(":") for line in lines))
        said = {
            name.lower(): value for name, value in _PARAMETER.findall(headers.get("content-disposition", ""))
        }
        if "name" not in said:
            raise InvalidBody(400, "the form can't be read: a part has no name")
        name = _unquoted(said["name"])
        if "filename" in said:
            return name, UploadFile(content, _unquoted(said["filename"]), headers)
        return name, content.decode()
    except UnicodeDecodeError:
        raise InvalidBody(400, "the form can't be read: it is not UTF-8") from None


def _unquoted(text: str) -> str:
    escaped = re.sub(r'\\(["\\])', r"\1", text)
    return escaped.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")


def _too_many() -> InvalidBody:
    return InvalidBody(400, f"the form has more than {FIELDS_MAX} fields")
