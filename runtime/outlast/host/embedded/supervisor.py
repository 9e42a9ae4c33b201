"""The process that owns the server: starts it, restarts it if it dies, ends it after its last user.

A user of the server is a process with a connection to this one. The kernel closes the connection when the
process ends in any way, so nobody has to count users. If the supervisor itself is killed, the kernel tells
the server to shut down (on Linux; elsewhere the next start does), and the remaining users start a new
supervisor and server.

It runs as a separate program, on the standard library alone, as the server's user, and holds
`supervisor.lock` as long as it lives.
"""

from __future__ import annotations

# Loading pathlib would take a tenth of the supervisor's start.
# ruff: noqa: PTH106, PTH108, PTH116
import contextlib
import os
import select
import signal
import socket
import time
from types import FrameType

from outlast.host.embedded import processes, rundir
from outlast.host.embedded.cluster import Cluster, ClusterError
from outlast.host.embedded.orders import Orders
from outlast.host.embedded.settings import SOCKET

_TICK_S = 2.0  # checks what no event tells: removed folders, a grown log
_TOUCH_S = 3600.0  # cleaners of tmp folders remove what was not used for days
_USERS_MAX = 200
_RESTARTS_MAX = 5
_RESTARTS_WINDOW_S = 60.0


def main(words: list[str]) -> None:
    """Run until the server ends. `words` are those of `Orders`."""
    orders = Orders.from_words(words)
    for fd in (orders.folder_fd, orders.lock_fd, orders.user_fd):
        os.set_inheritable(fd, False)
    if os.fork():
        os._exit(0)  # the host waits for this process only, so no host is left with a zombie
    os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    Supervisor(orders).run()
    os._exit(0)  # at once: the last users would have to wait while the interpreter cleans up


class Supervisor:
    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._cluster = Cluster(orders)
        self._users = [socket.socket(fileno=orders.user_fd)]
        self._leaving_users: list[socket.socket] = []
        self._door: socket.socket | None = None
        self._sockets = ""
        self._told_to_end = False
        self._restarts: list[float] = []
        self._signals = self._watch_signals()

    def run(self) -> None:
        """Run the supervisor. The end of their connections tells its last users that it is over."""
        failure = ""
        try:
            self._prepare()
            self._open_door()
            self._cluster.start(self._sockets)
            self._serve()
        except ClusterError as error:
            failure = f"error {error}"
        except OSError as error:
            failure = f"error {self._orders.path} can't be used: {error}"
        finally:
            self._end()
        os.close(self._orders.lock_fd)
        for user in self._users if failure else ():
            _tell(user, failure)

    def _prepare(self) -> None:
        """Become the server's user, and make the database if missing: before, if that user has no account."""
        orders = self._orders
        if orders.maker_uid == orders.uid:
            processes.become(orders.uid, orders.gid)
        self._cluster.clear()
        if not self._cluster.exists():
            self._cluster.make()
        processes.become(orders.uid, orders.gid)

    def _open_door(self) -> None:
        sockets = rundir.make(self._orders.folder_fd, self._orders.uid)
        if sockets is None:
            places = " or ".join(rundir.candidates(self._orders.folder_fd, self._orders.uid))
            raise ClusterError(f"no place for the database's socket: see to it that {places} can be made")
        self._sockets = sockets
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{sockets}/{rundir.CONTROL}")
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._door.bind(f"{sockets}/{rundir.CONTROL}")
        self._door.listen(128)
        self._door.setblocking(False)

    def _serve(self) -> None:
        """Let users in and out, and keep the server up, until the last user has left."""
        for user in self._users:
            _tell(user, self._welcome())
        tick_at, touch_at = time.monotonic() + _TICK_S, time.monotonic() + _TOUCH_S
        while self._users and not self._told_to_end:
            self._wait_for_events(tick_at)
            self._let_in(self._welcome())
            if self._cluster.has_ended():
                self._start_again()
            if time.monotonic() >= tick_at:
                tick_at = time.monotonic() + _TICK_S
                if os.fstat(self._orders.folder_fd).st_nlink == 0:
                    return  # removed, and the data with it
                for name in (rundir.CONTROL, SOCKET):
                    os.stat(f"{self._sockets}/{name}")  # without them the server can't be used, so both end
                self._cluster.bound_log()
            if time.monotonic() >= touch_at:
                touch_at = time.monotonic() + _TOUCH_S
                os.utime(f"{self._sockets}/{rundir.CONTROL}")

    def _wait_for_events(self, until: float) -> None:
        """Wait for a signal, a new connection or a user who leaves; at most until that time."""
        assert self._door is not None
        poll = select.poll()
        for fd in (self._signals, self._door.fileno(), *(user.fileno() for user in self._users)):
            poll.register(fd, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(max(0.0, until - time.monotonic()) * 1000)}
        if self._signals in ready:
            os.read(self._signals, 4096)
        for user in [user for user in self._users if user.fileno() in ready and _has_left(user)]:
            self._users.remove(user)
            self._leaving_users.append(user)
        if len(self._users) > 0:
            self._let_go()

    def _let_go(self) -> None:
        """Close the connections of users who left.

        They wait for that; the last one waits for the server's end.
        """
        for user in self._leaving_users:
            user.close()
        self._leaving_users.clear()

    def _let_in(self, text: str) -> None:
        """Accept all waiting connections."""
        while self._door is not None:
            try:
                user, _ = self._door.accept()
            except BlockingIOError:
                return
            if len(self._users) < _USERS_MAX:
                self._users.append(user)
                _tell(user, text)
            else:
                _tell(
                    user, f"error {_USERS_MAX} processes use {self._orders.path}, the most it takes: end some"
                )
                user.close()

    def _start_again(self) -> None:
        """Restart the server, which died while it was used, unless it has died too often."""
        now = time.monotonic()
        self._restarts = [then for then in self._restarts if now - then < _RESTARTS_WINDOW_S] + [now]
        if len(self._restarts) > _RESTARTS_MAX:
            raise ClusterError(f"Postgres on {self._orders.path} ended {_RESTARTS_MAX} times within a minute")
        self._cluster.start(self._sockets)

    def _end(self) -> None:
        """Accept no more users, stop the server, and leave nothing in the tmp folder."""
        if self._door is not None:
            self._let_in("")
            with contextlib.suppress(OSError):
                os.unlink(f"{self._sockets}/{rundir.CONTROL}")
            self._door.close()
        with contextlib.suppress(ClusterError, OSError):  # for example a removed folder
            self._cluster.stop()
        with contextlib.suppress(OSError):
            os.rmdir(self._sockets)

    def _welcome(self) -> str:
        return f"ready {self._orders.durable} {self._sockets}"

    def _watch_signals(self) -> int:
        """Return the end of a pipe that gets a byte for each signal, so that one poll waits for all."""
        reader, writer = os.pipe()
        for fd in (reader, writer):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _wake)
        signal.signal(signal.SIGTERM, self._be_told_to_end)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        return reader

    def _be_told_to_end(self, number: int, frame: FrameType | None) -> None:
        self._told_to_end = True


def _wake(number: int, frame: FrameType | None) -> None:
    """Do nothing. The byte in the pipe needs a handler."""


def _has_left(user: socket.socket) -> bool:
    """Whether the user has left. Users send nothing, so only the end can be read from them."""
    try:
        return user.recv(64) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _tell(user: socket.socket, text: str) -> None:
    user.setblocking(False)
    line = " ".join(text.splitlines()).encode("utf-8", "backslashreplace")[:4000] + b"\n"
    with contextlib.suppress(OSError):  # it has left: the loop will notice
        user.send(line)
