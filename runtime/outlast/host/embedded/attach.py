"""Connects a process to the supervisor of a folder's server, and starts the supervisor if there is none.

`start.lock` lets one process at a time through, so many processes start only one supervisor. A supervisor
that is ending answers no more, but still holds `supervisor.lock`; a new process waits until that is free.
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
_LOG_BYTES = 4096
_LOG_LINES = 8

# The supervisor imports only its own modules. The packages around them are empty there, so that it starts in
# milliseconds and stays small.
_OUTLAST = str(Path(__file__).parents[2])
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
    """A connection to the supervisor: it gives the right to use the server, whose socket is in `sockets`."""

    connection: socket.socket
    sockets: str
    durable: bool


def attach(folder: Folder, *, durable: bool, deadline: float) -> Use:
    """Return when the server takes connections. `deadline` is a time of `time.monotonic`."""
    try:
        with _locked(folder, "start.lock", deadline):
            use = _attach(folder, durable=durable, deadline=deadline)
    except OSError as error:
        raise EmbeddedPostgresError(
            f"the embedded Postgres in {folder.path} can't be used ({error.strerror or error}): "
            f"see whether the folder still stands and the disk has space"
        ) from error
    if durable and not use.durable:
        use.connection.close()
        raise EmbeddedPostgresError(
            f"the Postgres in {folder.path} runs without durability for another process, as tests do: "
            f"end that one first, or use another folder"
        )
    return use


def log_tail(folder: Folder) -> str:
    """The path of the log and its last lines, for the end of a message."""
    try:
        fd = folder.open_file("server.log", os.O_RDONLY)
    except OSError:
        return ""
    with os.fdopen(fd, "rb") as file:
        file.seek(max(0, os.fstat(fd).st_size - _LOG_BYTES))
        lines = file.read().decode("utf-8", "replace").splitlines()[-_LOG_LINES:]
    return f"; see {folder.path}/server.log" + "".join(f"\n  {line}" for line in lines)


def _attach(folder: Folder, *, durable: bool, deadline: float) -> Use:
    started = 0
    while True:
        connection = _connect(folder)
        if connection is None and (lock := _try_lock(folder, "supervisor.lock")) is not None:
            started += 1
            try:
                connection = _launch(folder, lock, durable=durable, deadline=deadline)
            finally:
                os.close(lock)
        if connection is not None and (use := _hear(connection, folder, deadline)) is not None:
            return use
        if started == _SUPERVISORS_MAX:
            raise EmbeddedPostgresError(f"the embedded Postgres could not be started{log_tail(folder)}")
        _wait(folder, deadline)


def _connect(folder: Folder) -> socket.socket | None:
    for path in rundir.existing(folder.fd, folder.uid):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(f"{path}/{rundir.CONTROL}")
        except OSError:
            connection.close()
        else:
            return connection
    return None


def _hear(connection: socket.socket, folder: Folder, deadline: float) -> Use | None:
    """The supervisor's answer; None if it ended without one, because it was ending or was killed."""
    with contextlib.ExitStack() as unless_used:
        unless_used.callback(connection.close)
        line = _read_line(connection, folder, deadline)
        word, _, rest = line.partition(" ")
        if word == "error":
            raise EmbeddedPostgresError(rest + log_tail(folder))
        if word != "ready":
            return None
        unless_used.pop_all()
    durable, _, sockets = rest.partition(" ")
    return Use(connection=connection, sockets=sockets, durable=durable == "1")


def _read_line(connection: socket.socket, folder: Folder, deadline: float) -> str:
    line = b""
    try:
        while not line.endswith(b"\n"):
            connection.settimeout(max(0.001, deadline - time.monotonic()))
            some = connection.recv(_LOG_BYTES)
            if not some:
                return ""
            line += some
    except TimeoutError:
        raise _too_slow(folder) from None
    except ConnectionError:
        return ""
    connection.settimeout(None)
    return line.decode("utf-8", "replace").strip()


def _launch(folder: Folder, lock: int, *, durable: bool, deadline: float) -> socket.socket:
    """Start a supervisor that takes over `lock`, with the returned connection as its first user."""
    binaries = readable(locate(), folder.uid)
    maker = _maker(folder)
    with contextlib.ExitStack() as unless_launched, contextlib.ExitStack() as open_here:
        ours, its = socket.socketpair()
        unless_launched.callback(ours.close)
        open_here.callback(its.close)
        log = folder.open_file("server.log", os.O_WRONLY | os.O_APPEND)
        open_here.callback(os.close, log)
        os.close(folder.open_file("server.lock", os.O_RDWR))  # made here, so that it has the right owner
        orders = Orders(
            folder_fd=folder.fd,
            lock_fd=lock,
            user_fd=its.fileno(),
            uid=folder.uid,
            gid=folder.gid,
            maker_uid=maker,
            maker_gid=group_of(maker),
            major=binaries.major,
            durable=int(durable),
            programs=str(binaries.programs),
            path=str(folder.path),
        )
        try:
            _run(orders, log, deadline)
        except subprocess.TimeoutExpired:
            raise _too_slow(folder) from None
        unless_launched.pop_all()
    return ours


def _run(orders: Orders, log: int, deadline: float) -> None:
    """Start a process that forks at once and ends; the supervisor goes on without a parent."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _BOOT, _OUTLAST, *orders.words()],
        pass_fds=(orders.folder_fd, orders.lock_fd, orders.user_fd),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        cwd="/",
        env=_environment(),
    )
    try:
        process.wait(max(1.0, deadline - time.monotonic()))
    except BaseException:
        process.kill()
        process.wait()
        raise


def _environment() -> dict[str, str]:
    """The variables that the interpreter may need to find its own libraries; none of the host's secrets."""
    kept = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {"PATH": os.defpath} | {name: os.environ[name] for name in kept if name in os.environ}


def _maker(folder: Folder) -> int:
    """The user id for initdb, which refuses an id without an account. The server accepts such an id."""
    if has_account(folder.uid) or folder.has("data"):
        return folder.uid
    if os.geteuid() == 0:
        for name in ("nobody", "daemon", "bin"):
            with contextlib.suppress(KeyError):
                return pwd.getpwnam(name).pw_uid
    raise EmbeddedPostgresError(
        f"the embedded Postgres needs an account for user id {folder.uid}: add one to /etc/passwd, "
        f"run as another user, or set SUPABASE_DB_URL"
    )


@contextlib.contextmanager
def _locked(folder: Folder, name: str, deadline: float) -> Iterator[None]:
    while (fd := _try_lock(folder, name)) is None:
        _wait(folder, deadline)
    try:
        yield
    finally:
        os.close(fd)


def _try_lock(folder: Folder, name: str) -> int | None:
    """A file whose lock is held while it or a copy of it is open; None if another process holds the lock."""
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
        f"the embedded Postgres was not ready in time; perhaps a container or service that has a tmp folder "
        f"of its own uses {folder.path}: end that one, or set SUPABASE_DB_URL{log_tail(folder)}"
    )
