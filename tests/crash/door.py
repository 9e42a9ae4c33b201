"""A way to a server that counts who comes, and can be shut."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

from psycopg.conninfo import conninfo_to_dict, make_conninfo

_RESET = struct.pack("ii", 1, 0)


class Door:
    """Forwards TCP connections on loopback to the server of `url`. `comers` counts all, the refused too."""

    def __init__(self, url: str, host: str = "127.0.0.1") -> None:
        given = conninfo_to_dict(url)
        self._leads_to = str(given["host"]), int(given["port"] or 5432)
        self._lock = threading.Lock()
        self._open = True
        self._inside: set[socket.socket] = set()
        self.comers = 0
        self._door = socket.create_server(
            (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
        self.port: int = self._door.getsockname()[1]
        self.url = make_conninfo(url, host=host, port=self.port, sslmode="disable")
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        """End what goes on, and refuse who comes."""
        with self._lock:
            self._open = False
            for each in self._inside:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def reopen(self) -> None:
        """Let in who comes."""
        with self._lock:
            self._open = True

    def close(self) -> None:
        """Leave nothing."""
        self.shut()
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._door.accept()
            except OSError:
                return
            with self._lock:
                self.comers += 1
                if not self._open:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    client.close()
                    continue
                server = self._enter()
                self._inside |= {client, server}
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._forward, args=(source, target), daemon=True).start()

    def _enter(self) -> socket.socket:
        host, port = self._leads_to
        if not host.startswith("/"):
            return socket.create_connection((host, port), 20)
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._inside.discard(source)
        source.close()
