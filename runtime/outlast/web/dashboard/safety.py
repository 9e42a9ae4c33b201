"""What keeps other pages out of the dashboard: header fields, and where a form may come from."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.types import Message, Send

from outlast.web.http.answers import NO_STORE, Pairs
from outlast.web.http.calls import Call, Sendable
from outlast.web.http.problems import Problem, ProblemError

DASHBOARD = "/dashboard"

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


def is_dashboard(path: str) -> bool:
    """Whether a path is the dashboard's."""
    return path == DASHBOARD or path.startswith(f"{DASHBOARD}/")


def check_same_origin(call: Call) -> None:
    """Refuse what a page of another origin sends. Raises ProblemError (403).

    Browsers say `Sec-Fetch-Site` themselves over https and on loopback, and `Origin` with each POST.
    """
    site = call.header(b"sec-fetch-site")
    # guard: forms-of-other-sites
    if site not in (None, "same-origin"):
        raise ProblemError(_foreign(f"the page that sent this is {site} to this one"))
    if site is None and not _is_own(call.header(b"origin"), call.header(b"host")):
        raise ProblemError(_foreign("what sent this doesn't say that it is a page of this host"))


def _is_own(origin: str | None, host: str | None) -> bool:
    if not origin or not host:
        return False
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _foreign(what: str) -> Problem:
    return Problem(
        "foreign_origin",
        f"{what}: use the dashboard's own pages, or send a secret key as Authorization: Bearer",
    )
