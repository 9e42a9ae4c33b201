"""The process that owns the server: starts it, starts it again if it dies, ends it after its last user.

A user of the server is a process with a connection to this one. The kernel closes a connection with its
process, so a user is gone however it went, and nobody has to count. Should the supervisor itself be killed,
the kernel tells the server to shut down (Linux; elsewhere the next start does), and the users still there
start another pair.

It runs as a program of its own, on the standard library alone, as the server's user, and holds
`supervisor.lock` as long as it lives.
"""

from __future__ import annotations

# Loading pathlib would be a tenth of the supervisor's start.
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

_TICK_S = 2.0  # for what no event tells: removed folders, a grown log
_TOUCH_S = 3600.0  # cleaners of tmp folders take what has not been used for days
_USERS_MAX = 200
_RESTARTS_MAX = 5
_RESTARTS_WINDOW_S = 60.0


def main(words: list[str]) -> None:
    """Run to the end of the server. `words` are those of `Orders`."""
    orders = Orders.from_words(words)
    for fd in (orders.folder_fd, orders.lock_fd, orders.user_fd):
        os.set_inheritable(fd, False)
    if os.fork():
        os._exit(0)  # the host waits for this one only, so no host is left with a zombie
    os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    Supervisor(orders).run()
    os._exit(0)  # at once: an interpreter that tidies up would let the last users wait for it


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
        """The supervisor's life. Its last users hear that it is over by the end of their connections."""
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
        """Become the server's user, and have a database: initdb first where that user has no account."""
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
        """Until the last user is gone: let users in and out, and keep the server up."""
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
                    os.stat(f"{self._sockets}/{name}")  # without its sockets the pair is of no use, and ends
                self._cluster.bound_log()
            if time.monotonic() >= touch_at:
                touch_at = time.monotonic() + _TOUCH_S
                os.utime(f"{self._sockets}/{rundir.CONTROL}")

    def _wait_for_events(self, until: float) -> None:
        """Wait for a signal, a knock at the door or a user who leaves; at most until that time."""
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
        """Close the connections of those who left; they wait for that, the last one for the server's end."""
        for user in self._leaving_users:
            user.close()
        self._leaving_users.clear()

    def _let_in(self, text: str) -> None:
        """Take in everybody who is at the door."""
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
        """The server died under its users. Start it again, unless it does nothing but die."""
        now = time.monotonic()
        self._restarts = [then for then in self._restarts if now - then < _RESTARTS_WINDOW_S] + [now]
        if len(self._restarts) > _RESTARTS_MAX:
            raise ClusterError(f"Postgres on {self._orders.path} ended {_RESTARTS_MAX} times within a minute")
        self._cluster.start(self._sockets)

    def _end(self) -> None:
        """Close the door, stop the server, leave nothing in the tmp folder."""
        if self._door is not None:
            self._let_in("")
            with contextlib.suppress(OSError):
                os.unlink(f"{self._sockets}/{rundir.CONTROL}")
            self._door.close()
        with contextlib.suppress(ClusterError, OSError):  # such as a folder that was removed
            self._cluster.stop()
        with contextlib.suppress(OSError):
            os.rmdir(self._sockets)

    def _welcome(self) -> str:
        return f"ready {self._orders.durable} {self._sockets}"

    def _watch_signals(self) -> int:
        """The end of a pipe that gets a byte with each signal, so that one poll waits for everything."""
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
    """A handler is needed for the byte in the pipe; it has nothing to do."""


def _has_left(user: socket.socket) -> bool:
    """Users say nothing: what can be read of them is their end."""
    try:
        return user.recv(64) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _tell(user: socket.socket, text: str) -> None:
    user.setblocking(False)
    line = " ".join(text.splitlines()).encode("utf-8", "backslashreplace")[:4000] + b"\n"
    with contextlib.suppress(OSError):  # gone: the loop will see it
        user.send(line)
