"""Connections beyond the limit: they are asked about this instance's health, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from outlast.web.http.cors import EVERYWHERE
from outlast.web.http.problems import Problem
from outlast.web.http.requests import PROBES

BUSY = Problem(
    "overloaded",
    "this instance has as many connections open as it may; try again",
    headers=(("retry-after", "1"), ("connection", "close")),
)

TellRefused = Callable[[str, int, str], None]
"""Is told of what was answered without the application: the client's address, status, code."""


def probes_alone(app: ASGIApp, refused: TellRefused) -> ASGIApp:
    """`app` for a connection beyond the limit: it answers health checks, and 503 to all else."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        # guard: reserve-for-everything = True
        if scope["path"] in PROBES:
            await app(scope, receive, send)
            return
        client = scope.get("client")
        refused(client[0] if client else "", BUSY.status, BUSY.code)
        refusal = BUSY.answer()
        refusal.headers += EVERYWHERE
        await refusal.send(send)

    return answer
