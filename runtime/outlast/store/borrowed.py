"""The connection that the body of a transaction gets: the body can use it, but not end or keep it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, NoReturn, Self

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGconn
from psycopg.rows import TupleRow

from outlast.core.errors import UsageError
from outlast.store.connections import AsyncConn

ENDED_BY_BODY = (
    "the body of a transaction ended it by its own COMMIT or ROLLBACK; leave that out: it commits by itself, "
    "together with its record, when the function returns"
)
_AFTER_ITS_END = (
    "the connection of a transaction was used after its end: what the body starts must end before it returns"
)
_UNFINISHED = "the body of a transaction left a COPY, a pipeline or a statement unfinished: end it by `with`"
_PREPARES = "the connection of a transaction prepares no statements by itself: leave prepare_threshold alone"
_LAST_WORD_S = 5.0
"""How long to wait for a statement that still runs after the body has ended, and is cancelled."""


class _Borrowed:
    """The base of both faces. Attributes set on a face (row factories, adapters) are dropped with it."""

    returned = False
    pgconn: PGconn
    _prepared: Any

    @classmethod
    def borrow(cls, connection: AsyncConn) -> Self:
        """A face of the same session. Never use both at the same time."""
        borrowed = cls(connection.pgconn)  # type: ignore[call-arg]
        borrowed._prepared.prepare_threshold = None  # statement names of the two would clash
        return borrowed

    @property
    def prepare_threshold(self) -> int | None:
        """None. Setting it is refused."""
        return None

    @prepare_threshold.setter
    def prepare_threshold(self, value: int | None) -> None:
        raise UsageError(_PREPARES)

    def __del__(self, *_: Any) -> None:
        """Don't warn of an open connection: the session belongs to the pool."""


class BorrowedConnection(_Borrowed, psycopg.Connection[TupleRow]):
    """A blocking face of a pooled connection, for the body of a `def` transaction.

    It can't be ended or closed.
    """

    def wait(self, gen: PQGen[Any], *args: Any, **kwargs: Any) -> Any:
        """Everything that is sent to the server passes through here."""
        if self.returned:
            raise UsageError(_AFTER_ITS_END)
        return super().wait(gen, *args, **kwargs)

    async def settle(self) -> bool:
        """Wait until no statement runs. False: one still does after _LAST_WORD_S."""
        got = await asyncio.to_thread(self.lock.acquire, True, _LAST_WORD_S)
        if got:
            self.lock.release()
        return got

    def commit(self) -> NoReturn:
        """Refused."""
        raise UsageError(ENDED_BY_BODY)

    rollback = commit
    close = commit

    def set_autocommit(self, value: bool) -> NoReturn:
        """Refused."""
        raise UsageError(ENDED_BY_BODY)


class BorrowedAsyncConnection(_Borrowed, psycopg.AsyncConnection[TupleRow]):
    """The same for the body of an `async def` transaction."""

    async def wait(self, gen: PQGen[Any], *args: Any, **kwargs: Any) -> Any:
        """Everything that is sent to the server passes through here."""
        if self.returned:
            raise UsageError(_AFTER_ITS_END)
        return await super().wait(gen, *args, **kwargs)

    async def settle(self) -> bool:
        """Wait until no statement runs. False: one still does after _LAST_WORD_S."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORD_S), self.lock:
                return True
        return False

    async def commit(self) -> NoReturn:
        """Refused."""
        # guard: transaction-may-commit = await super().commit()
        raise UsageError(ENDED_BY_BODY)

    rollback = commit
    close = commit

    async def set_autocommit(self, value: bool) -> NoReturn:
        """Refused."""
        raise UsageError(ENDED_BY_BODY)


Borrowed = BorrowedConnection | BorrowedAsyncConnection


@asynccontextmanager
async def lend(connection: AsyncConn, *, threaded: bool) -> AsyncIterator[Borrowed]:
    """The connection for a body. After the block no thread or task that the body left running can use it.

    Raises UsageError if the body left something unfinished. The connection is closed then.
    """
    face: Borrowed = (BorrowedConnection if threaded else BorrowedAsyncConnection).borrow(connection)
    try:
        yield face
    finally:
        # guard: connection-kept
        face.returned = True  # later uses are refused
        if face.lock.locked():
            await _cut_off(connection, face)
    if (
        connection.pgconn.pipeline_status != PipelineStatus.OFF
        or connection.pgconn.transaction_status == TransactionStatus.ACTIVE
    ):
        await connection.close()
        raise UsageError(_UNFINISHED)


async def _cut_off(connection: AsyncConn, face: Borrowed) -> None:
    """Cancel the statement that a thread or a task still runs. If it doesn't end, close the connection.

    Two threads in one libpq connection would crash the process. If the statement can't be cancelled, the
    socket is shut down: then the thread has left libpq before the connection is closed.
    """
    settled = False
    try:
        with suppress(psycopg.Error):
            # guard: statement-goes-on
            await connection.cancel_safe(timeout=_LAST_WORD_S)
        settled = await face.settle()
        if not settled:
            with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as way:
                way.shutdown(socket.SHUT_RDWR)
            await face.settle()
    finally:  # also if the caller is cancelled
        if not settled:
            await connection.close()
