"""A Postgres with pg_cron, for one test: Debian's server and extension, run by an unprivileged user.

pg_net is not to be had: a schema `net` with the same function stands in, and writes down what it was asked.
"""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg

from tests.hosts import LIMIT_S, until
from tests.scratch import scratch_folder

SERVERS = Path("/usr/lib/postgresql")
# Shared memory in the server's own folder goes with it; in /dev/shm it would outlive a server that is killed.
SETTINGS = """
shared_preload_libraries = 'pg_cron'
cron.database_name = 'postgres'
cron.use_background_workers = on
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{folder}'
dynamic_shared_memory_type = mmap
fsync = off
"""
NET = """
create schema net;
create table net.asked (id bigserial primary key, url text, timeout_milliseconds int);
create function net.http_get(
  url text, params jsonb default '{}', headers jsonb default '{}', timeout_milliseconds int default 5000
) returns bigint language sql as $$
  insert into net.asked (url, timeout_milliseconds) values ($1, $4) returning id
$$;
"""


def programs() -> Path | None:
    """The folder of a server's programs to which pg_cron was installed; None where there is none."""
    found = [each for each in SERVERS.glob("*/bin") if (each.parent / "lib" / "pg_cron.so").exists()]
    return max(found, default=None)


class CronServer:
    """One server. `url` is its database `postgres`, in which pg_cron and what stands in for pg_net are."""

    def __init__(self, bin_folder: Path) -> None:
        self._bin = bin_folder
        self._scratch = ExitStack()
        self.folder = self._scratch.enter_context(scratch_folder())
        self.folder.chmod(0o755)
        self._data = self.folder / "data"
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        with socket.create_server(("127.0.0.1", 0)) as door:
            self.port: int = door.getsockname()[1]
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres?sslmode=disable"
        self._process: subprocess.Popen[bytes] | None = None
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        subprocess.run(
            [bin_folder / "initdb", "-D", self._data, *options],
            cwd="/", check=True, capture_output=True, timeout=LIMIT_S, **self._user,
        )  # fmt: skip
        with (self._data / "postgresql.conf").open("a") as conf:
            conf.write(SETTINGS.format(port=self.port, folder=self.folder))

    def start(self) -> None:
        """Start it; returns when it takes connections."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data], cwd="/", start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._user,
            )  # fmt: skip
        until(self._answers, "the server")

    def end(self) -> None:
        """SIGINT: at once, whatever is connected."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(LIMIT_S)

    def reboot(self, command: str) -> None:
        """Let pg_cron run what is scheduled as `command`, once and now: `@reboot` comes with the server.

        Cron's own schedules have no less than a minute. Returns when the run is over.
        """
        self.rows("update cron.job set schedule = '@reboot' where command = %s", command)
        before = self._runs(command)
        self.end()
        self.start()
        until(lambda: len(self._runs(command)) > len(before), f"a run of {command}")
        (status, message) = self._runs(command)[-1]
        assert status == "succeeded", message

    def _runs(self, command: str) -> list[tuple[str, str]]:
        query = "select status, return_message from cron.job_run_details where command = %s order by runid"
        ended = ("succeeded", "failed")
        return [row for row in self.rows(query, command) if row[0] in ended]

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What it holds."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        """Leave nothing."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(LIMIT_S)
        self._scratch.close()

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text("utf-8", "replace")
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True
