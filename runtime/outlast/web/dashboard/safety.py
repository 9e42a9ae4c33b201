"""What keeps other pages out of the dashboard: the header fields of all its answers."""

from __future__ import annotations

from starlette.types import Message, Send

from outlast.web.http.answers import NO_STORE, Pairs
from outlast.web.http.calls import Sendable

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS: Pairs = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    # Not no-referrer: with that a form says that it comes from nowhere. No other site learns a path.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-robots-tag", b"noindex, nofollow"),
    NO_STORE,
]


class Guarded:
    """An answer with the header fields that all of the dashboard has, unless it says otherwise itself."""

    def __init__(self, answer: Sendable) -> None:
        self._answer = answer

    def size(self) -> int:
        """Bytes of its body."""
        return self._answer.size()

    async def send(self, send: Send) -> None:
        """Send it."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = [*message.get("headers", ())]
                named = {name for name, _ in given}
                missing = [pair for pair in _HEADERS if pair[0] not in named]
                message = {**message, "headers": [*given, *missing]}
            await send(message)

        await self._answer.send(sending)
