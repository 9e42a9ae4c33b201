"""The port of metrics, on which nobody is asked for a key."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from outlast.web.http.answers import Answer
from outlast.web.management.metrics import METRICS, Scrape, scraped

CONNECTIONS_MAX = 16
"""Of that port."""


@contextlib.asynccontextmanager
async def scraped_at(listener: socket.socket | None, scrape: Scrape | None) -> AsyncIterator[None]:
    """Answer scrapes on a port of their own meanwhile."""
    if listener is None or scrape is None:
        yield
        return
    server = _Server(
        uvicorn.Config(
            _app_of(scrape),
            loop="none",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_graceful_shutdown=1,
        )
    )
    serving = asyncio.get_running_loop().create_task(server.serve(sockets=[listener]), name="outlast-metrics")
    try:
        yield
    finally:
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """It leaves signals to the host."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """No signals here."""
        yield


def _app_of(scrape: Scrape) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if scope["path"] != METRICS or scope["method"] not in ("GET", "HEAD"):
            body = b"only GET /metrics is here\n"
            answer = Answer(404, body, [(b"content-type", b"text/plain; charset=utf-8")])
        else:
            answer = await scraped(scrape, headers.get(b"accept", b"").decode("latin-1"))
        await answer.send(send)

    return app
