"""Cross-origin access: browsers may call from anywhere, since callers prove who they are by a token."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.types import Message, Send

from outlast.sdk.definitions import METHODS
from outlast.web.answers import Answer, Pairs
from outlast.web.calls import Call

_ALLOWED = (
    "authorization, x-client-info, apikey, content-type, idempotency-key, prefer, x-region, x-retry-count, "
    "traceparent, tracestate, baggage, last-event-id"
)
_EXPOSE = (
    b"access-control-expose-headers",
    b"workflow-id, idempotency-replayed, location, retry-after, preference-applied, link, sb-error-code, "
    b"x-relay-error",  # without it supabase-js in a browser can't tell the host's faults
)
_ORIGIN = b"access-control-allow-origin"
EVERYWHERE: Pairs = [(_ORIGIN, b"*"), _EXPOSE]
"""For whoever asks."""


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


def shared(send: Send, call: Call, origins: Sequence[str]) -> Send:
    """`send` that adds the CORS headers to whatever is answered, unless the answer brings its own.

    `origins` may read the answers; `*` stands for all.
    """

    async def send_shared(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers: Pairs = list(message.get("headers", ()))
            if not any(name == _ORIGIN for name, _ in headers):
                headers += _headers(call, origins)
            message = {**message, "headers": headers}
        await send(message)

    return send_shared


def _headers(call: Call, origins: Sequence[str]) -> Pairs:
    if "*" in origins:
        return EVERYWHERE
    origin = call.header(b"origin")
    allowed = [(_ORIGIN, origin.encode("latin-1")), _EXPOSE] if origin and origin in origins else []
    return [*allowed, (b"vary", b"origin")]
