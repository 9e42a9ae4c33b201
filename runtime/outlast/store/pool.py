"""The connections that transactions and reads share: few, opened when needed, closed when long idle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg.pq import TransactionStatus

from outlast.core.clock import monotonic
from outlast.store.connections import AsyncConn, Database, is_open
from outlast.store.contention import LOCK_WAIT, Contention
from outlast.store.gate import NoConnection

IDLE_S_MAX = 60.0
_WAIT_S = 10.0


class PoolBusy(NoConnection):
    """All connections were in use for too long. They work, but there are too few."""


class Pool:
    """At most `size` connections, given out in the order of the requests."""

    def __init__(self, database: Database, size: int) -> None:
        self._database = database
        self.size = size
        # guard: all-places-for-one-row = Contention(size)
        self.contention = Contention(max(1, size // 2))
        self._room = asyncio.Semaphore(size)
        self._idle: list[tuple[float, AsyncConn]] = []
        self._reaper: asyncio.TimerHandle | None = None
        self._closed = False

    @asynccontextmanager
    async def connection(self, timeout_s: float = _WAIT_S) -> AsyncIterator[AsyncConn]:
        """A connection for the caller alone. Waits for it at most `timeout_s`.

        With 0 s there is only one attempt. Raises NoConnection, and PoolBusy if all connections are in use.
        """
        ends = monotonic() + timeout_s
        try:
            async with asyncio.timeout(timeout_s or None):
                await self._room.acquire()
        except TimeoutError:
            raise PoolBusy(f"all {self.size} connections were in use for {timeout_s:g} s") from None
        try:
            connection = self._take_idle() or await self._connect(ends, once=not timeout_s)
            try:
                yield connection
            finally:
                await self._put_back(connection)
        finally:
            self._room.release()

    async def close(self) -> None:
        """Close the idle connections now, and those in use when they are given back. Idempotent."""
        self._closed = True
        if self._reaper is not None:
            self._reaper.cancel()
        while self._idle:
            await self._idle.pop()[1].close()

    def _take_idle(self) -> AsyncConn | None:
        """The connection that was used last, if it is still open."""
        while self._idle:
            _, connection = self._idle.pop()
            # guard: broken-one-handed-out = True
            if is_open(connection):
                return connection
            connection.pgconn.finish()
        return None

    async def _connect(self, ends: float, *, once: bool) -> AsyncConn:
        while True:
            if self._closed:
                raise NoConnection("this instance is stopping", held=True)
            try:
                async with asyncio.timeout(None if once else max(0.01, ends - monotonic())):
                    # guard: pool-waits-for-rows = await self._database.connect(statement_timeout_s=0)
                    return await self._database.connect(statement_timeout_s=0, lock_timeout=LOCK_WAIT)
            except TimeoutError:
                raise NoConnection("the server does not answer") from None
            except NoConnection as error:
                if once or error.held or monotonic() >= ends:
                    raise

    async def _put_back(self, connection: AsyncConn) -> None:
        """Keep the connection, unless it is broken, still in a transaction or can't write."""
        whole = not connection.closed and connection.pgconn.transaction_status == TransactionStatus.IDLE
        # guard: read-only-sessions-kept = not whole or self._closed
        if not whole or self._closed or connection.reads_only:
            await connection.close()
            return
        self._idle.append((monotonic(), connection))
        if self._reaper is None:
            self._reaper = asyncio.get_running_loop().call_later(IDLE_S_MAX, self._reap)

    def _reap(self) -> None:
        """Close connections that have been idle for long, the longest idle first."""
        self._reaper = None
        while self._idle and self._idle[0][0] + IDLE_S_MAX <= monotonic():
            self._idle.pop(0)[1].pgconn.finish()
        if self._idle:
            left_s = self._idle[0][0] + IDLE_S_MAX - monotonic()
            self._reaper = asyncio.get_running_loop().call_later(max(1.0, left_s), self._reap)


class OverPool:
    """What goes over an instance's pool, for that instance or for nobody in particular."""

    def __init__(self, pool: Pool, instance_id: str = "") -> None:
        self._pool = pool
        self._instance_id = instance_id
