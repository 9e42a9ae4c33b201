"""Which connections are open, and which one is ended when there would be too many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from outlast.core.clock import monotonic
from outlast.host.descriptors import PROBED_MAX

_TOLD_EVERY_S = 60.0


class Connection(Protocol):
    """An open connection."""

    def cut_off(self) -> None:
        """End it at once, so that its descriptor is free before another connection is accepted."""


class Connections:
    """The open connections of one process.

    When there are too many, one is ended: the oldest that waits for its next request, otherwise the oldest
    whose request is incomplete. If all are being answered, the new connection may only ask about health.
    """

    def __init__(self, most: int, full: Callable[[int], None]) -> None:
        """`full` is called with how many were ended or turned away, at most once a minute."""
        self._most = most
        self._full = full
        self._open: set[Connection] = set()
        self._idle: dict[Connection, None] = {}
        self._heads: dict[Connection, None] = {}
        self._ended = 0
        self._told_s = -_TOLD_EVERY_S

    def admit(self, connection: Connection) -> bool:
        """Add a new connection. False if there is room for health checks only."""
        # guard: connections-without-end
        if len(self._open) >= self._most:
            self._end_one()
            self._tell()
        roomy = len(self._open) < self._most  # no room either if the ended one was itself beyond the limit
        self._open.add(connection)
        self._heads[connection] = None
        return roomy

    def is_beyond(self) -> bool:
        """Whether there are more connections than the limit and the health checks allow."""
        return len(self._open) > self._most + PROBED_MAX

    def head_begins(self, connection: Connection) -> None:
        """The first bytes of a request's head have come."""
        if connection in self._idle:
            del self._idle[connection]
            self._heads[connection] = None

    def head_complete(self, connection: Connection) -> None:
        """The head is complete: the request is answered now."""
        self._idle.pop(connection, None)
        self._heads.pop(connection, None)

    def await_head(self, connection: Connection) -> None:
        """All requests are answered: the connection waits for the next one."""
        if connection in self._open:
            self._idle[connection] = None

    def forget(self, connection: Connection) -> None:
        """The connection has ended."""
        self._open.discard(connection)
        self.head_complete(connection)

    def _end_one(self) -> None:
        """End the connection that is missed least, unless all are being answered."""
        missed_least = next(iter(self._idle or self._heads), None)
        if missed_least is not None:
            self.forget(missed_least)
            missed_least.cut_off()

    def _tell(self) -> None:
        self._ended += 1
        now_s = monotonic()
        if now_s - self._told_s >= _TOLD_EVERY_S:
            self._told_s = now_s
            self._full(self._ended)
            self._ended = 0
