"""What web pages of other origins may do: read answers (CORS), and call a host that asks nobody who they are.

Where callers prove who they are by a token, pages of any origin may call. A host that asks for no token only
accepts calls from its own machine, and from named hosts. Only its own pages may call the dashboard.

A web page can make its reader's browser call `http://localhost:8000`: by a form or a `fetch` whose answer it
can't read, or under a name of its own that leads to 127.0.0.1 (DNS rebinding). The browser then sends the
page's `Origin`, `Sec-Fetch-Site: cross-site`, or the page's own name as `Host`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from outlast.sdk.definitions import METHODS
from outlast.web.http.answers import ALLOW_ORIGIN, Answer, Pairs
from outlast.web.http.calls import Call
from outlast.web.http.problems import Problem, ProblemError
from outlast.web.http.requests import PROBES
from outlast.web.http.routes import DASHBOARD

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


class Neighbours:
    """Accepts calls to a loopback name or one of `hosts`, if they come from a page of such a host or of
    `origins`. `*` in `hosts` accepts all."""

    def __init__(self, hosts: Iterable[str], origins: Iterable[str]) -> None:
        self._hosts = frozenset(_normalize(host) for host in hosts)
        self._origins = frozenset(origin for origin in origins if origin != "*")
        self._known_last: str | None = None
        """The Host that was looked at last, and is known: most calls name the same one."""

    def check(self, call: Call) -> None:
        """Refuse a call that a foreign web page may have made. Raises ProblemError (403)."""
        if "*" in self._hosts or call.path in PROBES:
            return
        host = call.header(b"host")
        # guard: any-host
        if host and host != self._known_last and not self._is_known(_name_of(f"http://{host}")):
            raise _refusal("the name in Host is", "OUTLAST_ALLOWED_HOSTS")
        self._known_last = host
        origins = call.header_values(b"origin")
        if not all(self._may_call(origin) for origin in origins):
            raise _refusal("the page in Origin is", "OUTLAST_CORS_ORIGINS")
        if not origins and call.header(b"sec-fetch-site") == "cross-site":
            raise _refusal("the page that sent the browser here is", "OUTLAST_ALLOWED_HOSTS")

    def _may_call(self, origin: str) -> bool:
        return origin in self._origins or self._is_known(_name_of(origin))

    def _is_known(self, name: str | None) -> bool:
        return name is not None and (name in self._hosts or _is_loopback(name))


def _name_of(url: str) -> str | None:
    """The host name of an http(s) URL; None for anything else, such as `null`."""
    try:
        parts = urlsplit(url)
        name = parts.hostname if parts.scheme in ("http", "https") else None
    except ValueError:
        return None
    return _normalize(name) if name else None


def _normalize(host: str) -> str:
    return host.strip("[]").lower().removesuffix(".")


def _is_loopback(name: str) -> bool:
    """`localhost` and names below it never leave the machine (RFC 6761, section 6.3)."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _refusal(what: str, variable: str) -> ProblemError:
    detail = (
        f"{what} not known here: this host asks nobody who they are (--no-verify-jwt), so it answers calls "
        f"to and from this machine alone, and what {variable} names"
    )
    return ProblemError(Problem("foreign_origin", detail))


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
    """Header fields of every answer. `origins` may read them, but for the dashboard; `*` stands for all."""
    # guard: pages-read-across-origins
    if is_dashboard(call.path):
        return []
    if "*" in origins:
        return EVERYWHERE
    origin = call.header(b"origin")
    allowed = [(ALLOW_ORIGIN, origin.encode("latin-1")), _EXPOSE] if origin and origin in origins else []
    return [*allowed, (b"vary", b"origin")]


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
