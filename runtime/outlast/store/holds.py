"""Workflows that are held because no code fits them, over the instance's pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json, to_json

from outlast.core.holds import HeldNow, Hold, HoldsSeen
from outlast.core.ports import HoldStore
from outlast.core.storable import clean_json
from outlast.store.pool import OverPool
from outlast.store.queries import load
from outlast.store.repeatable import rows_of

LIMIT = 1_000
"""So many are freed, held or ended by one statement."""

_SQL = load("holds.sql")


class PostgresHolds(OverPool, HoldStore):
    """`HoldStore` for one instance."""

    async def hold(self, holds: Sequence[tuple[str, int, Hold]]) -> dict[str, bool]:
        parameters = {
            "ids": [workflow_id for workflow_id, _, _ in holds],
            "epochs": [epoch for _, epoch, _ in holds],
            "details": [clean_json(hold.text) for _, _, hold in holds],
        }
        return {row["workflow_id"]: row["held"] for row in await self._rows("hold", parameters)}

    async def pin(self, workflow_id: str, epoch: int, version: str) -> bool:
        return bool(await self._rows("pin", {"workflow": workflow_id, "epoch": epoch, "version": version}))

    async def look(self, versions: Mapping[str, str], grace_s: float, days: float) -> HoldsSeen:
        (row,) = await self._rows(
            "look",
            {"versions": to_json(versions).decode(), "grace": grace_s, "days": days, "limit": LIMIT},
        )
        held = [
            HeldNow(each["workflow_id"], each["function"], each["held"]) for each in from_json(row["held"])
        ]
        return HoldsSeen(row["freed"], held, row["ended"], dict(from_json(row["counts"])))

    async def _rows(self, query: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        return await rows_of(self._pool, _SQL[query], {"instance": self._instance_id, **parameters})
