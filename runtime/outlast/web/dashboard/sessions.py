"""Sessions: a random id in a cookie, whose hash is a row. Every process of the host finds it, and its end."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from outlast.store.sessions import PostgresSessions
from outlast.web.dashboard.viewers import Key, Keys, Viewer, mark_of
from outlast.web.http.calls import Call
from outlast.web.http.routes import DASHBOARD
from outlast.web.management.owned import as_unavailable

COOKIE = "outlast_session"
LASTS_S = 12 * 3600
COOKIES_MAX = 4
_ID_CHARS_MAX = 100


class Sessions:
    """Begins, finds and ends sessions. All methods raise DatabaseUnavailable."""

    def __init__(self, rows: PostgresSessions, keys: Keys) -> None:
        self._rows = rows
        self._keys = keys

    async def begin(self, key: Key) -> str:
        """The id of a new session: never one that a browser brought along."""
        session_id = secrets.token_urlsafe(32)
        with as_unavailable():
            await self._rows.open(_hash(session_id), mark_of(key, session_id), LASTS_S)
        return session_id

    async def find(self, call: Call) -> Viewer | None:
        """Who is signed in by the call's cookie, if that session goes on.

        Another site of the machine, or a page above this one, can plant a cookie of the same name. One that
        is no session changes nothing; where two are, nobody knows whose the call is: then it has none.
        """
        going = [found for each in cookies_of(call) if (found := await self._going(each)) is not None]
        # guard: two-sessions-at-once = going[0] if going else None
        return going[0] if len(going) == 1 else None

    async def _going(self, session_id: str) -> Viewer | None:
        with as_unavailable():
            mark = await self._rows.find(_hash(session_id))
        key = None if mark is None else self._keys.marked(session_id, mark)
        return None if key is None else self._keys.viewer(key, csrf_of(session_id))

    async def end(self, call: Call) -> None:
        """End the sessions of the call's cookies, wherever else those may be."""
        for session_id in cookies_of(call):
            with as_unavailable():
                # guard: signed-out-goes-on
                await self._rows.close(_hash(session_id))


def cookies_of(call: Call) -> list[str]:
    """The ids that a browser sends, COOKIES_MAX at most: one, unless another one was planted."""
    pairs = (each.strip().partition("=") for each in "; ".join(call.header_values(b"cookie")).split(";"))
    found = (value.strip('"') for name, _, value in pairs if name == COOKIE)
    return list(dict.fromkeys(each for each in found if 0 < len(each) <= _ID_CHARS_MAX))[:COOKIES_MAX]


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
