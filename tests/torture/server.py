"""The Postgres of the torture: real, durable, its commits dated; and how the suite itself asks it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from outlast.host.embedded import EmbeddedPostgres
from tests.hosts import until

AUDIT = Path(__file__).parent / "audit.sql"
_MIGRATE = """
import asyncio, sys
from outlast.store.connections import Database
from outlast.store.migrations import migrate
asyncio.run(migrate(Database.at(sys.argv[1], "torture/migrations")))
"""
_BACK_WITHIN_S = 40.0


class Server:
    """One embedded Postgres with the schema under test and the audit."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._home = folder / "home"
        self._postgres = EmbeddedPostgres.start(self._home)
        self.url = self._postgres.url
        parts = conninfo_to_dict(self.url)
        self.socket_folder = str(parts["host"])
        self.socket = f"{self.socket_folder}/.s.PGSQL.{parts['port']}"
        self.uid = Path(self.socket_folder).stat().st_uid
        self._date_commits()
        subprocess.run([sys.executable, "-c", _MIGRATE, self.url], env=dict(env), check=True, timeout=60)
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(AUDIT.read_bytes())

    def _date_commits(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("alter system set track_commit_timestamp = on")
            connection.execute("alter system set log_min_messages = fatal")
        os.kill(self.postmaster, signal.SIGINT)  # its supervisor starts it again
        until(self._dates_commits, "a Postgres that dates its commits", 40)

    def _dates_commits(self) -> bool:
        with suppress(psycopg.OperationalError), psycopg.connect(self.url, connect_timeout=5) as connection:
            return connection.execute("show track_commit_timestamp").fetchone() == ("on",)
        return False

    @property
    def postmaster(self) -> int:
        """The process that makes all others."""
        return int((self._home / "postgres" / "data" / "postmaster.pid").read_text().split()[0])

    def strike(self, number: signal.Signals) -> None:
        """Signal the postmaster."""
        os.kill(self.postmaster, number)

    def log_tail(self, lines: int = 20) -> list[str]:
        """The last of what Postgres said."""
        log = self._home / "postgres" / "server.log"
        return log.read_text("utf-8", "replace").splitlines()[-lines:] if log.exists() else []

    async def rows(
        self, query: str, parameters: Any = None, *, patience_s: float = _BACK_WITHIN_S
    ) -> list[dict[str, Any]]:
        """Ask over a connection of its own; while the server is away, again. For reads alone."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience_s
        while True:
            try:
                return await self.once(query, parameters)
            except (psycopg.OperationalError, psycopg.InterfaceError, OSError):
                if loop.time() > deadline:
                    raise
                await asyncio.sleep(0.2)

    async def once(
        self, query: str, parameters: Any = None, *, timeout_s: float = 30.0
    ) -> list[dict[str, Any]]:
        """Ask once. Raises what psycopg raises, and TimeoutError."""
        async with asyncio.timeout(timeout_s):
            connection = await psycopg.AsyncConnection.connect(
                self.url, autocommit=True, application_name="torture", row_factory=dict_row, connect_timeout=5
            )
            async with connection:
                cursor = await connection.execute(query.encode(), parameters)
                return await cursor.fetchall() if cursor.description else []

    def stop(self) -> None:
        """End it."""
        self._postgres.stop()
