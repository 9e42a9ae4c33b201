"""The composition root of one instance: store, functions, engine and web, started and stopped in order."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import socket
from collections.abc import Mapping
from importlib.metadata import version as package_version
from pathlib import Path

from starlette.types import ASGIApp

from outlast.core.clock import Clock
from outlast.core.observations import (
    DatabaseLost,
    NothingServed,
    Observer,
    SchemaMigrated,
    SchemaNewer,
)
from outlast.core.ports import Unreachable
from outlast.engine.concurrency import end_tasks
from outlast.engine.engine import Engine
from outlast.functions.catalog import Catalog
from outlast.functions.watching import watch
from outlast.host.clients import supabase_clients
from outlast.host.rereading import Rereading
from outlast.host.settings import Settings
from outlast.host.surroundings import Surroundings
from outlast.host.web import web_floor
from outlast.store.connections import Database
from outlast.store.postgres import PostgresStore
from outlast.store.project import apply_project
from outlast.store.realtime import Broadcasts
from outlast.store.supabase import play_supabase

JOIN_RETRY_MAX_S = 5.0
PROJECT_FOLDER = Path("supabase")
"""The project's own migrations and seed: on the embedded database the host applies them."""


class Instance:
    """One running host process. `app` is its ASGI application."""

    app: ASGIApp

    def __init__(
        self, settings: Settings, database_url: str, secret_keys: Mapping[str, str], observe: Observer
    ) -> None:
        """Must be made on the event loop that it runs on."""
        self.instance_id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        surroundings = Surroundings(settings)
        surroundings.add_supabase(settings, database_url, secret_keys, self.instance_id)
        self.catalog = Catalog(settings.functions, observe, settings.import_s_max, surroundings.declare)
        version = package_version("outlast")
        self._settings = settings
        self._observe = observe
        self._database = Database.at(
            database_url, f"outlast/{self.instance_id}"[:63], settings.db_sessions, observe
        )
        self._store = PostgresStore(
            self._database,
            self.instance_id,
            version,
            settings.db_connections,
            settings.recovery_limits(),
            Broadcasts(observe) if settings.realtime else None,
        )
        store = self._store
        clients = supabase_clients(settings.supabase_url, secret_keys, settings.publishable_keys, Clock())
        self.engine = Engine(
            self.instance_id,
            store,
            self.catalog,
            observe,
            settings.engine_options(),
            clients,
        )
        web = web_floor(
            settings,
            self.engine,
            store.workflows,
            self.catalog,
            secret_keys,
            observe,
            clients=clients,
            schema_current=self._schema_current,
        )
        self.app, self.requests, self._keys = web
        self._tasks: list[asyncio.Task[None]] = []
        self._joined = False
        self._stopped = asyncio.Event()

    async def start(self, patience_s: float) -> None:
        """Load the functions and join the database; serving may begin when this returns.

        If the database isn't there within `patience_s` seconds, joining goes on behind and calls get 503.
        """
        self.catalog.load()
        if not self.catalog.files():
            self._observe(NothingServed(str(self._settings.functions)))
        loop = asyncio.get_running_loop()
        joining = loop.create_task(self._join(), name="outlast-join")
        self._tasks.append(joining)
        if self._settings.reload:
            self._tasks.append(loop.create_task(watch(self.catalog, self._stopped), name="outlast-watch"))
            self._tasks.append(loop.create_task(self._reread(joining), name="outlast-reread"))
        done, _ = await asyncio.wait([joining], timeout=patience_s)
        for task in done:
            if not task.cancelled():  # by `stop`, which may come before the database does
                task.result()

    async def stop(self) -> None:
        """Hand over what runs and let go of everything."""
        self._stopped.set()
        await end_tasks(self._tasks)
        await self._keys.close()
        await self.engine.close()
        await self._store.close()

    async def _join(self) -> None:
        failures = 0
        while True:
            try:
                if self._settings.db_url is None:
                    await play_supabase(self._database)
                await self._migrate()
                await self.engine.open()
                self._joined = True
                return
            except Unreachable as error:
                failures += 1
                if failures == 1:
                    self._observe(DatabaseLost("start", str(error)))
                ceiling = min(JOIN_RETRY_MAX_S, 0.2 * 2**failures)
                await asyncio.sleep(random.uniform(ceiling / 2, ceiling))

    async def _reread(self, joining: asyncio.Task[None]) -> None:
        """Follow what lies beside the functions, once the database is as they were at the start."""
        rereading = Rereading(self._settings, self._database, PROJECT_FOLDER, self._observe)
        await asyncio.wait([joining])
        await rereading.run()

    async def _migrate(self) -> None:
        """Bring Outlast's schema up to date; on the embedded database the project's too."""
        applied, unknown = await self._store.migrate()
        if self._settings.db_url is None:
            applied += await apply_project(self._database, PROJECT_FOLDER)
        for file in applied:
            self._observe(SchemaMigrated(file))
        if unknown:
            self._observe(SchemaNewer(tuple(unknown)))

    async def _schema_current(self) -> bool:
        if not self._joined or self.engine.database_away:
            raise Unreachable("this instance could not write its last batch, or none yet")
        return await self._store.schema_current()
