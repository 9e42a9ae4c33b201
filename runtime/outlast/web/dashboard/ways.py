"""Addresses of pages, the gate's own, and where a browser goes on from those."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote

from outlast.web.http.calls import Call
from outlast.web.http.routes import DASHBOARD, raw_path

LOGIN = f"{DASHBOARD}/login"
LOGOUT = f"{DASHBOARD}/logout"
SESSION = f"{DASHBOARD}/session"
_NEXT = "next"
_OURS = re.compile(rf"{DASHBOARD}(?:[/?][!-\[\]-~]*)?")
_PATH_CHARS_MAX = 4_000


def part(key: str) -> str:
    """A key as a part of a path."""
    return quote(key, safe="")


def workflow_url(workflow_id: str) -> str:
    """The page of a workflow."""
    return f"{DASHBOARD}/workflows/{part(workflow_id)}"


def sign_in_at(call: Call) -> str:
    """The sign-in page, which leads back to what was asked for."""
    asked = here(call)
    unfit = call.method not in ("GET", "HEAD") or asked.startswith((LOGIN, LOGOUT))
    return LOGIN if unfit or asked == DASHBOARD or len(asked) > _PATH_CHARS_MAX else with_way(asked)


def with_way(asked: str) -> str:
    """The address of the sign-in page that leads on to `asked`."""
    return f"{LOGIN}?{_NEXT}={quote(asked, safe='')}"


def way_on(call: Call) -> str:
    """Where to go after signing in: a page of the dashboard, whatever the query says."""
    found = dict(parse_qsl(call.query.decode("latin-1")[: 3 * _PATH_CHARS_MAX])).get(_NEXT, DASHBOARD)
    # guard: led-elsewhere-after-signing-in
    return found if _OURS.fullmatch(found) and not found.startswith((LOGIN, LOGOUT)) else DASHBOARD


def here(call: Call) -> str:
    """What was asked for, as it was sent."""
    query = call.query.decode("latin-1")
    return f"{raw_path(call)}?{query}" if query else raw_path(call)
