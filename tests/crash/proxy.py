"""A way to Postgres that breaks at the worst moment: under a certain statement, or under its answer."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from dataclasses import dataclass
from typing import Literal

Lost = Literal["request", "answer", "neither"]
HOLD_S = 30.0


@dataclass
class Cut:
    """Break the connection over which `needle` is sent: a request before it arrives, or once it is answered.

    With `neither` the request is only held up until `release` is set. `by_server`: it is the answer that
    holds `needle`.
    """

    needle: bytes
    lost: Lost
    by_server: bool
    done: threading.Event
    release: threading.Event


def _until_closed() -> contextlib.suppress:
    """What a connection meets when the proxy closes: select refuses sockets that are closed already."""
    return contextlib.suppress(OSError, ValueError)


class Proxy:
    """Forwards TCP connections to the server's unix socket at `path`, and cuts one when it is told to."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._cut: Cut | None = None
        self._lock = threading.Lock()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        self._closing, self._closed = socket.socketpair()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_at(self, needle: bytes, lost: Lost, *, by_server: bool = False) -> Cut:
        """Cut the next connection that sends `needle`, once."""
        with self._lock:
            self._cut = Cut(needle, lost, by_server, threading.Event(), threading.Event())
            return self._cut

    def close(self) -> None:
        """Break everything."""
        for each in (self._closed, self._door):
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._door.accept()
            except OSError:
                self._closing.close()
                return
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, _until_closed():
            server.connect(self._path)
            while True:
                ready, _, _ = select.select([client, server, self._closing], [], [])
                if self._closing in ready:
                    return
                if server in ready:
                    if not (answer := server.recv(1 << 20)):
                        return
                    if (cut := self._meets(answer, by_server=True)) is not None:
                        cut.done.set()
                        return
                    client.sendall(answer)
                if client in ready:
                    if not (request := client.recv(1 << 20)):
                        return
                    if (cut := self._meets(request, by_server=False)) is None:
                        server.sendall(request)
                        continue
                    if cut.lost == "neither":
                        cut.done.set()
                        cut.release.wait(HOLD_S)
                        server.sendall(request)
                        continue
                    if cut.lost == "answer":
                        server.sendall(request)
                        _read_answer(server)
                    cut.done.set()
                    return

    def _meets(self, message: bytes, *, by_server: bool) -> Cut | None:
        with self._lock:
            cut = self._cut
            if cut is None or cut.by_server is not by_server or cut.needle not in message:
                return None
            self._cut = None
            return cut


def _read_answer(server: socket.socket) -> None:
    """All that the server has to say: up to ReadyForQuery (Postgres manual, "Message Formats")."""
    server.settimeout(10)
    answer = b""
    while answer[-6:-1] != b"Z\0\0\0\5":
        answer += server.recv(1 << 20)
