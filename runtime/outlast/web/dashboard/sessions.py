"""Sessions: a random id in a cookie, whose hash is a row. Every process of the host finds it, and its end."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import NamedTuple, Protocol

from outlast.web.dashboard.safety import DASHBOARD
from outlast.web.dashboard.viewers import Key, Keys, Viewer, mark_of
from outlast.web.http.calls import Call
from outlast.web.management.owned import as_unavailable

COOKIE = "outlast_session"
LASTS_S = 12 * 3600
_ID_CHARS_MAX = 100


class SessionRows(Protocol):
    """Where sessions are kept. All methods raise Unreachable."""

    async def open(self, id_hash: bytes, key_mark: bytes, lasts_s: float) -> None:
        """Begin a session, which is over after `lasts_s` seconds."""
        ...

    async def find(self, id_hash: bytes) -> bytes | None:
        """The key's mark of a session that isn't over."""
        ...

    async def close(self, id_hash: bytes) -> None:
        """End a session for good."""
        ...


class Session(NamedTuple):
    """Who is signed in."""

    session_id: str
    viewer: Viewer


class Sessions:
    """Begins, finds and ends sessions. All methods raise DatabaseUnavailable."""

    def __init__(self, rows: SessionRows, keys: Keys) -> None:
        self._rows = rows
        self._keys = keys

    async def begin(self, key: Key) -> str:
        """The id of a new session: never one that a browser brought along."""
        session_id = secrets.token_urlsafe(32)
        with as_unavailable():
            await self._rows.open(_hash(session_id), mark_of(key, session_id), LASTS_S)
        return session_id

    async def find(self, call: Call) -> Session | None:
        """The session of the call's cookie, if it goes on."""
        session_id = cookie_of(call)
        if session_id is None:
            return None
        with as_unavailable():
            mark = await self._rows.find(_hash(session_id))
        key = None if mark is None else self._keys.marked(session_id, mark)
        return None if key is None else Session(session_id, self._keys.viewer(key, csrf_of(session_id)))

    async def end(self, call: Call) -> None:
        """End the session of the call's cookie, wherever else that cookie may be."""
        session_id = cookie_of(call)
        if session_id is not None:
            with as_unavailable():
                # guard: signed-out-goes-on
                await self._rows.close(_hash(session_id))


def cookie_of(call: Call) -> str | None:
    """The id that a browser sends."""
    try:
        found = SimpleCookie("; ".join(call.header_values(b"cookie"))).get(COOKIE)
    except CookieError:
        return None
    return found.value if found is not None and 0 < len(found.value) <= _ID_CHARS_MAX else None


def set_cookie(call: Call, session_id: str) -> tuple[bytes, bytes]:
    """The header field by which a browser keeps the id; an empty one is forgotten."""
    lasts_s = LASTS_S if session_id else 0
    secure = "; Secure" if call.scope.get("scheme") == "https" else ""
    text = f"{COOKIE}={session_id}; Path={DASHBOARD}; Max-Age={lasts_s}; HttpOnly; SameSite=Strict{secure}"
    return (b"set-cookie", text.encode())


def csrf_of(session_id: str) -> str:
    """The token that forms of a session carry."""
    token = hmac.digest(session_id.encode(), b"forms of the dashboard", "sha256")
    return base64.urlsafe_b64encode(token).decode().rstrip("=")


def _hash(session_id: str) -> bytes:
    return hashlib.sha256(session_id.encode()).digest()
