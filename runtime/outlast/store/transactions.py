"""Transactions: the user's statements and the step's record in one commit."""

from __future__ import annotations

from typing import Any, NoReturn

import psycopg
from psycopg import errors
from psycopg.rows import TupleRow
from psycopg.sql import SQL
from psycopg_pool import AsyncConnectionPool

from outlast.core import faults
from outlast.core.errors import UsageError
from outlast.core.ports import Conflicted, Fence, TransactionWork, Unreachable
from outlast.core.records import StepRecord
from outlast.store.connections import AsyncConn, away, is_away
from outlast.store.queries import load

_SQL = load("journal.sql")
_ISOLATION = {
    "read committed": SQL("set transaction isolation level read committed"),
    "repeatable read": SQL("set transaction isolation level repeatable read"),
    "serializable": SQL("set transaction isolation level serializable"),
}
_ENDED_BY_BODY = (
    "the body of a transaction ended it by its own COMMIT or ROLLBACK; leave that out: it commits by itself, "
    "together with its record, when the function returns"
)


class BorrowedConnection(psycopg.Connection[TupleRow]):
    """A blocking face of a pooled connection, for one `def` transaction. It can't be ended or closed."""

    @classmethod
    def of(cls, connection: AsyncConn) -> BorrowedConnection:
        """The same session. The two must not be used at the same time."""
        borrowed = cls(connection.pgconn)
        borrowed.prepare_threshold = None  # statement names of the two faces would clash
        return borrowed

    def commit(self) -> NoReturn:
        """Refused."""
        raise UsageError(_ENDED_BY_BODY)

    def rollback(self) -> NoReturn:
        """Refused."""
        raise UsageError(_ENDED_BY_BODY)

    def close(self) -> None:
        """Ignored: the connection goes back to its pool."""

    def __del__(self, *_: Any) -> None:
        """Nothing to warn of: the session is the pool's."""


class PostgresTransactions:
    """`TransactionStore` over the instance's pool."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConn], instance_id: str) -> None:
        self._pool = pool
        self._instance_id = instance_id

    async def transact(self, work: TransactionWork, fence: Fence | None) -> StepRecord | None:
        """See TransactionStore."""
        mark = str(fence.nonce) if fence else "plain"
        record: StepRecord | None = None
        async with away(), self._pool.connection() as connection:
            try:
                async with connection.transaction():
                    if work.isolation:
                        await connection.execute(_ISOLATION[work.isolation])
                    await connection.execute(_SQL["open_transaction"], {"mark": mark})
                    result = await work.run(BorrowedConnection.of(connection) if work.threaded else connection)
                    if not await self._insert(connection, result, fence, mark):
                        raise psycopg.Rollback
                    faults.reach("transaction.before_commit")
                    record = result
            except (errors.SerializationFailure, errors.DeadlockDetected) as error:
                raise Conflicted(str(error)) from error
            except Exception as error:
                if connection.broken and not is_away(error):
                    raise Unreachable(str(error)) from error
                raise
            if record is not None or fence is None:
                faults.reach("transaction.after_commit")
                return record
            return await _standing(connection, fence)

    async def _insert(self, connection: AsyncConn, record: StepRecord, fence: Fence | None, mark: str) -> bool:
        """Write the record as the transaction's last statement; False if that was refused."""
        cursor = await connection.execute(_SQL["transaction_mark"], {"mark": mark}) if fence is None else (
            await connection.execute(
                _SQL["record_transaction"],
                {
                    "instance": self._instance_id,
                    "workflow_id": fence.workflow_id,
                    "epoch": fence.epoch,
                    "step_id": fence.step_id,
                    "name": record.name,
                    "output": record.output,
                    "error": record.error,
                    "attempts": record.attempts,
                    "completion_order": record.completion_order,
                    "nonce": fence.nonce,
                    "started": record.started_s,
                    "mark": mark,
                },
            )
        )
        row = await cursor.fetchone()
        if fence is not None and row is not None:
            return True
        if fence is not None:
            cursor = await connection.execute(_SQL["transaction_mark"], {"mark": mark})
            row = await cursor.fetchone()
        if row is None or not row[0]:
            raise UsageError(_ENDED_BY_BODY)
        return fence is None


async def _standing(connection: AsyncConn, fence: Fence) -> StepRecord | None:
    """The record that stood in the way: of a commit whose answer was lost. None: the fence refused."""
    parameters = {"workflow_id": fence.workflow_id, "step_id": fence.step_id}
    row = await (await connection.execute(_SQL["recorded_step"], parameters)).fetchone()
    return StepRecord(*row) if row else None
