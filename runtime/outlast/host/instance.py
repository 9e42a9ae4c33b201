"""The composition root of one instance: store, functions, engine and web, started and stopped in order."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Mapping
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.types import ASGIApp

from outlast.core.background import Loop
from outlast.core.callbacks import Seals
from outlast.core.clock import Clock
from outlast.core.observations import (
    NothingServed,
    Observer,
    SchemaMigrated,
    SchemaNewer,
)
from outlast.core.ports import Unreachable
from outlast.engine.engine import Engine
from outlast.functions.catalog import Catalog
from outlast.functions.watching import FolderWatch
from outlast.host.clients import supabase_clients
from outlast.host.rereading import Rereading
from outlast.host.settings import Settings
from outlast.host.sharing import Part
from outlast.host.surroundings import Surroundings
from outlast.host.tracing import open_traces
from outlast.host.web import web_floor
from outlast.observe.listeners import Listeners
from outlast.store.connections import Database
from outlast.store.postgres import PostgresStore
from outlast.store.project import apply_project
from outlast.store.realtime import Broadcasts
from outlast.store.supabase import play_supabase

if TYPE_CHECKING:
    from outlast.observe.tracing import Spans

SPANS_S_MAX = 3.0
"""The longest time that sending the last spans may take."""

PROJECT_FOLDER = Path("supabase")
"""The project's own migrations and seed; the host applies them to the embedded database."""


class Instance:
    """One running host process. `app` is its ASGI application."""

    app: ASGIApp

    def __init__(
        self,
        settings: Settings,
        database_url: str,
        secret_keys: Mapping[str, str],
        observe: Observer,
        part: Part,
    ) -> None:
        """Must be made on the event loop that it runs on."""
        self.instance_id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        surroundings = Surroundings(settings)
        surroundings.add_supabase(settings, database_url, secret_keys, self.instance_id)
        clock = Clock()
        self._spans = open_traces(clock)
        if self._spans is not None:
            observe = Listeners(observe, self._spans)
        self.catalog = Catalog(settings.functions, observe, settings.import_s_max, surroundings.declare)
        version = package_version("outlast")
        self._settings = settings
        self._database_url = database_url
        self._part = part
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
            Seals(secret_keys.values(), settings.reached_at),
            self._spans,
        )
        self.scrape = part.scrape(store.measures, version)
        """What a scrape of metrics returns; None if there are no metrics."""
        web = web_floor(
            settings,
            self.engine,
            store.workflows,
            self.catalog,
            secret_keys,
            observe,
            clients=clients,
            schema_current=self._schema_current,
            scrape=self.scrape,
            read_lines=part.read_lines,
            sessions=store.sessions,
        )
        self.app, self.requests, self._keys, self._lifespans = web
        self._loops: list[Loop] = []
        self._start_ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._joined = False

    async def start(self, patience_s: float) -> None:
        """Load the functions and join the database; serving may begin when this returns.

        If the database isn't reachable within `patience_s` seconds, joining goes on in the background, and
        calls get 503.
        """
        self.catalog.load()
        if not self.catalog.files():
            self._observe(NothingServed(str(self._settings.functions)))
        self._loops.append(Loop("start", self._join, self._observe, tells_absence=True))
        if self._settings.reload:
            self._loops.append(FolderWatch(self.catalog, self._follow_apps).loop)
        for loop in self._loops:
            loop.open()
        self._rereading = Rereading(self._settings, self._database, PROJECT_FOLDER, self._observe)
        self._loops.append(self._rereading.loop)
        await asyncio.wait([self._start_ended], timeout=patience_s)
        if self._start_ended.done():
            self._start_ended.result()
        else:
            self._start_ended.cancel()
        self._follow_apps()

    async def stop(self) -> None:
        """Hand over what runs, and close everything."""
        for loop in self._loops:
            await loop.close()
        if not self._start_ended.done():
            self._start_ended.set_result(None)
        await self._keys.close()
        await self.engine.close()
        await self._store.close()
        if self._spans is not None:
            await self._send_spans(self._spans)

    async def end_apps(self) -> None:
        """Let mounted applications shut down, once the last request is answered."""
        await self._lifespans.close()

    def _follow_apps(self) -> None:
        self._lifespans.follow(self.catalog.files(), self.catalog.folder)

    async def _send_spans(self, spans: Spans) -> None:
        """Send the spans that are left, for a limited time."""
        sending = asyncio.get_running_loop().run_in_executor(None, spans.close)
        await asyncio.wait([sending], timeout=SPANS_S_MAX)

    async def _join(self) -> None:
        """Try to join once. It isn't called again after it has succeeded."""
        try:
            if self._settings.db_url is None:
                await play_supabase(self._database)
            await self._migrate()
            await self.engine.open()
        except Exception as error:
            if isinstance(error, Unreachable) or self._start_ended.done():
                raise
            self._start_ended.set_exception(error)  # `start` raises it, and the instance gives up
            return
        self._joined = True
        if self._settings.reload:  # the database is now as the files were at the start
            self._rereading.loop.open()
        if not self._start_ended.done():
            self._start_ended.set_result(None)
        if self._part.is_first and self._settings.replay_check != "off":
            self._check_replays()

    def _check_replays(self) -> None:
        """Check in the background whether open workflows fit the code."""
        from outlast.host.replay_check import ReplayCheck

        check = ReplayCheck(self._settings, self._database_url, self.catalog, self._observe)
        self._loops.append(check.loop)
        check.loop.open()

    async def _migrate(self) -> None:
        """Bring Outlast's schema up to date, and on the embedded database the project's, too."""
        own, unknown = await self._store.migrate()
        embedded = self._settings.db_url is None
        project = await apply_project(self._database, PROJECT_FOLDER) if embedded else []
        for applied in filter(None, (own, project)):
            self._observe(SchemaMigrated.of(applied))
        if unknown:
            self._observe(SchemaNewer(tuple(unknown)))

    async def _schema_current(self) -> bool:
        if not self._joined or self.engine.database_away:
            raise Unreachable("this instance could not write its last batch, or none yet")
        return await self._store.schema_current()
