"""A PgBouncer in transaction mode in front of a test's database, at a port that outlives its restarts."""

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
auth_type = any
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 200
server_lifetime = 5
server_idle_timeout = 3
server_login_retry = 0.2
"""
"""Nothing is forgiven: a startup parameter that it doesn't know ends the connection that sends it."""


def program() -> str | None:
    """Where PgBouncer is; None where it isn't."""
    return shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", ""), *_PLACES]))


class Pooler:
    """One PgBouncer. It refuses root, and runs as the user whose sockets it is to reach."""

    def __init__(self, binary: str, database: str, size: int) -> None:
        at: dict[str, Any] = conninfo_to_dict(database)
        self._binary = binary
        self._folder = Path(tempfile.mkdtemp(prefix="outlast-pooler-"))
        self._folder.chmod(0o755)
        with socket.create_server(("127.0.0.1", 0)) as door:
            self._port: int = door.getsockname()[1]
        config = CONFIG.format(
            sockets=at["host"], port=at["port"], user=at["user"], listen=self._port, size=size
        )
        (self._folder / "pgbouncer.ini").write_text(config)
        self._owner = Path(f"{at['host']}/.s.PGSQL.{at['port']}").stat().st_uid
        self.url = make_conninfo(database, host="127.0.0.1", port=self._port, sslmode="disable")
        self.start()

    def start(self) -> None:
        """Start it; returns when it listens."""
        owner = {"user": self._owner, "group": self._owner, "extra_groups": []} if os.geteuid() == 0 else {}
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary, str(self._folder / "pgbouncer.ini")], cwd="/", start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, **owner,  # type: ignore[call-overload]
            )  # fmt: skip
        until(self._listens, f"the pooler; {self.said()}")

    def end(self, number: signal.Signals) -> None:
        """End it, and wait until it is gone. SIGINT lets what runs end, SIGTERM and SIGKILL don't."""
        self._process.send_signal(number)
        self._process.wait(LIMIT_S)

    def said(self) -> str:
        """All that it logged."""
        return (self._folder / "log").read_text("utf-8", "replace")

    def close(self) -> None:
        """Leave nothing. What it said is printed: pytest shows that of a test that failed."""
        self._process.kill()
        self._process.wait(LIMIT_S)
        print(f"--- pooler\n{self.said()}")  # noqa: T201 - captured
        shutil.rmtree(self._folder)

    def _listens(self) -> bool:
        assert self._process.poll() is None, self.said()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0
