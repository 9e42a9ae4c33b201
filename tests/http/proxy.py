"""A way to a database that can be cut and restored."""

from __future__ import annotations

import contextlib
import socket
import threading

from psycopg.conninfo import conninfo_to_dict, make_conninfo

TIMEOUT_S = 60.0


class Proxy:
    """Forwards TCP connections to a Postgres. `url` leads through it."""

    def __init__(self, database: str) -> None:
        parameters = conninfo_to_dict(database)
        self._host = str(parameters["host"])
        self._port = int(parameters["port"] or 5432)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open = True
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self.url = make_conninfo(
            database, host="127.0.0.1", port=self._listener.getsockname()[1], sslmode="disable"
        )
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End all connections, and refuse new ones."""
        with self._lock:
            self._open = False
            for each in self._sockets:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def restore(self) -> None:
        """Let connections through again."""
        with self._lock:
            self._open = True

    def close(self) -> None:
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                inner, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if not self._open:
                    inner.close()
                    continue
                outer = self._connect()
                self._sockets |= {inner, outer}
            for source, target in ((inner, outer), (outer, inner)):
                threading.Thread(target=self._forward, args=(source, target), daemon=True).start()

    def _connect(self) -> socket.socket:
        if self._host.startswith("/"):
            outer = socket.socket(socket.AF_UNIX)
            outer.connect(f"{self._host}/.s.PGSQL.{self._port}")
            return outer
        return socket.create_connection((self._host, self._port), TIMEOUT_S)

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._sockets.discard(source)
        source.close()
