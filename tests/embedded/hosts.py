"""Other processes that use the server, and ways to see from outside what it does."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from outlast.host.embedded import rundir

LIMIT_S = 30.0
_RUNTIME = Path(__file__).parents[2] / "runtime"
_OUR_PYTHON = Path(os.path.realpath(sys.executable))
_SYSTEM_PYTHON = Path(f"/usr/bin/python3.{sys.version_info.minor}")  # the same, for compiled packages

_ALIVE = (Path(__file__).parent / "alive.py").read_text("utf-8")
# Starts or attaches, says where, and does as it is told, line by line. It leaves out what a whole host would
# import, so that a crowd of them starts fast.
_HOST = """
import os, signal, sys
sys.path[:0] = sys.argv[2].split(os.pathsep)
from pathlib import Path
for name in ("outlast", "outlast.host"):
    sys.modules[name] = package = type(sys)(name)
    package.__path__ = [os.path.join(sys.path[0], *name.split("."))]
from outlast.host.embedded import EmbeddedPostgres, EmbeddedPostgresError
def say(text):
    os.write(1, text.replace("\\n", "\\\\n").encode() + b"\\n")
exec(sys.argv[4])
try:
    server = EmbeddedPostgres.start(Path(sys.argv[1]), durable=sys.argv[3] == "durable")
except EmbeddedPostgresError as error:
    say("error " + str(error))
    sys.exit(1)
say("url " + server.url)
for line in sys.stdin:
    if line.strip() == "stop":
        server.stop()
        say("stopped")
    else:
        say(str(eval(line)))
"""


class Host:
    """A process that uses the server of `home`.

    `uid` is whom it runs as (the test must be root for another than its own); `before` is code it runs first;
    `path` is looked up first when it imports.
    """

    def __init__(
        self,
        home: Path,
        *,
        uid: int | None = None,
        durable: bool = False,
        before: str = "",
        path: list[str] | None = None,
    ) -> None:
        python = sys.executable if uid is None else python_for(uid)
        packages = [place for place in sys.path if place.endswith("site-packages")]
        places = [str(_RUNTIME), *(path or []), *packages]
        self.process = subprocess.Popen(
            [
                *(python, "-B", "-c", _HOST, str(home)),
                *(os.pathsep.join(places), "durable" if durable else "fast", f"{_ALIVE}\n{before}"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            cwd="/",
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
        )
        self._read = b""

    def hear(self) -> str:
        """The next line it says."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + LIMIT_S
        while b"\n" not in self._read:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the other process said nothing"
            some = os.read(self.process.stdout.fileno(), 65536)
            assert some, "the other process ended without a word"
            self._read += some
        line, _, self._read = self._read.partition(b"\n")
        return line.decode()

    def url(self) -> str:
        """Waits until its server is there."""
        word, _, rest = self.hear().partition(" ")
        assert word == "url", rest
        return rest

    def error(self) -> str:
        """Waits until its start has failed."""
        word, _, rest = self.hear().partition(" ")
        assert word == "error", rest
        return rest.replace("\\n", "\n")

    def ask(self, line: str) -> str:
        """Have it evaluate an expression, or `stop`."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        return self.hear()

    def kill(self) -> None:
        self.process.kill()
        self.close()

    def close(self) -> None:
        """Let it end by itself, and be sure that it does."""
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        try:
            self.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def python_for(uid: int) -> str:
    """An interpreter that this user may run: ours, or where ours is in a closed home, the system's."""
    for python in (_OUR_PYTHON, _SYSTEM_PYTHON):
        if python.exists() and all(folder.stat().st_mode & stat.S_IXOTH for folder in python.parents):
            return str(python)
    pytest.skip(f"no interpreter that user id {uid} can run")


def postmaster(home: Path) -> int:
    """The server's process id."""
    return int((home / "postgres" / "data" / "postmaster.pid").read_text().split("\n")[0])


def supervisor(home: Path) -> int:
    """The process id of the server's supervisor, which is its parent (proc(5), /proc/PID/stat)."""
    return int(Path(f"/proc/{postmaster(home)}/stat").read_text().rpartition(")")[2].split()[1])


def kill(*processes: int) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def wait_for_end(home: Path, limit_s: float = LIMIT_S) -> None:
    """Wait until neither a supervisor nor any process of a server is left: the kernel frees their locks."""
    for name in ("supervisor.lock", "server.lock"):
        with (home / "postgres" / name).open("rb") as file:
            waiter = threading.Thread(target=fcntl.flock, args=(file, fcntl.LOCK_EX), daemon=True)
            waiter.start()
            waiter.join(limit_s)
            assert not waiter.is_alive(), f"{name} is still held"


def remove_sockets(home: Path) -> None:
    """A supervisor that was killed leaves the folder of its sockets for the next one."""
    fd = os.open(home / "postgres", os.O_RDONLY | os.O_DIRECTORY)
    try:
        for folder in rundir.existing(fd, os.fstat(fd).st_uid):
            shutil.rmtree(folder)
    finally:
        os.close(fd)


def is_ended(home: Path) -> bool:
    """The same, asked at once."""
    for name in ("supervisor.lock", "server.lock"):
        with (home / "postgres" / name).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
    return True


def wait_until(condition: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    """For what has no event: look again and again."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)
