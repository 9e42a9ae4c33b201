"""Which header fields of a request are stored with a workflow: what is listed here or asked for, bounded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from outlast.core.errors import UsageError

RECORDED = frozenset({
    "accept", "accept-language", "content-type", "content-length", "content-encoding", "content-language",
    "user-agent", "origin", "idempotency-key", "prefer", "x-region", "x-client-info", "x-request-id",
    "x-correlation-id", "traceparent", "tracestate", "baggage",
    "webhook-id", "webhook-timestamp", "webhook-signature",
})  # fmt: skip
"""Stored of every request."""

HEADERS_BYTES_MAX = 8 * 1024
"""Of all that is stored, names and values. What would go beyond is left out, whole fields at a time."""

ASKED_MAX = 50
_SECRET = re.compile(r"auth|cookie|token|secret|passw|session|credential|api-?key")
_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,100}")


def recorded(headers: Iterable[tuple[str, str]], asked: Iterable[str] = ()) -> list[tuple[str, str]]:
    """The fields that are stored, in the order sent. `headers` by lower-case name."""
    wanted = RECORDED.union(asked)
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
    """Whether a field of this name may hold a credential: such are never stored."""
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
