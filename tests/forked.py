"""Commands of Outlast as processes that are forked from one in which all is loaded (`tests/forking.py`).

To load it takes nine tenths of a host's start, half a second of a processor, and tests start hosts by the
hundred. What differs from a start by the command: modules are there already, and all hash by one seed. Tests
of these things start the command itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Protocol

COMMAND = [sys.executable, "-m", "outlast"]
# What Python or the loader of programs reads before anything of ours runs.
_READ_EARLY = ("PYTHON", "LD_", "MALLOC_", "FAKETIME", "GLIBC_", "LC_", "LANG", "TZ")
_BY_FORKS = {"PYTHONHASHSEED", "PYTHONUNBUFFERED"}
SEED = "4711"


class Process(Protocol):
    """What tests do to a process: that of subprocess.Popen."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...


def start(command: list[str], env: Mapping[str, str], cwd: Path, output: IO[bytes]) -> Process:
    """Start a command as the leader of a session of its own, without input: a fork, where that is alike."""
    if can_fork(command, env):
        with Path(os.devnull).open("rb") as nothing:
            return _parent().fork(command, env, cwd, nothing, output, output)
    return subprocess.Popen(
        command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        start_new_session=True,
    )  # fmt: skip


def run(
    arguments: Sequence[str], cwd: Path, env: Mapping[str, str], stdin: str | None, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run the command with these arguments to its end: a fork, where that is alike."""
    command = [*COMMAND, *arguments]
    if not can_fork(command, env):
        return run_anew(arguments, cwd, env, stdin, timeout)
    with TemporaryFile() as read, TemporaryFile() as output, TemporaryFile() as errors:
        read.write((stdin or "").encode())
        read.seek(0)
        process = _parent().fork(command, env, cwd, read, output, errors)
        try:
            status = process.wait(timeout)
        finally:
            process.send_signal(signal.SIGKILL)
        for each in (output, errors):
            each.seek(0)
        return subprocess.CompletedProcess(command, status, output.read().decode(), errors.read().decode())


def run_anew(
    arguments: Sequence[str], cwd: Path, env: Mapping[str, str], stdin: str | None, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run the command itself with these arguments to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=env,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def can_fork(command: list[str], env: Mapping[str, str]) -> bool:
    """Whether it is a command of ours, in an environment in which Python would start as the parent did."""
    return (
        sys.platform == "linux"
        and command[: len(COMMAND)] == COMMAND
        and ("serve" not in command or env.get("PYTHONHASHSEED", "random") != "random")
        and _early(env) == _early(_parent().env)
    )


class Forked:
    """A process that was forked. It may be waited for as one of subprocess."""

    def __init__(self, pid: int, told: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._told = told  # its exit status, once it has ended

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; its exit status. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            poll = select.poll()
            poll.register(self._told, select.POLLIN)
            if not poll.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired(COMMAND, timeout or 0)
            self.returncode = int(self._told.recv(64))
            self._told.close()
        return self.returncode

    def send_signal(self, sig: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, sig)


class _Parent:
    """The process in which all is loaded. It ends when this one has."""

    def __init__(self) -> None:
        self.env = dict(os.environ)
        self._asking, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._one_at_a_time = threading.Lock()
        env = self.env | {"PYTHONHASHSEED": SEED, "PYTHONUNBUFFERED": "1"}
        self._errors = TemporaryFile()  # noqa: SIM115 - closed by `close`
        with its:
            command = [sys.executable, "-m", "tests.forking", str(its.fileno())]
            self._process = subprocess.Popen(
                command, env=env, pass_fds=[its.fileno()], stdin=subprocess.DEVNULL, start_new_session=True,
                stderr=self._errors, cwd=Path(__file__).parents[1],
            )  # fmt: skip

    def fork(self, command: list[str], env: Mapping[str, str], cwd: Path, *streams: IO[bytes]) -> Forked:
        """Fork it with these as its input, output and errors."""
        told, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        asked = json.dumps({"arguments": command[len(COMMAND) :], "env": dict(env), "cwd": str(cwd)})
        with its, self._one_at_a_time:
            fds = [its.fileno(), *(each.fileno() for each in streams)]
            socket.send_fds(self._asking, [asked.encode()], fds)
        pid = told.recv(64)
        assert pid, f"the process in which all is loaded has ended: {self._last_words()}"
        return Forked(int(pid), told)

    def close(self) -> None:
        self._asking.close()
        self._process.wait()
        self._errors.close()

    def _last_words(self) -> str:
        """Why it ended: tests.mutants.control looks for its own word there."""
        self._process.wait()
        self._errors.seek(0)
        return self._errors.read().decode("utf-8", "replace")


def _early(env: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value for name, value in env.items() if name.startswith(_READ_EARLY) and name not in _BY_FORKS
    }


_started: dict[int, _Parent] = {}


def _parent() -> _Parent:
    if os.getpid() not in _started:
        _started[os.getpid()] = _Parent()
    return _started[os.getpid()]


def close() -> None:
    """End the process in which all is loaded, if there is one. What it forked goes on."""
    if (parent := _started.pop(os.getpid(), None)) is not None:
        parent.close()
