"""How many connections are open at once, and which of them ends when one more comes."""

from __future__ import annotations

import resource
from collections.abc import Callable
from typing import Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from outlast.core.clock import monotonic
from outlast.core.errors import OutlastError
from outlast.web.cors import EVERYWHERE
from outlast.web.problems import Problem
from outlast.web.requests import PROBES

CONNECTIONS_MIN = 16
CONNECTIONS_MAX = 10_000
"""Of the default. Each takes some kilobytes."""

PROBED_MAX = 8
"""Connections beyond the limit, which are asked about this instance's health alone."""

_FILES = 56
"""Descriptors of an instance at rest are about 25; the rest is for files and calls of functions."""

_TOLD_EVERY_S = 60.0

BUSY = Problem(
    503,
    "overloaded",
    "this instance has as many connections open as it may; try again",
    retryable=True,
    headers=(("retry-after", "1"), ("connection", "close")),
)


class TooFewDescriptors(OutlastError):
    """The limit of connections is larger than that of the process's descriptors allows."""

    code = "start_refused"


def connections_max(chosen: int | None, db_connections: int, descriptors_max: int | None = None) -> int:
    """How many callers' connections one process may hold.

    By default what its descriptors (`RLIMIT_NOFILE`) leave beside the database's connections, files, health
    checks and a quarter for what functions open. Raises TooFewDescriptors where `chosen` is more than that
    without the quarter.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if descriptors_max is None else descriptors_max
    if limit == resource.RLIM_INFINITY:
        return chosen or CONNECTIONS_MAX
    free = limit - db_connections - PROBED_MAX - _FILES
    if chosen is None:
        return max(CONNECTIONS_MIN, min(CONNECTIONS_MAX, free, limit - limit // 4 - db_connections))
    if chosen > free:
        raise TooFewDescriptors(
            f"OUTLAST_CONNECTIONS_MAX={chosen}: this process may open {limit} files and sockets, "
            f"which leaves {max(free, 0)} for connections: set that or less, or raise the limit (ulimit -n)"
        )
    return chosen


TellRefused = Callable[[str, int, str], None]
"""Is told of what was answered without the application: the client's address, status, code."""


class Connection(Protocol):
    """An open connection."""

    def cut_off(self) -> None:
        """End it at once: its descriptor is free before another connection is taken."""
        ...


class Connections:
    """The open connections of one process.

    When there are too many, those end first that are kept for a next request, then those whose request is
    not whole yet, each time the oldest. Where all are being answered the new one is asked about health alone.
    """

    def __init__(self, most: int, full: Callable[[int], None]) -> None:
        """`full` is told, at most once a minute, how many were ended or turned away."""
        self.most = most
        self._full = full
        self._open: set[Connection] = set()
        self._idle: dict[Connection, None] = {}
        self._heads: dict[Connection, None] = {}
        self._ended = 0
        self._told_s = -_TOLD_EVERY_S

    def came(self, connection: Connection) -> bool:
        """A new one, of which nothing is known yet; False if there is room for health checks alone."""
        # guard: connections-without-end
        if len(self._open) >= self.most:
            self._end_one()
            self._tell()
        roomy = len(self._open) < self.most  # still none where what was ended was beyond the limit too
        self._open.add(connection)
        self._heads[connection] = None
        return roomy

    def is_beyond(self) -> bool:
        """Whether there are more than even health checks may add."""
        return len(self._open) > self.most + PROBED_MAX

    def began(self, connection: Connection) -> None:
        """A head begins to come."""
        if connection in self._idle:
            del self._idle[connection]
            self._heads[connection] = None

    def asked(self, connection: Connection) -> None:
        """Its head is whole: it is answered now."""
        self._idle.pop(connection, None)
        self._heads.pop(connection, None)

    def answered(self, connection: Connection) -> None:
        """Nothing is to be answered any more."""
        if connection in self._open:
            self._idle[connection] = None

    def gone(self, connection: Connection) -> None:
        """It is over."""
        self._open.discard(connection)
        self.asked(connection)

    def _end_one(self) -> None:
        """End the one that is missed least; none where every one is being answered."""
        missed_least = next(iter(self._idle or self._heads), None)
        if missed_least is not None:
            self.gone(missed_least)
            missed_least.cut_off()

    def _tell(self) -> None:
        self._ended += 1
        now_s = monotonic()
        if now_s - self._told_s >= _TOLD_EVERY_S:
            self._told_s = now_s
            self._full(self._ended)
            self._ended = 0


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
