"""Whether this instance lives, and whether it is ready for calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from outlast.core.ports import Unreachable
from outlast.engine.engine import Engine
from outlast.functions.catalog import Catalog
from outlast.web.http.answers import Answer, json_answer
from outlast.web.http.calls import Call

CHECK_S_MAX = 2.0


class Health:
    """The probes. `schema_current` says whether the schema is up to date, and raises Unreachable.

    `failed_apps` names functions whose application can't be called.
    """

    def __init__(
        self,
        engine: Engine,
        functions: Catalog,
        schema_current: Callable[[], Awaitable[bool]],
        failed_apps: Callable[[], Collection[str]],
    ) -> None:
        self._engine = engine
        self._functions = functions
        self._schema_current = schema_current
        self._failed_apps = failed_apps
        self._looking: asyncio.Task[tuple[str, str]] | None = None

    async def alive(self, call: Call) -> Answer:
        """200 while this process answers at all. The database is not asked."""
        return json_answer({"status": "ok"})

    async def ready(self, call: Call) -> Answer:
        """200 if calls can be taken, else 503. With a broken file or app the status is `degraded`."""
        database, schema = await self._look()
        files = {file.name for file in self._functions.files() if file.error is not None}
        broken = sorted(files.union(self._failed_apps()))
        functions: dict[str, Any] = {"status": "degraded", "broken": broken} if broken else {"status": "ok"}
        ready = not self._engine.stopping and (database, schema) == ("ok", "ok")
        status = "stopping" if self._engine.stopping else "unavailable"
        if ready:
            status = "degraded" if broken else "ok"
        checks: dict[str, Any] = {
            "functions": functions,
            "database": {"status": database},
            "schema": {"status": schema},
        }
        if held := self._engine.held:  # no matter for a probe: other instances would not be readier
            checks["held"] = {"status": "waiting", **held}
        headers = () if ready else ((b"retry-after", b"1"),)
        return json_answer({"status": status, "checks": checks}, 200 if ready else 503, headers)

    async def _look(self) -> tuple[str, str]:
        """The state of database and schema. Concurrent probes share one query, so that they can't pile up."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look_once())
        return await asyncio.shield(self._looking)

    async def _look_once(self) -> tuple[str, str]:
        try:
            async with asyncio.timeout(CHECK_S_MAX):
                current = await self._schema_current()
        except TimeoutError:
            return "slow", "unknown"
        except Unreachable:
            return "unreachable", "unknown"
        # guard: ready-while-stalled
        if self._engine.journal_stalled:  # it answers but takes no writes: a lock, a full disk, a fault
            return "stalled", "ok" if current else "outdated"
        return "ok", "ok" if current else "outdated"
