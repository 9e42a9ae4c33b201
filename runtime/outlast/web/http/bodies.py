"""What a request may be: its head, and the sizes and the JSON of its body."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from pydantic_core import from_json

from outlast.core.bounds import check_numbers
from outlast.core.errors import InvalidJson, NotSerializable
from outlast.core.storable import check_json
from outlast.web.http.calls import Call
from outlast.web.http.problems import Problem, ProblemError, nul_character

_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?")
_ONCE = ("authorization", "apikey")
_ENCODING = b"content-encoding"


def check_head(call: Call) -> None:
    """Refuse a head that proxies and servers could read differently. Raises ProblemError (400, 501).

    See RFC 9112, sections 3.2 and 6.1. The connection ends with the answer: where the next request begins is
    in doubt.
    """
    version = call.scope.get("http_version", "1.1")
    hosts = call.header_values(b"host")
    # guard: two-hosts
    if len(hosts) > 1:
        raise _refusal("Host is repeated; send it once")
    if not hosts and version == "1.1":
        raise _refusal("Host is missing; HTTP/1.1 needs it")
    if hosts and _HOST.fullmatch(hosts[0]) is None:
        raise _refusal("Host is no name or address with an optional port")
    codings = call.header_values(b"transfer-encoding")
    if version == "1.0" and codings:
        raise _refusal("HTTP/1.0 has no Transfer-Encoding; send a Content-Length, or HTTP/1.1")
    # The parser refuses all but a last `chunked`. With another one before it the body would still be encoded.
    # guard: transfer-codings-taken-for-none = False
    if codings and ",".join(codings).strip().lower() != "chunked":
        detail = "of transfer codings only `chunked` is known here; send the body as it is"
        raise ProblemError(_closing("unsupported_encoding", detail, 501))
    for name in _ONCE if call.repeats else ():
        if len(call.header_values(name.encode())) > 1:
            raise _refusal(f"{name} is repeated; send it once")


def refuse_encoded(call: Call) -> None:
    """Refuse a body with a Content-Encoding. Raises ProblemError (415; RFC 9110, section 15.5.16)."""
    if call.header(_ENCODING) is None:
        return
    encodings = ",".join(call.header_values(_ENCODING))
    if any(each.strip().lower() not in ("", "identity") for each in encodings.split(",")):
        detail = f"a body with Content-Encoding {encodings[:50]} isn't taken here; send it as it is"
        headers = (("accept-encoding", "identity"),)
        raise ProblemError(Problem("unsupported_encoding", detail, headers=headers))


def _refusal(detail: str) -> ProblemError:
    return ProblemError(_closing("invalid_http", detail))


def _closing(code: str, detail: str, status: int = 0) -> Problem:
    """A problem after whose answer the connection ends."""
    return Problem(code, detail, headers=(("connection", "close"),), status=status)


class BodyLimits(NamedTuple):
    """Limits of a body: by default, for functions that ask for more, and before it is verified."""

    bytes_max: int
    asked_bytes_max: int
    unverified_bytes_max: int

    def limit_of(self, asked: int | None, *, verified: bool = True) -> int:
        """The limit of a function that asks for `asked` bytes, or for no particular number."""
        usual = self.bytes_max if verified else min(self.bytes_max, self.unverified_bytes_max)
        return usual if asked is None else min(asked, max(self.bytes_max, self.asked_bytes_max))


def read_json(body: bytes, what: str) -> tuple[str, Any]:
    """A body that can be stored as JSON: its text and its value. `what` says in words what it must be.

    Raises InvalidJson (400), ProblemError (400).
    """
    try:
        read = from_json(body, allow_inf_nan=False)
        check_numbers(body)
        text = body.decode()
    except ValueError as error:
        raise InvalidJson(f"the body must be {what}, as JSON: {error}") from None
    try:
        check_json(text, what)
    except NotSerializable as error:
        raise nul_character(error) from None
    return text, read
