"""The composition root of one instance: store, functions, engine and web, started and stopped in order."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import socket
from importlib.metadata import version as package_version
from pathlib import Path

from starlette.types import ASGIApp

from outlast.core.observations import DatabaseLost, Observer
from outlast.core.ports import Unreachable
from outlast.engine.engine import Engine
from outlast.engine.settling import end_tasks
from outlast.functions.catalog import Catalog
from outlast.functions.watching import watch
from outlast.host.settings import Settings
from outlast.store.connections import Database
from outlast.store.migrations import migrate, pending
from outlast.store.postgres import PostgresStore
from outlast.store.project import apply_project
from outlast.web.app import Web
from outlast.web.credentials import Credentials
from outlast.web.invoke import Invoker
from outlast.web.management import management_app
from outlast.web.streaming import Streamer

JOIN_RETRY_MAX_S = 5.0
PROJECT_FOLDER = Path("supabase")
"""The project's own migrations and seed: on the embedded database the host applies them."""


class Instance:
    """One running host process. `app` is its ASGI application."""

    app: ASGIApp

    def __init__(
        self, settings: Settings, database_url: str, secret_keys: list[str], observe: Observer
    ) -> None:
        """Must be made on the event loop that it runs on."""
        self.instance_id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.catalog = Catalog(settings.functions, observe, settings.import_s_max)
        version = package_version("outlast")
        self._settings = settings
        self._observe = observe
        self._database = Database.at(database_url, f"outlast/{self.instance_id}"[:63], settings.db_sessions)
        self._store = PostgresStore(
            self._database, self.instance_id, version, settings.db_connections, settings.recovery_limits()
        )
        store = self._store
        self.engine = Engine(
            self.instance_id,
            store.journal,
            store.transactions,
            store.instances,
            store.workflows,
            store.messages,
            self.catalog,
            observe,
            settings.engine_options(),
        )
        credentials = Credentials(secret_keys)
        invoker = Invoker(
            self.engine,
            settings.sync_wait_s,
            settings.body_bytes_max,
            settings.calls_per_caller_max or settings.workflows_max,
        )
        self.app = Web(
            functions=self.catalog,
            invoker=invoker,
            streamer=Streamer(self.engine, invoker, store.workflows),
            host=self.engine,
            credentials=credentials,
            verify_jwt=settings.verify_jwt,
            body_bytes_max=settings.body_bytes_max,
            management=management_app(
                engine=self.engine,
                workflows=store.workflows,
                functions=self.catalog,
                credentials=credentials,
                schema_current=self._schema_current,
                version=version,
                body_bytes_max=settings.body_bytes_max,
                verify_jwt=settings.verify_jwt,
            ),
            cors_origins=settings.cors_origins,
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._joined = False
        self._stopped = asyncio.Event()

    async def start(self, patience_s: float) -> None:
        """Load the functions and join the database; serving may begin when this returns.

        If the database isn't there within `patience_s` seconds, joining goes on behind and calls get 503.
        """
        self.catalog.load()
        await self._store.open()
        loop = asyncio.get_running_loop()
        joining = loop.create_task(self._join(), name="outlast-join")
        self._tasks.append(joining)
        if self._settings.reload:
            self._tasks.append(loop.create_task(watch(self.catalog, self._stopped), name="outlast-watch"))
        done, _ = await asyncio.wait([joining], timeout=patience_s)
        for task in done:
            if not task.cancelled():  # by `stop`, which may come before the database does
                task.result()

    async def stop(self) -> None:
        """Hand over what runs and let go of everything."""
        self._stopped.set()
        await end_tasks(self._tasks)
        await self.engine.close()
        await self._store.close()

    async def _join(self) -> None:
        failures = 0
        while True:
            try:
                if await pending(self._database):
                    await migrate(self._database)
                if self._settings.db_url is None:
                    await apply_project(self._database, PROJECT_FOLDER)
                await self.engine.open()
                self._joined = True
                return
            except Unreachable as error:
                failures += 1
                if failures == 1:
                    self._observe(DatabaseLost("start", str(error)))
                ceiling = min(JOIN_RETRY_MAX_S, 0.2 * 2**failures)
                await asyncio.sleep(random.uniform(ceiling / 2, ceiling))

    async def _schema_current(self) -> bool:
        if not self._joined or self.engine.database_away:
            raise Unreachable("this instance could not write its last batch, or none yet")
        return not await pending(self._database)
