"""Become a user of a folder's server: connect to its supervisor, or start one where there is none.

`start.lock` lets one process at a time through, so a crowd starts one supervisor. A supervisor that is just
leaving still holds `supervisor.lock` and answers no more; whoever comes then waits for it to be gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from outlast.host.embedded import rundir
from outlast.host.embedded.binaries import locate, readable
from outlast.host.embedded.errors import EmbeddedPostgresError
from outlast.host.embedded.folder import Folder, group_of, has_account
from outlast.host.embedded.orders import Orders

_POLL_S = 0.005
_SUPERVISORS_MAX = 3
_LOG_LINES = 8
_OUTLAST = str(Path(__file__).parents[2])

# The supervisor imports its own modules only: the packages around them stand there empty, so it starts in
# milliseconds and stays small.
_BOOT = """
import sys
path = sys.argv[1]
for name in ("outlast", "outlast.host", "outlast.host.embedded"):
    sys.modules[name] = package = type(sys)(name)
    package.__path__ = [path + name.removeprefix("outlast").replace(".", "/")]
from outlast.host.embedded.supervisor import main
main(sys.argv[2:])
"""


@dataclass(frozen=True)
class Use:
    """A connection to the supervisor, which is the right to use its server; `sockets` is the URL's host."""

    connection: socket.socket
    sockets: str
    durable: bool


def attach(folder: Folder, *, durable: bool, deadline: float) -> Use:
    """Returns when the server takes connections. `deadline` is a time of `time.monotonic`."""
    started = 0
    with _locked(folder, "start.lock", deadline):
        while True:
            connection = _connect(folder)
            if connection is None and (lock := _try_lock(folder, "supervisor.lock")) is not None:
                started += 1
                try:
                    connection = _launch(folder, lock, durable=durable)
                finally:
                    os.close(lock)
            answer = _hear(connection, folder, deadline) if connection is not None else None
            if answer is not None:
                return answer
            if started >= _SUPERVISORS_MAX:
                raise EmbeddedPostgresError(f"the embedded Postgres could not be started{log_tail(folder)}")
            _wait(folder, deadline)


def log_tail(folder: Folder) -> str:
    """Where the log is, and its last lines: the end of a message."""
    fd = folder.open_file("server.log", os.O_RDONLY)
    with open(fd, "rb") as file:
        file.seek(max(0, os.fstat(fd).st_size - 4096))
        lines = file.read().decode("utf-8", "replace").splitlines()[-_LOG_LINES:]
    return f"; see {folder.path}/server.log" + "".join(f"\n  {line}" for line in lines)


def _connect(folder: Folder) -> socket.socket | None:
    for path in rundir.existing(folder.fd, folder.uid):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(os.path.join(path, rundir.CONTROL))
        except OSError:
            connection.close()
            continue
        return connection
    return None


def _hear(connection: socket.socket, folder: Folder, deadline: float) -> Use | None:
    """The supervisor's answer; None if it ended without one, as a leaving or killed one does."""
    line = b""
    try:
        while not line.endswith(b"\n"):
            connection.settimeout(max(0.001, deadline - time.monotonic()))
            read = connection.recv(4096)
            if not read:
                connection.close()
                return None
            line += read
    except TimeoutError:
        connection.close()
        raise _too_slow(folder) from None
    except ConnectionError:
        connection.close()
        return None
    except BaseException:
        connection.close()
        raise
    word, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
    if word == "ready":
        connection.settimeout(None)
        durable, _, sockets = rest.partition(" ")
        return Use(connection=connection, sockets=sockets, durable=durable == "1")
    connection.close()
    raise EmbeddedPostgresError(rest + log_tail(folder))


def _launch(folder: Folder, lock: int, *, durable: bool) -> socket.socket:
    """Start a supervisor that owns `lock` and has the returned connection as its first user."""
    binaries = readable(locate(), folder.uid)
    maker = _maker(folder)
    log = folder.open_file("server.log", os.O_WRONLY | os.O_APPEND)
    ours, its = socket.socketpair()
    orders = Orders(
        folder_fd=folder.fd,
        lock_fd=lock,
        user_fd=its.fileno(),
        uid=folder.uid,
        gid=folder.gid,
        maker=maker,
        maker_gid=group_of(maker),
        major=binaries.major,
        durable=durable,
        programs=str(binaries.programs),
        path=str(folder.path),
    )
    try:
        os.close(folder.open_file("server.lock", os.O_RDWR))
        with its:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _BOOT, _OUTLAST, *orders.words()],
                pass_fds=(folder.fd, lock, its.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                env=_environment(),
            )
        process.wait()  # it forks at once, and the supervisor goes on as nobody's child
    except BaseException:
        ours.close()
        raise
    finally:
        os.close(log)
    return ours


def _maker(folder: Folder) -> int:
    """The user id for initdb, which refuses an id without an account, though the server does not."""
    if has_account(folder.uid):
        return folder.uid
    if os.geteuid() == 0:
        for name in ("nobody", "daemon", "bin"):
            with contextlib.suppress(KeyError):
                return pwd.getpwnam(name).pw_uid
    raise EmbeddedPostgresError(
        f"the embedded Postgres needs an account for user id {folder.uid}: add one to /etc/passwd, "
        f"run as another user, or set SUPABASE_DB_URL"
    )


def _environment() -> dict[str, str]:
    """What the interpreter may need to find its own libraries; none of the host's secrets."""
    kept = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {"PATH": os.defpath} | {name: os.environ[name] for name in kept if name in os.environ}


@contextlib.contextmanager
def _locked(folder: Folder, name: str, deadline: float) -> Iterator[None]:
    while (fd := _try_lock(folder, name)) is None:
        _wait(folder, deadline)
    try:
        yield
    finally:
        os.close(fd)


def _try_lock(folder: Folder, name: str) -> int | None:
    """An open file that holds the lock as long as it, or a copy of it, is open; None if another holds it."""
    fd = folder.open_file(name, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def _wait(folder: Folder, deadline: float) -> None:
    if time.monotonic() > deadline:
        raise _too_slow(folder)
    time.sleep(_POLL_S)


def _too_slow(folder: Folder) -> EmbeddedPostgresError:
    return EmbeddedPostgresError(
        f"the embedded Postgres was not ready in time, perhaps because another machine or container "
        f"uses {folder.path}: try again, or set SUPABASE_DB_URL{log_tail(folder)}"
    )
