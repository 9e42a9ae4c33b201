"""The database cluster in `HOME/postgres/data`: made by initdb, served by a Postgres, shut down cleanly.

Runs in the supervisor. One lock tells whether any process of an earlier server is alive: the server and all
its children inherit `server.lock`, and the kernel releases it when the last of them ends. Process ids aren't
trusted for that, since after a crash an id may belong to another process.
"""

from __future__ import annotations

# Loading pathlib would take a tenth of the supervisor's start.
# ruff: noqa: PTH108, PTH123, PTH208
import contextlib
import fcntl
import os
import signal
import time

from outlast.host.embedded import processes, settings
from outlast.host.embedded.orders import Orders

_POLL_S = 0.005
_INITDB_LIMIT_S = 120.0
_START_LIMIT_S = 300.0  # crash recovery of much data takes long
_STOPPING = ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))  # fast, immediate, by force
_CLEAR_LIMIT_S = 25.0
_LOG_BYTES_MAX = 8 * 1024 * 1024
_LOG_BYTES_KEPT = 1024 * 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class ClusterError(Exception):
    """The server can't run; the message is for every process that waits for it."""


class Cluster:
    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._folder = orders.folder_fd
        self._server: int | None = None
        self._was_started = False
        self._log = os.open("server.log", os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, dir_fd=self._folder)

    def exists(self) -> bool:
        return "data" in os.listdir(self._folder)

    def make(self) -> None:
        """Run initdb in a folder that is renamed into place when it is complete. Raises ClusterError."""
        orders = self._orders
        lock = self._claim()
        try:
            _remove("data.new", self._folder)
            os.mkdir("data.new", 0o700, dir_fd=self._folder)
            new = os.open("data.new", _FOLDER, dir_fd=self._folder)
            try:
                if os.geteuid() == 0:
                    os.fchown(new, orders.maker_uid, orders.maker_gid)
                self._initdb(new, lock)
                if os.geteuid() == 0:
                    _give(new, orders.uid, orders.gid)
                os.fsync(new)
            finally:
                os.close(new)
            os.rename("data.new", "data", src_dir_fd=self._folder, dst_dir_fd=self._folder)
            os.fsync(self._folder)
        finally:
            os.close(lock)

    def start(self, sockets: str) -> None:
        """Start the server, its socket in `sockets`; wait until it takes connections. Raises ClusterError."""
        self._check()
        self.bound_log()
        lock = self._claim()
        data = os.open("data", _FOLDER, dir_fd=self._folder)
        try:
            self._remove_misleading(data, sockets)
            self._was_started = True
            self._server = processes.spawn(
                f"{self._orders.programs}/postgres",
                [
                    *("-D", processes.working_folder(data)),
                    *settings.server_arguments(sockets, durable=bool(self._orders.durable)),
                ],
                folder_fd=data,
                lock_fd=lock,
                user=(self._orders.uid, self._orders.gid),
                death_signal=signal.SIGINT,
            )
        except BaseException:
            os.close(data)
            raise
        finally:
            os.close(lock)
        try:
            self._wait_until_ready(data)
        finally:
            os.close(data)

    def has_ended(self) -> bool:
        """Whether the server has ended, for any reason. If so, its process is reaped."""
        if self._server is not None:
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(self._server, os.WNOHANG) == (0, 0):
                    return False
            self._server = None
        return True

    def stop(self) -> None:
        """Stop the server: clients are cut off, a checkpoint is written.

        Stronger signals follow if that takes long.
        """
        if not self._was_started:
            return
        for number, limit_s in _STOPPING:
            if self._server is not None:
                processes.send(self._server, number)
            deadline = time.monotonic() + limit_s
            while not self.has_ended() and time.monotonic() < deadline:
                time.sleep(_POLL_S)
        self.clear()

    def clear(self) -> None:
        """End any processes of an earlier server. Raises ClusterError if they don't end."""
        os.close(self._claim())

    def bound_log(self) -> None:
        """Keep only the end of a log that has grown too long."""
        size = os.fstat(self._log).st_size
        if size > _LOG_BYTES_MAX:
            kept = os.pread(self._log, _LOG_BYTES_KEPT, size - _LOG_BYTES_KEPT)
            os.ftruncate(self._log, 0)
            os.write(self._log, kept)

    def _initdb(self, new: int, lock: int) -> None:
        process = processes.spawn(
            f"{self._orders.programs}/initdb",
            [
                *("-D", processes.working_folder(new)),
                *settings.initdb_arguments(durable=bool(self._orders.durable)),
            ],
            folder_fd=new,
            lock_fd=lock,
            user=(self._orders.maker_uid, self._orders.maker_gid),
            death_signal=signal.SIGKILL,
        )
        deadline = time.monotonic() + _INITDB_LIMIT_S
        while (ended := os.waitpid(process, os.WNOHANG)) == (0, 0):
            if time.monotonic() > deadline:
                processes.send(process, signal.SIGKILL)
                os.waitpid(process, 0)
                raise ClusterError(
                    f"initdb did not end within {_INITDB_LIMIT_S:.0f} s in {self._orders.path}"
                )
            time.sleep(_POLL_S)
        if ended[1] != 0:
            raise ClusterError(
                f"initdb could not make a database in {self._orders.path}: is there enough disk space?"
            )

    def _check(self) -> None:
        """Refuse data of another user or another Postgres version before anything touches it."""
        orders = self._orders
        owner = os.stat("data", dir_fd=self._folder, follow_symlinks=False).st_uid
        if owner != orders.uid:
            raise ClusterError(
                f"{orders.path}/data belongs to user id {owner} and the folder around it to {orders.uid}: "
                f"give both to one user with sudo chown -R {orders.uid} {orders.path}"
            )
        data = os.open("data", _FOLDER, dir_fd=self._folder)
        try:
            made_by = _read("PG_VERSION", data).strip()
        finally:
            os.close(data)
        if made_by != str(orders.major):
            raise ClusterError(
                f"the data in {orders.path} was made by Postgres {made_by or '(unknown)'}, and this is "
                f"Postgres {orders.major}; it was not touched: take a dump with the version that made it, or "
                f"move the folder away to start with an empty database"
            )

    def _claim(self) -> int:
        """Acquire the server's lock.

        A server that still holds it has lost its supervisor, and is ended first.
        """
        lock = os.open("server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=self._folder)
        began = time.monotonic()
        pressed_at = -1.0
        while not _try_lock(lock):
            waited = time.monotonic() - began
            if waited > _CLEAR_LIMIT_S:
                os.close(lock)
                raise ClusterError(
                    f"an earlier Postgres on {self._orders.path} does not end: end it by hand and start again"
                )
            if waited - pressed_at > 0.5:
                pressed_at = waited
                self._press(lock, waited)
            time.sleep(_POLL_S)
        return lock

    def _press(self, lock: int, waited: float) -> None:
        """Ask a server to shut down. Children that lost their server can't go on, so they are ended."""
        try:
            data = os.open("data", _FOLDER, dir_fd=self._folder)
        except FileNotFoundError:
            return  # held by initdb, which ends by itself
        try:
            left = [process for process in processes.in_folder(data) if processes.has_open(process, lock)]
            server = _pid_file(data)[0]
        finally:
            os.close(data)
        if server in left or (not left and server and processes.is_running(server)):
            number = signal.SIGINT if waited < _STOPPING[0][1] else signal.SIGKILL
            whom = [server] if number == signal.SIGINT else [server, *left]
        else:
            number, whom = signal.SIGQUIT if waited < 2.0 else signal.SIGKILL, left
        for process in whom:
            processes.send(process, number)

    def _remove_misleading(self, data: int, sockets: str) -> None:
        """Remove files with stale process ids: as this process holds the lock, no server of ours is alive."""
        strangers = [each for each in processes.in_folder(data) if processes.name_of(each) == "postgres"]
        if strangers:
            raise ClusterError(
                f"{self._orders.path} is in use by a Postgres that Outlast did not start "
                f"(process {strangers[0]}): stop that first"
            )
        for name in (settings.SOCKET, f"{settings.SOCKET}.lock"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{sockets}/{name}")
        with contextlib.suppress(FileNotFoundError):
            os.unlink("postmaster.pid", dir_fd=data)

    def _wait_until_ready(self, data: int) -> None:
        deadline = time.monotonic() + _START_LIMIT_S
        while _pid_file(data) != (self._server, "ready"):
            if self.has_ended():
                raise ClusterError(f"Postgres did not start on {self._orders.path}")
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"Postgres was not ready within {_START_LIMIT_S:.0f} s on {self._orders.path}"
                )
            time.sleep(_POLL_S)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _pid_file(data: int) -> tuple[int, str]:
    """The server's id and status from postmaster.pid, lines 1 and 8 (miscadmin.h); `(0, "")` without one."""
    lines = [line.strip() for line in _read("postmaster.pid", data).split("\n")]
    return int(lines[0]) if lines[0].isdecimal() else 0, lines[7] if len(lines) > 7 else ""


def _read(name: str, folder: int) -> str:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return ""
    with open(fd, encoding="utf-8", errors="replace") as file:
        return file.read(4096)


def _remove(name: str, folder: int) -> None:
    """Remove a folder with its contents, without following links. A missing folder is no error."""
    with contextlib.suppress(FileNotFoundError):
        for _, folders, files, fd in os.fwalk(name, topdown=False, dir_fd=folder):
            for file in files:
                os.unlink(file, dir_fd=fd)
            for each in folders:
                os.rmdir(each, dir_fd=fd)
        os.rmdir(name, dir_fd=folder)


def _give(folder: int, uid: int, gid: int) -> None:
    """Give a tree to another user. Files with more than one hard link are refused."""
    for _, _, files, fd in os.fwalk(".", dir_fd=folder):
        os.fchown(fd, uid, gid)
        for file in files:
            if os.stat(file, dir_fd=fd, follow_symlinks=False).st_nlink != 1:
                raise ClusterError(f"a file of the new database has a second name ({file}): start again")
            os.chown(file, uid, gid, dir_fd=fd, follow_symlinks=False)
