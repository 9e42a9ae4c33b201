"""EmbeddedPostgres: a process's use of the database in its project folder."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from outlast.host.embedded.attach import Use, attach, log_tail
from outlast.host.embedded.errors import EmbeddedPostgresError
from outlast.host.embedded.folder import Folder, open_folder
from outlast.host.embedded.settings import PORT

_logger = logging.getLogger(__name__)

_STOP_LIMIT_S = 40.0
_REVIVAL_LIMIT_S = 60.0
_GUARD_ROUND_S = 60.0


class EmbeddedPostgres:
    """One process's use of the Postgres in `HOME/postgres`; make it with `start`.

    `url` is a libpq URL over a unix socket. Any number of processes share one server. It ends when the last
    of them has called `stop` or has ended in any way. If the server or its supervisor dies while it is used,
    it is started again at once: open connections break, new ones to the same URL succeed. The object is in
    use until `stop`, or until the process and its children made with `os.fork` have ended.
    """

    url: str

    def __init__(self, folder: Folder, use: Use) -> None:
        self._folder = folder
        self._use = use
        self._durable = use.durable  # kept for when this use has to start the server again
        self._changing = threading.Lock()
        self._stopped = False
        self._process = os.getpid()
        self.url = _url(use)
        self._guardian = threading.Thread(target=self._guard, name="outlast-embedded-postgres", daemon=True)
        self._guardian.start()

    @classmethod
    def start(cls, home: Path, *, durable: bool = True, start_timeout_s: float = 30.0) -> EmbeddedPostgres:
        """Start the server of `home` (the `.outlast` folder, made if missing), or connect to it; blocks.

        `durable=False` trades safety against a crash of the machine for speed, for tests. Such a server isn't
        shared with a caller who asks for durability. Raises EmbeddedPostgresError.
        """
        deadline = time.monotonic() + start_timeout_s
        folder = open_folder(home)
        try:
            use = attach(folder, durable=durable, deadline=deadline)
        except BaseException:
            os.close(folder.fd)
            raise
        return cls(folder, use)

    def stop(self) -> None:
        """End this process's use. For the last user this returns when the server has ended.

        May be called again. Raises EmbeddedPostgresError if the server has not ended within 40 s.
        """
        if os.getpid() != self._process:  # a child made by os.fork: the use is its parent's
            self._use.connection.close()
            return
        with self._changing:
            if self._stopped:
                return
            self._stopped = True
        try:
            self._leave(self._use.connection)
        finally:
            self._guardian.join(timeout=1.0)  # it notices the same end
            self._use.connection.close()
            os.close(self._folder.fd)

    def __enter__(self) -> EmbeddedPostgres:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _leave(self, connection: socket.socket) -> None:
        """Leave; the supervisor closes its end. For the last user it does so only after the server's end."""
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        if not _wait_for_end(connection, _STOP_LIMIT_S):
            raise EmbeddedPostgresError(
                f"the embedded Postgres has not ended within {_STOP_LIMIT_S:.0f} s{log_tail(self._folder)}"
            )

    def _reattach(self, deadline: float) -> None:
        with self._changing:
            if self._stopped:
                raise EmbeddedPostgresError("this use of the embedded Postgres was stopped: start a new one")
            if not _wait_for_end(self._use.connection, 0.0):
                return
            self._use.connection.close()
            self._use = attach(self._folder, durable=self._durable, deadline=deadline)
            self.url = _url(self._use)

    def _guard(self) -> None:
        """Wait for the supervisor's end, and replace it. If that fails, the log says so."""
        while not self._stopped:
            if not _wait_for_end(self._use.connection, _GUARD_ROUND_S) or self._stopped:
                continue
            try:
                self._reattach(time.monotonic() + _REVIVAL_LIMIT_S)
            except EmbeddedPostgresError as error:
                if not self._stopped:
                    _logger.error("the embedded Postgres ended and could not be started again: %s", error)
                return


def _url(use: Use) -> str:
    return f"postgresql://postgres@/postgres?host={quote(use.sockets, safe='/')}&port={PORT}"


def _wait_for_end(connection: socket.socket, timeout_s: float) -> bool:
    """Whether the supervisor closed the connection within that time. Any last text from it is ignored."""
    if (fd := connection.fileno()) < 0:
        return True
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    deadline = time.monotonic() + timeout_s
    while True:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return False
        try:
            if connection.recv(4096, socket.MSG_DONTWAIT) == b"":
                return True
        except BlockingIOError:
            continue
        except OSError:
            return True
