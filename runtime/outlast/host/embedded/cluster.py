"""The data folder and the server on it: make, start, stop, and clear away what a crash left.

Runs in the supervisor. "Is any process of an earlier server alive?" is asked of one lock: the server and all
its children inherit `server.lock`, and the kernel drops it with the last of them. No process id is trusted.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time

from outlast.host.embedded import processes, settings
from outlast.host.embedded.orders import Orders

_POLL_S = 0.005
_START_LIMIT_S = 300.0  # crash recovery of a large data folder takes its time
_CLEAR_LIMIT_S = 30.0
_FAST_LIMIT_S = 15.0  # then an immediate shutdown
_INITDB_LIMIT_S = 120.0
_LOG_BYTES_MAX = 8 * 1024 * 1024
_LOG_BYTES_KEPT = 1024 * 1024
_LEFTOVERS = ("postmaster.pid",)


class ClusterError(Exception):
    """The server can't run: the message goes to every process that waits for it."""


class Cluster:
    """The database cluster in `data`, a folder inside the one open at `orders.folder_fd`."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._server: int | None = None
        self._log_fd = os.open("server.log", os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, dir_fd=orders.folder_fd)

    def exists(self) -> bool:
        return "data" in os.listdir(self._orders.folder_fd)

    def clear(self) -> None:
        """End what an earlier supervisor left behind. Raises ClusterError if it won't end."""
        os.close(self._claim())

    def make(self, user: tuple[int, int]) -> None:
        """initdb as `user` into a folder that takes its place when it is whole. Raises ClusterError."""
        lock_fd = self._claim()
        folder = self._orders.folder_fd
        try:
            _remove("data.new", folder)
            os.mkdir("data.new", 0o700, dir_fd=folder)
            new = os.open(
                "data.new", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder
            )
            try:
                if os.geteuid() == 0:
                    os.fchown(new, *user)
                self._initdb(new, lock_fd, user)
                if os.geteuid() == 0:
                    _give(new, self._orders.uid, self._orders.gid)
                if self._orders.durable:
                    os.fsync(new)
            finally:
                os.close(new)
            os.rename("data.new", "data", src_dir_fd=folder, dst_dir_fd=folder)
            if self._orders.durable:
                os.fsync(folder)
        except OSError as error:
            raise ClusterError(f"{self._orders.path} can't be filled: {error.strerror}") from error
        finally:
            os.close(lock_fd)

    def start(self, socket_folder: str) -> None:
        """Start the server and wait until it accepts connections. Raises ClusterError."""
        self._check()
        self.bound_log()
        lock_fd = self._claim()
        data = self._open_data()
        try:
            self._remove_leftovers(data, socket_folder)
            self._server = processes.spawn(
                os.path.join(self._orders.programs, "postgres"),
                [
                    "-D",
                    processes.here(data),
                    *settings.server_arguments(socket_folder, durable=self._orders.durable),
                ],
                folder_fd=data,
                lock_fd=lock_fd,
                user=(self._orders.uid, self._orders.gid),
                death_signal=signal.SIGINT,
            )
            os.close(lock_fd)
            lock_fd = -1
            self._wait_until_ready(data)
        finally:
            os.close(data)
            if lock_fd >= 0:
                os.close(lock_fd)

    def has_ended(self) -> bool:
        """Whether the server is gone, for whatever reason; collects it."""
        if self._server is None:
            return True
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(self._server, os.WNOHANG) == (0, 0):
                return False
        self._server = None
        return True

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Shut the server down: clients cut off, a checkpoint written; harder where that takes too long."""
        deadline = time.monotonic() + _FAST_LIMIT_S
        while not self.has_ended() and self._server is not None:
            processes.kill(self._server, number)
            while not self.has_ended() and time.monotonic() < deadline:
                time.sleep(_POLL_S)
            number = signal.SIGQUIT if number == signal.SIGINT else signal.SIGKILL
            deadline = time.monotonic() + 5.0
        self.clear()

    def bound_log(self) -> None:
        """Keep the end of a log that has grown too long."""
        size = os.fstat(self._log_fd).st_size
        if size > _LOG_BYTES_MAX:
            kept = os.pread(self._log_fd, _LOG_BYTES_KEPT, size - _LOG_BYTES_KEPT)
            os.ftruncate(self._log_fd, 0)
            os.write(self._log_fd, kept)

    def _claim(self) -> int:
        """The server's lock, held. First ends any process that has it: it is not ours, so it has no supervisor."""
        fd = os.open("server.lock", os.O_RDWR | os.O_CLOEXEC, dir_fd=self._orders.folder_fd)
        began = time.monotonic()
        told: set[signal.Signals] = set()
        while not _try_lock(fd):
            waited = time.monotonic() - began
            if waited > _CLEAR_LIMIT_S:
                os.close(fd)
                raise ClusterError(
                    f"an earlier Postgres on {self._orders.path} does not end: end its processes, then start again"
                )
            self._press(waited, told)
            time.sleep(_POLL_S)
        return fd

    def _press(self, waited: float, told: set[signal.Signals]) -> None:
        """A server without supervisor is asked to stop; its children without it are ended."""
        if not self.exists():
            return
        data = self._open_data()
        try:
            server = _server_in(data)
            left = processes.running_in(data)
        finally:
            os.close(data)
        if waited > _FAST_LIMIT_S or (server not in left and waited > 2.0):
            number, whom = signal.SIGKILL, left
        elif server in left:
            number, whom = signal.SIGINT, [server]
        else:
            number, whom = signal.SIGQUIT, left
        if number not in told:
            told.add(number)
            for process in whom:
                processes.kill(process, number)

    def _remove_leftovers(self, data: int, socket_folder: str) -> None:
        """With the lock held no server of ours lives, so its files mislead: their process id may be another's."""
        strangers = processes.running_in(data)
        if strangers:
            raise ClusterError(
                f"{self._orders.path} is in use by a Postgres (process {strangers[0]}) that Outlast did not start: "
                f"stop that one first"
            )
        if os.path.exists("/proc/self/cwd"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink("postmaster.pid", dir_fd=data)
        for name in (f".s.PGSQL.{settings.PORT}", f".s.PGSQL.{settings.PORT}.lock"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(socket_folder, name))

    def _wait_until_ready(self, data: int) -> None:
        deadline = time.monotonic() + _START_LIMIT_S
        while time.monotonic() < deadline:
            if _status_in(data, self._server) == "ready":
                return
            if self.has_ended():
                raise ClusterError(f"Postgres did not start on {self._orders.path}")
            time.sleep(_POLL_S)
        raise ClusterError(f"Postgres was not ready on {self._orders.path} within {_START_LIMIT_S:.0f} s")

    def _check(self) -> None:
        data = self._open_data()
        try:
            owner = os.fstat(data).st_uid
            if owner != self._orders.uid:
                raise ClusterError(
                    f"{self._orders.path}/data belongs to user id {owner}, the folder around it to "
                    f"{self._orders.uid}: give both to one user with sudo chown -R {self._orders.uid} {self._orders.path}"
                )
            version = _read("PG_VERSION", data).strip()
        finally:
            os.close(data)
        if version != str(self._orders.major):
            raise ClusterError(
                f"the data in {self._orders.path} was made by Postgres {version or '(unknown)'}, and this is Postgres "
                f"{self._orders.major}: install the version that made it and take a dump, or move the folder away to "
                f"start with an empty database; nothing was changed"
            )

    def _initdb(self, new: int, lock_fd: int, user: tuple[int, int]) -> None:
        process = processes.spawn(
            os.path.join(self._orders.programs, "initdb"),
            ["-D", processes.here(new), *settings.initdb_arguments(durable=self._orders.durable)],
            folder_fd=new,
            lock_fd=lock_fd,
            user=user,
            death_signal=signal.SIGKILL,
        )
        deadline = time.monotonic() + _INITDB_LIMIT_S
        while time.monotonic() < deadline:
            done, status = os.waitpid(process, os.WNOHANG)
            if done and status == 0:
                return
            if done:
                raise ClusterError(f"initdb could not make a database in {self._orders.path}")
            time.sleep(_POLL_S)
        processes.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        raise ClusterError(f"initdb did not end within {_INITDB_LIMIT_S:.0f} s in {self._orders.path}")

    def _open_data(self) -> int:
        return os.open(
            "data",
            os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC,
            dir_fd=self._orders.folder_fd,
        )


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(name: str, folder_fd: int) -> str:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder_fd)
    except FileNotFoundError:
        return ""
    with open(fd, encoding="utf-8", errors="replace") as file:
        return file.read(4096)


def _server_in(data: int) -> int:
    """The process id in postmaster.pid, 0 if there is none (Postgres manual, "Database File Layout")."""
    first = _read("postmaster.pid", data).split("\n")[0].strip()
    return int(first) if first.isdecimal() else 0


def _status_in(data: int, server: int | None) -> str:
    """The server's word in the eighth line of its postmaster.pid: starting, ready, stopping or standby."""
    lines = _read("postmaster.pid", data).split("\n")
    return lines[7].strip() if len(lines) > 7 and lines[0].strip() == str(server) else ""


def _remove(name: str, folder_fd: int) -> None:
    """Remove a folder with all in it, following no links; a folder that isn't there is fine."""
    try:
        walk = os.fwalk(name, topdown=False, follow_symlinks=False, dir_fd=folder_fd)
        for _, folders, files, fd in walk:
            for file in files:
                os.unlink(file, dir_fd=fd)
            for folder in folders:
                os.rmdir(folder, dir_fd=fd)
        os.rmdir(name, dir_fd=folder_fd)
    except FileNotFoundError:
        return


def _give(folder_fd: int, uid: int, gid: int) -> None:
    """Hand a tree over to another user. A file with a second name elsewhere is refused."""
    for _, _, files, fd in os.fwalk(".", follow_symlinks=False, dir_fd=folder_fd):
        os.fchown(fd, uid, gid)
        for file in files:
            if os.stat(file, dir_fd=fd, follow_symlinks=False).st_nlink != 1:
                raise ClusterError(f"a file that initdb made has a second name: {file}")
            os.chown(file, uid, gid, dir_fd=fd, follow_symlinks=False)
