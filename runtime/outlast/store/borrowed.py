"""The faces of a pooled connection that the body of a transaction gets: it can use it, and not end it."""

from __future__ import annotations

from typing import Any, NoReturn

import psycopg
from psycopg.rows import TupleRow

from outlast.core.errors import UsageError
from outlast.store.connections import AsyncConn

ENDED_BY_BODY = (
    "the body of a transaction ended it by its own COMMIT or ROLLBACK; leave that out: it commits by itself, "
    "together with its record, when the function returns"
)


class BorrowedConnection(psycopg.Connection[TupleRow]):
    """A blocking face of a pooled connection, for the body of a `def` transaction.

    It can't be ended or closed, and what is set on it (row factories, adapters) goes with it.
    """

    @classmethod
    def of(cls, connection: AsyncConn) -> BorrowedConnection:
        """The same session. The two must not be used at the same time."""
        borrowed = cls(connection.pgconn)
        borrowed.prepare_threshold = None  # statement names of the two faces would clash
        return borrowed

    def commit(self) -> NoReturn:
        """Refused."""
        raise UsageError(ENDED_BY_BODY)

    rollback = commit
    close = commit

    def set_autocommit(self, value: bool) -> NoReturn:
        """Refused."""
        raise UsageError(ENDED_BY_BODY)

    def __del__(self, *_: Any) -> None:
        """Nothing to warn of: the session is the pool's."""


class BorrowedAsyncConnection(psycopg.AsyncConnection[TupleRow]):
    """The same for the body of an `async def` transaction."""

    @classmethod
    def of(cls, connection: AsyncConn) -> BorrowedAsyncConnection:
        """The same session. The two must not be used at the same time."""
        borrowed = cls(connection.pgconn)
        borrowed.prepare_threshold = None
        return borrowed

    async def commit(self) -> NoReturn:
        """Refused."""
        raise UsageError(ENDED_BY_BODY)

    rollback = commit
    close = commit

    async def set_autocommit(self, value: bool) -> NoReturn:
        """Refused."""
        raise UsageError(ENDED_BY_BODY)

    def __del__(self, *_: Any) -> None:
        """Nothing to warn of: the session is the pool's."""
