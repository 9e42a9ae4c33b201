"""Real processes: started in a session of their own, watched, and stopped whatever happens."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READY_S = 60.0
STOP_S = 15.0
_POLL_S = 0.001
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class BenchmarkError(Exception):
    """A measurement could not be made; the message says why."""


@dataclass(frozen=True)
class User:
    """Whom a process runs as."""

    uid: int
    gid: int

    def options(self) -> dict[str, Any]:
        """For subprocess; none for who we are already."""
        if self.uid == os.geteuid():
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


@dataclass
class Server:
    """A started server process and where it listens."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def pids(self) -> list[int]:
        """It and all processes below it."""
        return tree(self.process.pid)

    def kill(self) -> None:
        """SIGKILL to all of it, as a crash."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Ask it to end; kill it if it doesn't."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_S)
        self.kill()

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-2000:]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def spawn(
    name: str,
    command: Sequence[str],
    port: int,
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: User | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> Server:
    """Start a server; it gets `death_signal` when this process ends, however that ends."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**clean_environment(), **(env or {})},
            cwd=cwd,
            start_new_session=True,
            preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, death_signal),
            **(user.options() if user else {}),
        )
    return Server(name, process, port, log)


def clean_environment() -> dict[str, str]:
    """This process's environment without settings of the project's own or of Supabase's."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("OUTLAST_", "SUPABASE_"))
    }


def first_answer(server: Server, request: bytes, timeout_s: float = READY_S) -> float:
    """Ask until the first 2xx answer; `time.perf_counter()` at that moment. Raises BenchmarkError."""
    deadline = time.perf_counter() + timeout_s
    while time.perf_counter() < deadline:
        if server.process.poll() is not None:
            raise BenchmarkError(f"{server.name} ended with {server.process.returncode}:\n{server.tail()}")
        status = _ask(server.port, request)
        if 200 <= status < 300:
            return time.perf_counter()
        if status not in (0, 503):
            raise BenchmarkError(f"{server.name} answered {status}:\n{server.tail()}")
        time.sleep(_POLL_S)
    raise BenchmarkError(f"{server.name} gave no answer within {timeout_s:g} s:\n{server.tail()}")


def _ask(port: int, request: bytes) -> int:
    """The status of the answer; 0 without one."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=30.0) as connection:
            connection.sendall(request)
            answer = connection.recv(65536)
    except OSError:
        return 0
    return int(answer[9:12]) if answer[:5] == b"HTTP/" else 0


def tree(pid: int) -> list[int]:
    """A process and all below it that are alive."""
    found = [pid] if Path(f"/proc/{pid}").exists() else []
    for each in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


@contextlib.contextmanager
def stopping(server: Server) -> Iterator[Server]:
    """Stop the server at the end of the block."""
    try:
        yield server
    finally:
        server.stop()
