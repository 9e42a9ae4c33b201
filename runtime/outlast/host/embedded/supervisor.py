"""The process that owns the server: starts it, starts it again if it dies, ends it after its last user.

A user of the server is a host process with a connection to this one. The kernel closes a connection with
its process, so a user is gone however it went, and nobody counts. Should the supervisor itself be killed,
the kernel tells the server to shut down (Linux), and the next start of anyone makes a new pair.

It is started as a program of its own, from the standard library only, and runs as the server's user. It
holds `supervisor.lock` as long as it lives.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from types import FrameType

from outlast.host.embedded import processes, rundir
from outlast.host.embedded.cluster import Cluster, ClusterError
from outlast.host.embedded.orders import Orders

_TICK_S = 5.0  # for what no event tells: a removed folder, a grown log, sockets to keep from tmp cleaners
_TOUCH_EVERY_TICKS = 360
_RESTARTS_MAX = 5
_RESTART_WINDOW_S = 60.0


def main(words: list[str]) -> None:
    """Run to the end of the server. `words` are those of `Orders`."""
    orders = Orders.from_words(words)
    for fd in (orders.folder_fd, orders.lock_fd, orders.user_fd):
        os.set_inheritable(fd, False)
    if os.fork():
        os._exit(0)  # the host collects this one at once; the supervisor is nobody's child
    os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    Supervisor(orders).run()


class Supervisor:
    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._cluster = Cluster(orders)
        self._users = [socket.socket(fileno=orders.user_fd)]
        self._last: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self._run_folder = ""
        self._leaving = False
        self._restarts: list[float] = []
        self._wake, self._wake_end = os.pipe()
        for fd in (self._wake, self._wake_end):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self._wake_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _note)
        signal.signal(signal.SIGTERM, self._leave)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def run(self) -> None:
        """The supervisor's whole life."""
        try:
            self._prepare()
            self._listen()
            self._cluster.start(self._run_folder)
            self._serve()
        except ClusterError as error:
            self._admit(f"error {error}")
            self._answer_all(f"error {error}")
        finally:
            self._end()

    def _prepare(self) -> None:
        """Become the server's user, and have a database. initdb may need an account other than that user."""
        orders = self._orders
        if orders.maker == orders.uid:
            processes.become(orders.uid, orders.gid)
        self._cluster.clear()
        if not self._cluster.exists():
            self._cluster.make((orders.maker, orders.maker_gid))
        processes.become(orders.uid, orders.gid)

    def _listen(self) -> None:
        folder = rundir.make(self._orders.folder_fd, self._orders.uid)
        if folder is None:
            places = " or ".join(rundir.candidates(self._orders.folder_fd, self._orders.uid))
            raise ClusterError(f"no folder for the database's socket: make sure that {places} can be made")
        self._run_folder = folder
        path = os.path.join(folder, rundir.CONTROL)
        _unlink(path)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen(128)
        self._listener.setblocking(False)

    def _serve(self) -> None:
        self._answer_all(self._welcome())
        ticks = 0
        while self._users and not self._leaving:
            if not self._wait():
                ticks += 1
                if not self._tick(ticks):
                    return
            self._admit(self._welcome())
            if self._cluster.has_ended():
                self._restart()

    def _wait(self) -> bool:
        """Wait for an event; False if a tick went by without one. Drops the users that are gone."""
        assert self._listener is not None
        poll = select.poll()
        for watched in (self._wake, self._listener, *self._users):
            poll.register(watched, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(_TICK_S * 1000)}
        if self._wake in ready:
            os.read(self._wake, 4096)
        gone = [user for user in self._users if user.fileno() in ready and _has_left(user)]
        self._users = [user for user in self._users if user not in gone]
        self._admit(self._welcome())
        if self._users:
            for user in gone:
                user.close()
        else:
            self._last = gone  # closed when the server is down: they wait for that
        return bool(ready)

    def _admit(self, text: str) -> None:
        """Take in everybody who waits at the door."""
        while self._listener is not None:
            try:
                user, _ = self._listener.accept()
            except BlockingIOError:
                return
            self._users.append(user)
            _answer(user, text)

    def _welcome(self) -> str:
        return f"ready {int(self._orders.durable)} {self._run_folder}"

    def _restart(self) -> None:
        """The server died under its users. Start it again, unless it does nothing but die."""
        now = time.monotonic()
        self._restarts = [then for then in self._restarts if now - then < _RESTART_WINDOW_S] + [now]
        if len(self._restarts) > _RESTARTS_MAX:
            raise ClusterError(f"Postgres on {self._orders.path} ended {_RESTARTS_MAX} times in a minute")
        self._cluster.start(self._run_folder)

    def _tick(self, ticks: int) -> bool:
        """What needs no event. False if the folder is gone, and with it the reason to live."""
        if os.fstat(self._orders.folder_fd).st_nlink == 0:
            self._cluster.stop(signal.SIGQUIT)
            return False
        self._cluster.bound_log()
        if ticks % _TOUCH_EVERY_TICKS == 0:
            os.utime(os.path.join(self._run_folder, rundir.CONTROL))
        return True

    def _answer_all(self, text: str) -> None:
        for user in self._users:
            _answer(user, text)

    def _end(self) -> None:
        """Close the door, stop the server, and only then let the last users go: they wait for that."""
        if self._listener is not None:
            _unlink(os.path.join(self._run_folder, rundir.CONTROL))
            self._listener.close()
        self._cluster.stop()

    def _leave(self, number: int, frame: FrameType | None) -> None:
        self._leaving = True


def _note(number: int, frame: FrameType | None) -> None:
    """A signal whose only effect is to wake the loop."""


def _has_left(user: socket.socket) -> bool:
    """Users say nothing; whatever can be read is their end."""
    try:
        return user.recv(64) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _answer(user: socket.socket, text: str) -> None:
    user.setblocking(False)
    try:
        user.send(text.replace("\n", " ").encode("utf-8", "backslashreplace")[:4000] + b"\n")
    except OSError:
        return  # gone: the loop sees it


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
