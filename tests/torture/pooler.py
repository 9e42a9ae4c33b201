"""PgBouncer in transaction mode, where it is installed. It refuses root, and runs as the server's user."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from tests.torture.server import Server

_PLACES = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin")
_CONFIG = """\
[databases]
postgres = host={sockets} port=5432 user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 20
max_client_conn = 300
ignore_startup_parameters = extra_float_digits,options
server_login_retry = 1
query_wait_timeout = 20
log_connections = 0
log_disconnections = 0
"""


def program() -> str | None:
    """Where PgBouncer is."""
    return shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", ""), *_PLACES]))


class Pooler:
    """One PgBouncer on a port that stays the same through its restarts."""

    def __init__(self, server: Server, binary: str) -> None:
        self._binary = binary
        self._folder = Path(tempfile.mkdtemp(prefix="torture-pooler-"))
        self._folder.chmod(0o755)
        self._uid = server.uid if os.geteuid() == 0 else None
        self.port = _free_port()
        self._config = self._folder / "pgbouncer.ini"
        self._config.write_text(_CONFIG.format(sockets=server.socket_folder, port=self.port))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """How hosts come in."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, if it doesn't run."""
        if self._process is not None and self._process.poll() is None:
            return
        options = {"user": self._uid, "group": self._uid, "extra_groups": []} if self._uid is not None else {}
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary, str(self._config)], cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, **options,  # type: ignore[call-overload]
            )  # fmt: skip

    def tell(self, number: signal.Signals) -> None:
        """SIGHUP reloads, SIGUSR1 pauses, SIGUSR2 resumes."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    async def end(self, number: signal.Signals) -> None:
        """End it, and wait until it is gone."""
        self.tell(number)
        if self._process is not None:
            try:
                await asyncio.to_thread(self._process.wait, 5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(5)

    def close(self) -> None:
        """Leave nothing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(5)
        shutil.rmtree(self._folder, ignore_errors=True)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port: int = door.getsockname()[1]
        return port
