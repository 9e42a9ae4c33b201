"""A PgBouncer in front of a database, in transaction mode if nothing else is said, at a port that stays."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.hosts import LIMIT_S, until

_PLACES = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin")
CONFIG = """\
[databases]
* = host={sockets} port={port} user={user}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
{auth}
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 300
server_lifetime = 5
server_idle_timeout = 3
server_login_retry = 0.2
query_wait_timeout = 20
"""
"""Nothing is forgiven: a startup parameter that it doesn't know ends the connection that sends it."""


def program() -> str | None:
    """Where PgBouncer is; None where it isn't."""
    return shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", ""), *_PLACES]))


class Pooler:
    """One PgBouncer. It refuses root, and runs as the user whose sockets it is to reach."""

    def __init__(
        self, binary: str, database: str, size: int, mode: str = "transaction", password: str = ""
    ) -> None:
        """With a `password` it lets in nobody without."""
        at: dict[str, Any] = conninfo_to_dict(database)
        self._binary = binary
        self._folder = Path(tempfile.mkdtemp(prefix="outlast-pooler-"))
        self._folder.chmod(0o755)
        with socket.create_server(("127.0.0.1", 0)) as door:
            self._port: int = door.getsockname()[1]
        auth = "auth_type = any"
        if password:
            users = self._folder / "users"
            users.write_text('"{}" "{}"\n'.format(at["user"], password.replace('"', '""')))
            users.chmod(0o644)
            auth = f"auth_type = scram-sha-256\nauth_file = {users}"
        config = CONFIG.format(
            sockets=at["host"], port=at["port"], user=at["user"], listen=self._port, size=size, mode=mode,
            auth=auth,
        )  # fmt: skip
        (self._folder / "pgbouncer.ini").write_text(config)
        self._owner = Path(f"{at['host']}/.s.PGSQL.{at['port']}").stat().st_uid
        self._process: subprocess.Popen[bytes] | None = None
        self.url = make_conninfo(database, host="127.0.0.1", port=self._port, sslmode="disable")

    @property
    def runs(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it if it doesn't run; returns when it listens."""
        if self.runs:
            return
        owner = {"user": self._owner, "group": self._owner, "extra_groups": []} if os.geteuid() == 0 else {}
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary, str(self._folder / "pgbouncer.ini")], cwd="/", start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, **owner,  # type: ignore[call-overload]
            )  # fmt: skip
        until(self._listens, "the pooler")

    def tell(self, number: signal.Signals) -> None:
        """SIGHUP reloads, SIGUSR1 pauses, SIGUSR2 resumes."""
        if self._process is not None and self.runs:
            self._process.send_signal(number)

    def end(self, number: signal.Signals) -> None:
        """End it, and wait until it is gone. SIGINT lets what runs end, SIGTERM and SIGKILL don't."""
        self.tell(number)
        if self._process is not None:
            try:
                self._process.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(LIMIT_S)

    def said(self) -> str:
        """All that it logged."""
        log = self._folder / "log"
        return log.read_text("utf-8", "replace") if log.exists() else ""

    def close(self) -> None:
        """Leave nothing."""
        self.end(signal.SIGKILL)
        shutil.rmtree(self._folder)

    def _listens(self) -> bool:
        assert self.runs, self.said()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0
