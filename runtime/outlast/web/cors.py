"""Cross-origin access: browsers may call from anywhere, since callers prove who they are by a token."""

from __future__ import annotations

from starlette.types import Message, Send

from outlast.sdk.definitions import METHODS
from outlast.web.answers import Answer, Pairs
from outlast.web.calls import Call

_ALLOWED = (
    "authorization, x-client-info, apikey, content-type, idempotency-key, prefer, x-region, x-retry-count, "
    "traceparent, tracestate, baggage, last-event-id"
)
_EXPOSED = "workflow-id, idempotency-replayed, location, retry-after, preference-applied, link, sb-error-code"
_ORIGIN = (b"access-control-allow-origin", b"*")
_ON_EVERY_ANSWER: Pairs = [_ORIGIN, (b"access-control-expose-headers", _EXPOSED.encode())]


def preflight(call: Call) -> Answer:
    """The answer to OPTIONS: 204, before any check of who calls."""
    asked = call.header(b"access-control-request-headers")
    headers: Pairs = [
        _ORIGIN,
        (b"access-control-allow-methods", ", ".join((*METHODS, "OPTIONS")).encode()),
        (b"access-control-allow-headers", (f"{_ALLOWED}, {asked}" if asked else _ALLOWED).encode("latin-1")),
        (b"access-control-max-age", b"86400"),
        (b"vary", b"access-control-request-headers"),
    ]
    return Answer(204, b"", headers)


def sharing(send: Send) -> Send:
    """`send` that adds the CORS headers to whatever is answered, unless the answer brings its own."""

    async def send_shared(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers: Pairs = list(message.get("headers", ()))
            if not any(name == _ORIGIN[0] for name, _ in headers):
                headers += _ON_EVERY_ANSWER
            message = {**message, "headers": headers}
        await send(message)

    return send_shared
