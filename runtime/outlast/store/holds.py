"""What is held because no code fits it, over the instance's pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json, to_json

from outlast.core.holds import HeldNow, Hold
from outlast.core.storable import clean_json
from outlast.store.pool import Pool
from outlast.store.queries import load
from outlast.store.repeatable import rows_of

LIMIT = 1_000
"""So many are let go on, held or ended by one statement."""

_SQL = load("holds.sql")


class PostgresHolds:
    """`HoldStore` for one instance."""

    def __init__(self, pool: Pool, instance_id: str) -> None:
        self._pool = pool
        self._instance_id = instance_id

    async def hold(self, holds: Sequence[tuple[str, int, Hold]]) -> dict[str, bool]:
        """See HoldStore."""
        parameters = {
            "ids": [workflow_id for workflow_id, _, _ in holds],
            "epochs": [epoch for _, epoch, _ in holds],
            "details": [clean_json(hold.text) for _, _, hold in holds],
        }
        return {row["workflow_id"]: row["held"] for row in await self._rows("hold", parameters)}

    async def tell_versions(self, versions: Mapping[str, str]) -> None:
        """See HoldStore."""
        await self._rows("tell_versions", {"versions": to_json(versions).decode()})

    async def free(self) -> int:
        """See HoldStore."""
        (row,) = await self._rows("free", {"limit": LIMIT})
        return int(row["freed"])

    async def hold_unserved(self, grace_s: float) -> list[HeldNow]:
        """See HoldStore."""
        rows = await self._rows("hold_unserved", {"grace": grace_s, "limit": LIMIT})
        return [HeldNow(row["workflow_id"], row["function"], from_json(row["held"])) for row in rows]

    async def end(self, days: float) -> int:
        """See HoldStore."""
        (row,) = await self._rows("end", {"days": days, "limit": LIMIT})
        return int(row["ended"])

    async def counts(self) -> dict[str, int]:
        """See HoldStore."""
        (row,) = await self._rows("counts", {})
        return dict(from_json(row["counts"]))

    async def _rows(self, query: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        return await rows_of(self._pool, _SQL[query], {"instance": self._instance_id, **parameters})
