"""Cross-origin access: pages of any origin may call, because callers prove who they are by a token."""

from __future__ import annotations

from collections.abc import Sequence

from outlast.sdk.definitions import METHODS
from outlast.web.http.answers import ALLOW_ORIGIN, Answer, Pairs
from outlast.web.http.calls import Call

_ALLOWED = (
    "authorization, x-client-info, apikey, content-type, idempotency-key, prefer, x-region, x-retry-count, "
    "outlast-attributes, outlast-delay, outlast-priority, traceparent, tracestate, baggage, last-event-id"
)
_EXPOSE = (
    b"access-control-expose-headers",
    b"workflow-id, workflow-generation, idempotency-replayed, location, retry-after, preference-applied, "
    b"link, sb-error-code, x-relay-error",  # without it supabase-js in a browser can't tell the host's faults
)
EVERYWHERE: Pairs = [(ALLOW_ORIGIN, b"*"), _EXPOSE]
"""The header fields if every origin may read answers."""


def preflight(call: Call) -> Answer:
    """The answer to OPTIONS: 204, before any check of who calls. The origin is added as to all answers."""
    asked = call.header(b"access-control-request-headers")
    headers: Pairs = [
        (b"access-control-allow-methods", ", ".join((*METHODS, "OPTIONS")).encode()),
        (b"access-control-allow-headers", (f"{_ALLOWED}, {asked}" if asked else _ALLOWED).encode("latin-1")),
        (b"access-control-max-age", b"86400"),
        (b"vary", b"access-control-request-headers"),
    ]
    return Answer(204, b"", headers)


def cors_headers(call: Call, origins: Sequence[str]) -> Pairs:
    """Header fields of every answer. `origins` may read the answers; `*` stands for all."""
    if "*" in origins:
        return EVERYWHERE
    origin = call.header(b"origin")
    allowed = [(ALLOW_ORIGIN, origin.encode("latin-1")), _EXPOSE] if origin and origin in origins else []
    return [*allowed, (b"vary", b"origin")]
