"""A host for the command to talk to: real HTTP on loopback, answers as the test lays them down."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn

START_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: `document` as JSON, or `body` as it is. `gate` holds it back until it is set."""

    status: int = 200
    document: Any = None
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    gate: threading.Event | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came in."""

    method: str
    path: str
    """As sent, percent-encoding and query included."""
    headers: dict[str, str]
    body: bytes


class StandIn:
    """`on` lays down what a method and path are answered, one reply after the other; the last one stays."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.seen: list[Seen] = []
        self.arrived = threading.Semaphore(0)
        self._replies: dict[tuple[str, str], list[Reply]] = {}

    def on(self, method: str, path: str, *replies: Reply) -> None:
        """Answer `method` on `path` (without its query) so."""
        self._replies[method, path] = list(replies)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """The ASGI application."""
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        path, query = scope["raw_path"].decode(), scope["query_string"].decode()
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.seen.append(Seen(scope["method"], f"{path}?{query}" if query else path, headers, body))
        self.arrived.release()
        replies = self._replies.get((scope["method"], path), [_NOT_FOUND])
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if reply.gate is not None:
            await asyncio.get_running_loop().run_in_executor(None, reply.gate.wait, START_TIMEOUT_S)
        payload = reply.body if reply.body is not None else json.dumps(reply.document).encode()
        kind = {} if reply.body is not None else {"content-type": "application/json"}
        fields = {**kind, "content-length": str(len(payload)), **reply.headers}
        pairs = [(name.encode(), value.encode()) for name, value in fields.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": pairs})
        await send({"type": "http.response.body", "body": payload})


_NOT_FOUND = Reply(404, {"code": "NOT_FOUND", "detail": "nothing is here", "retryable": False})


@contextmanager
def standing_in(port: int = 0) -> Iterator[StandIn]:
    """Serve a stand-in from a thread until the block ends."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        stand_in = StandIn(f"http://127.0.0.1:{listener.getsockname()[1]}")
        config = uvicorn.Config(stand_in.app, interface="asgi3", lifespan="off", ws="none", log_config=None)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield stand_in
        finally:
            server.should_exit = True
            server.force_exit = True
            thread.join(START_TIMEOUT_S)


@contextmanager
def hanging_up() -> Iterator[str]:
    """The URL of a server that reads a request and closes the connection without a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(START_TIMEOUT_S)
