"""Host processes as tests see them: `outlast serve` on a port of its own, called, killed, read."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx

from outlast.host.hash_seed import seed_of
from tests.forked import start

LIMIT_S = 20.0
SECRET = "sb_secret_of_the_tests_0123456789"
_SERVING = re.compile(r"serving functions of .* at (http://[^/]+)/")
_SETTINGS = ("OUTLAST_", "SUPABASE_", "PG", "PORT")
# Nothing here speaks TLS. To read all the certificates that httpx would trust takes 20 ms for each client.
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
T = TypeVar("T")


def until(condition: Callable[[], T | None], what: str = "", limit_s: float = LIMIT_S) -> T:
    """For what has no event: look again and again, less often the longer it takes; what was found."""
    began = time.monotonic()
    while not (found := condition()):
        waited_s = time.monotonic() - began
        assert waited_s < limit_s, f"waited {limit_s:.0f} s in vain{what and ': '}{what}"
        time.sleep(pause_s(waited_s))
    return found


def pause_s(waited_s: float) -> float:
    """The pause after so long a wait: each look costs a connection, at times a whole request."""
    return min(max(0.005, waited_s / 10), 0.1)


def ask(method: str, url: str, **options: Any) -> httpx.Response:
    """One request over a connection of its own."""
    return httpx.request(method, url, verify=NO_CERTIFICATES, **options)


class Host:
    """One `outlast serve`. It leads a session of its own, so that nothing of it outlives its test."""

    def __init__(self, command: list[str], env: dict[str, str], cwd: Path, log: Path) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = start(command, env, cwd, output)
        self.url = ""

    @property
    def pid(self) -> int:
        return self.process.pid

    def said(self) -> str:
        """All that it logged."""
        return self.log.read_text("utf-8", "replace")

    def until_ready(self, limit_s: float = LIMIT_S) -> Self:
        """Wait until it takes calls."""
        until(lambda: self.listening() and self.asked("/readyz") == 200, f"readiness; {self.said()}", limit_s)
        return self

    def listening(self) -> bool:
        """Whether it has said where it listens."""
        if not self.url and (found := _SERVING.search(self.said())):
            self.url = found[1]
        assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.said()}"
        return bool(self.url)

    def asked(self, path: str) -> int:
        """The status of a GET; 0 without an answer."""
        try:
            return ask("GET", self.url + path, timeout=5).status_code
        except httpx.TransportError:
            return 0

    def call(
        self, function: str, key: str, *, timeout_s: float = LIMIT_S, prefer: str = "", **body: Any
    ) -> httpx.Response:
        """Invoke a workflow of `proof` under a key, its parameter too. Raises httpx.TransportError."""
        headers = {"apikey": SECRET, "idempotency-key": key, "prefer": prefer}
        url = f"{self.url}/functions/v1/proof/{function}"
        return ask("POST", url, json={"key": key, **body}, headers=headers, timeout=timeout_s)

    def post(self, function: str, key: str, body: Any) -> httpx.Response:
        """Invoke any function under a key. Raises httpx.TransportError."""
        headers = {"apikey": SECRET, "idempotency-key": key}
        url = f"{self.url}/functions/v1/{function}"
        return ask("POST", url, json=body, headers=headers, timeout=LIMIT_S)

    def begin(self, function: str, key: str, **body: Any) -> str:
        """Start a workflow without waiting for it; its id."""
        answer = self.call(function, key, prefer="respond-async", **body)
        assert answer.status_code == 202, answer.text
        return answer.headers["workflow-id"]

    def manage(self, method: str, path: str, timeout_s: float = LIMIT_S) -> httpx.Response:
        """Call the management API."""
        url = f"{self.url}/workflows/v1/{path}"
        return ask(method, url, headers={"apikey": SECRET}, timeout=timeout_s)

    def signal(self, number: int) -> None:
        """Send a signal to the process, not to its children."""
        self.process.send_signal(number)

    def worker_pid(self) -> int:
        """The one process that serves: a child of that which was started, or that itself."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        found = children.read_text().split() if children.exists() else []
        return int(found[0]) if found else self.pid

    def kill(self) -> None:
        """SIGKILL to all its processes, as when a container ends, and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(LIMIT_S)
        if self.url:  # its workers, which hold its port too, may take a moment longer
            with contextlib.suppress(AssertionError):  # somebody else has the port by now
                until(lambda: _is_free(self.url.rpartition(":")[2]), limit_s=2.0)

    def ended(self, limit_s: float = LIMIT_S) -> int:
        """Wait until it ends by itself; its exit status, negative for a signal."""
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it has not ended within {limit_s:.0f} s:\n{self.said()}") from None

    def close(self) -> None:
        """Kill it with all its children."""
        self.kill()


def _is_free(port: str) -> bool:
    """Whether a host could listen there."""
    try:
        socket.create_server(("127.0.0.1", int(port))).close()
    except OSError:
        return False
    return True


class Hosts:
    """The hosts of one test, over one database: that at `database`, or the folder's own embedded one.

    `seeded`: they are given the seed of their hashes. Without it a host starts itself anew to have it.
    """

    def __init__(
        self, folder: Path, functions: Path, database: str | None = None, *, seeded: bool = True
    ) -> None:
        self.folder = folder
        self._functions = functions
        self._database = database
        self._seeded = seeded
        self._hosts: list[Host] = []

    def launch(self, *options: str, database: str | None = None, **settings: object) -> Host:
        """Start a host without waiting for it. `settings` are those of OUTLAST_…, in lower case."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
        env |= {
            "SUPABASE_SECRET_KEY": SECRET,
            "PROOF_FOLDER": str(self.folder),
            "OUTLAST_LOG_FORMAT": "text",
            "OUTLAST_MOMENT_S": "0.05",
            "OUTLAST_WORKERS": "0",  # tests freeze, kill and end the very process that they started
            **{
                name if name.isupper() else f"OUTLAST_{name.upper()}": str(value)
                for name, value in settings.items()
            },
        }
        if (url := database or self._database) is not None:
            env["SUPABASE_DB_URL"] = url
            if self._seeded:
                env["PYTHONHASHSEED"] = str(seed_of(url))
        command = [sys.executable, "-m", "outlast", "serve", "--no-verify-jwt"]
        command += ["--functions", str(self._functions), *options]
        if "--port" not in options:
            command += ["--port", "0"]
        log = self.folder / f"host-{len(self._hosts) + 1}.log"
        host = Host(command, env, self.folder, log)
        self._hosts.append(host)
        return host

    def start(self, *options: str, database: str | None = None, **settings: object) -> Host:
        """Start a host, and wait until it takes calls. One that doesn't is ended."""
        host = self.launch(*options, database=database, **settings)
        try:
            return host.until_ready()
        except BaseException:
            host.close()
            raise

    def witnessed(self, line: str) -> int:
        """How often the witness saw lines that begin so."""
        return sum(1 for each in self.testimony() if each == line or each.startswith(f"{line} "))

    def testimony(self) -> list[str]:
        """All that the witness saw."""
        path = self.folder / "witness"
        return path.read_text().splitlines() if path.exists() else []

    def open_gate(self, name: str) -> None:
        """Let go what is held at a gate."""
        (self.folder / name).touch()

    def close(self) -> None:
        """Kill all that still runs, and print what it said: pytest shows that of a test that failed."""
        for host in self._hosts:
            host.close()
            print(f"--- {host.log.name}\n{host.said()}")  # noqa: T201 - captured
