"""The databases that are measured on: one stock Postgres of the harness's own, one database a contender."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from benchmarks.harness.processes import BenchmarkError, Server, User, clean_environment, spawn
from outlast.host.embedded.binaries import locate, readable
from outlast.host.embedded.settings import initdb_arguments
from outlast.store.connections import Database
from outlast.store.migrations import migrate

# As initdb leaves it, but for where it listens, and room for all contenders' pools beside pgbench.
_SETTINGS = {"listen_addresses": "", "max_connections": "200"}
_DATA = "/proc/self/cwd"
"""The working folder, under a name that needs no right to enter the folders above it."""
_WEIGHTY = ("fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size", "wal_level")
_CHOSEN = "from pg_settings where source not in ('default', 'override', 'client', 'session')"
_READY_S = 60.0
_STOP_S = 120.0
_PORT = 5432
_IN_MEMORY = ("tmpfs", "ramfs")


class Postgres:
    """A running server with stock settings, `fsync` on."""

    def __init__(self, url: str, data: Path) -> None:
        self.url = url
        self._data = data
        self._made = 0

    @classmethod
    @contextlib.contextmanager
    def running(cls, home: Path) -> Iterator[Postgres]:
        """Start it on an empty folder; stop it and remove its data at the end. It dies with this process."""
        user = _unprivileged()
        programs = readable(locate(), user.uid).programs
        data = home / "data"
        shutil.rmtree(home, ignore_errors=True)
        data.mkdir(parents=True, mode=0o700)
        os.chown(data, user.uid, user.gid)
        if (kind := file_system(data)) in _IN_MEMORY:
            raise BenchmarkError(
                f"{data} is in memory ({kind}), where no commit costs what it does on a disk"
            )
        sockets = Path(tempfile.mkdtemp(prefix="bench-postgres-"))  # short, as a socket's path has to be
        os.chown(sockets, user.uid, user.gid)
        try:
            _initdb(programs, data, user)
            server = _start(programs, data, sockets, home / "server.log", user)
            try:
                url = make_conninfo(host=str(sockets), port=_PORT, user="postgres", dbname="postgres")
                _wait_until_ready(server, url)
                yield cls(url, data)
            finally:
                _stop(server)
        finally:
            shutil.rmtree(sockets, ignore_errors=True)
            shutil.rmtree(home, ignore_errors=True)

    def empty(self, label: str) -> str:
        """The URL of a new empty database."""
        self._made += 1
        name = f"{label}_{self._made}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        return make_conninfo(self.url, dbname=name)

    def migrated(self, label: str) -> str:
        """The URL of a new database with Outlast's tables."""
        url = self.empty(label)
        asyncio.run(migrate(Database.at(url, "benchmarks")))
        return url

    def describe(self) -> dict[str, str]:
        """Version, what decides a commit's cost, and every setting that is not the compiled-in default."""
        rows = select(
            self.url, "select name, current_setting(name) from unnest(%s::text[]) as name", list(_WEIGHTY)
        )
        version = value(self.url, "show server_version")
        facts = {"postgres": f"{version} on {file_system(self._data)}, {_listed(rows)}"}
        for (source,) in select(self.url, f"select distinct source {_CHOSEN} order by source"):
            chosen = f"select name, current_setting(name) {_CHOSEN} and source = %s order by name"
            facts[f"set by {source}"] = _listed(select(self.url, chosen, source))
        return facts


def _listed(settings: list[tuple[Any, ...]]) -> str:
    """A path says where it was, which is nobody's business."""
    shown = {"": "(none)", "/": "(a new folder)"}
    return ", ".join(f"{name} {shown.get(setting[:1], setting)}" for name, setting in settings)


def file_system(path: Path) -> str:
    """What kind of file system a path is in."""
    done = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _unprivileged() -> User:
    """Who runs the server, which refuses root."""
    if os.geteuid() != 0:
        return User(os.geteuid(), os.getegid())
    nobody = pwd.getpwnam("nobody")
    return User(nobody.pw_uid, nobody.pw_gid)


def _initdb(programs: Path, data: Path, user: User) -> None:
    done = subprocess.run(
        [str(programs / "initdb"), "-D", _DATA, *initdb_arguments(durable=True)],
        cwd=data,
        capture_output=True,
        env=clean_environment(),
        check=False,
        **user.options(),
    )
    if done.returncode:
        raise BenchmarkError(f"initdb failed: {done.stderr.decode()[-1000:]}")


def _start(programs: Path, data: Path, sockets: Path, log: Path, user: User) -> Server:
    settings = {**_SETTINGS, "unix_socket_directories": str(sockets)}
    chosen = [part for name, setting in settings.items() for part in ("-c", f"{name}={setting}")]
    return spawn(
        "postgres",
        [str(programs / "postgres"), "-D", _DATA, *chosen],
        _PORT,
        log,
        cwd=data,
        user=user,
        death_signal=signal.SIGINT,
    )


def _wait_until_ready(server: Server, url: str) -> None:
    deadline = time.monotonic() + _READY_S
    while True:
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline or server.process.poll() is not None:
                raise BenchmarkError(f"Postgres did not start: {error}\n{server.tail()}") from error
            time.sleep(0.02)


def _stop(server: Server) -> None:
    """A fast shutdown: clients are cut off."""
    server.process.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.process.wait(_STOP_S)
    server.kill()


def select(url: str, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """The rows of a query over a connection of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query.encode(), parameters or None).fetchall()


def value(url: str, query: str, *parameters: Any) -> Any:
    """The one value of a query."""
    return select(url, query, *parameters)[0][0]


def run(url: str, statement: str, *parameters: Any) -> int:
    """Run a statement; the number of rows it touched."""
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement.encode(), parameters or None).rowcount


def program(name: str) -> str:
    """The path of one of Postgres's own programs."""
    return str(locate().programs / name)
