"""Sessions at the dashboard, over the instance's pool: any process of the host finds them."""

from __future__ import annotations

from outlast.store.pool import OverPool
from outlast.store.queries import load
from outlast.store.repeatable import rows_of

_SQL = load("sessions.sql")

SESSIONS_MAX = 1_000
"""At most so many sessions exist at a time. A new one replaces the oldest."""


class PostgresSessions(OverPool):
    """Rows of `outlast.dashboard_sessions`. All methods raise Unreachable."""

    async def open(self, id_hash: bytes, key_mark: bytes, lasts_s: float) -> None:
        """Begin a session that ends after `lasts_s` seconds of the database's clock."""
        parameters = {"id_hash": id_hash, "key_mark": key_mark, "lasts_s": lasts_s, "most": SESSIONS_MAX}
        await rows_of(self._pool, _SQL["open"], parameters)

    async def find(self, id_hash: bytes) -> bytes | None:
        """The key's mark of a session that hasn't ended; None without such a session."""
        rows = await rows_of(self._pool, _SQL["find"], {"id_hash": id_hash})
        return bytes(rows[0]["key_mark"]) if rows else None

    async def close(self, id_hash: bytes) -> None:
        """End a session for good."""
        await rows_of(self._pool, _SQL["close"], {"id_hash": id_hash})
