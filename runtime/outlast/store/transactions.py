"""Transactions: the user's statements and the step's record in one commit."""

from __future__ import annotations

from contextlib import nullcontext

import psycopg
from psycopg import errors
from psycopg.sql import SQL

from outlast.core import faults
from outlast.core.clock import age_s, monotonic
from outlast.core.errors import UsageError
from outlast.core.ports import Conflicted, Fence, TransactionStore, TransactionWork, Unreachable
from outlast.core.records import StepRecord
from outlast.store.borrowed import ENDED_BY_BODY, lend
from outlast.store.callers import as_caller, as_service, commit_as_caller, commit_as_service
from outlast.store.connections import CONFLICTS, AsyncConn, as_unreachable, ends_session
from outlast.store.pool import OverPool
from outlast.store.queries import load

_SQL = load("journal.sql")
_READ_ONLY = SQL("show default_transaction_read_only")
_ISOLATION = {
    "read committed": SQL("set transaction isolation level read committed"),
    "repeatable read": SQL("set transaction isolation level repeatable read"),
    "serializable": SQL("set transaction isolation level serializable"),
}


class PostgresTransactions(OverPool, TransactionStore):
    """`TransactionStore` over the instance's pool."""

    async def transact(self, work: TransactionWork, fence: Fence | None) -> StepRecord | None:
        try:
            async with as_unreachable(), self._pool.connection() as connection:
                record = await self._attempt(connection, work, fence)
                # guard: standing-record-unread
                if record is None and fence is not None:
                    record = await _read_record(connection, fence)
                return record
        except Conflicted as error:
            if isinstance(error.__cause__, errors.ReadOnlySqlTransaction) and await self._is_read_only():
                raise Unreachable(str(error)) from error
            raise
        except _BodyFailed as failed:
            # The body may fail because an earlier run, whose COMMIT lost its answer, did the same work.
            # guard: second-runs-error = None
            record = None if fence is None else await self._read_record_anew(fence)
            if record is not None:
                return record
            raise failed.error from failed.error.__cause__

    async def _is_read_only(self) -> bool:
        async with as_unreachable(), self._pool.connection() as connection:
            row = await (await connection.execute(_READ_ONLY)).fetchone()
            return row == ("on",)

    async def _read_record_anew(self, fence: Fence) -> StepRecord | None:
        """Like `_read_record`, over a connection that no body has used."""
        async with as_unreachable(), self._pool.connection() as connection:
            return await _read_record(connection, fence)

    async def _attempt(
        self, connection: AsyncConn, work: TransactionWork, fence: Fence | None
    ) -> StepRecord | None:
        """Run one transaction. None: the record was refused, so everything was rolled back."""
        mark = str(fence.nonce) if fence else "plain"
        committed = False
        try:
            async with connection.transaction():
                if work.isolation:
                    await connection.execute(_ISOLATION[work.isolation])
                async with as_service(connection, mark) if work.caller is None else nullcontext():
                    record = await _run_body(connection, work, mark)
                    if fence is not None and not await self._insert(connection, record, fence, mark):
                        # guard: transaction-commits-when-refused
                        raise psycopg.Rollback
                    # guard: plain-transaction-unmarked
                    if fence is None:
                        await _check_open(connection, mark)
                    faults.reach("transaction.before_commit")
                    if work.caller is None:
                        await commit_as_service(connection, mark)
                    else:
                        await commit_as_caller(connection, work.caller, mark)
                committed = True
        except CONFLICTS as error:
            raise Conflicted(str(error)) from error
        if committed:
            faults.reach("transaction.after_commit")
        return record if committed else None

    async def _insert(self, connection: AsyncConn, record: StepRecord, fence: Fence, mark: str) -> bool:
        """Write the record as the transaction's last statement. Returns False if it was refused."""
        now = monotonic()
        parameters = {
            **record._asdict(),
            "instance": self._instance_id,
            "workflow_id": fence.workflow_id,
            "epoch": fence.epoch,
            "step_id": fence.step_id,
            "nonce": fence.nonce,
            "began": age_s(record.began, now),
            "ended": age_s(record.ended, now),
            "mark": mark,
        }
        cursor = await connection.execute(_SQL["record_transaction"], parameters)
        if await cursor.fetchone() is not None:
            return True
        await _check_open(connection, mark)
        return False


class _BodyFailed(Exception):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


async def _run_body(connection: AsyncConn, work: TransactionWork, mark: str) -> StepRecord:
    """Run the user's function. Its exceptions become _BodyFailed, except conflicts and a lost connection."""
    try:
        entered = nullcontext() if work.caller is None else as_caller(connection, work.caller, mark)
        async with entered, lend(connection, threaded=work.threaded) as borrowed:
            try:
                return await work.run(borrowed)
            except CONFLICTS:
                raise
            # guard: classes-refuse-to-pass
            except Exception as raised:  # its class may refuse the attributes that `contextlib` sets
                raise _BodyFailed(raised) from raised
    except CONFLICTS:
        raise
    except Exception as failed:  # noqa: BLE001 - raised below with its true meaning
        error = failed.error if isinstance(failed, _BodyFailed) else failed
        # guard: read-only-behind-a-pooler
        if isinstance(error, errors.ReadOnlySqlTransaction) and not connection.kind.sessions:
            # Behind a pooler it is unknown who made it read-only. If it was the body, it happens again.
            raise Conflicted(str(error)) from error
        away = connection.broken or ends_session(error)
        # guard: read-only-is-the-bodys-failure = away
        if away or (isinstance(error, errors.ReadOnlySqlTransaction) and connection.reads_only):
            raise Unreachable(str(error)) from error
        raise _BodyFailed(error) from error


async def _check_open(connection: AsyncConn, mark: str) -> None:
    """Raise UsageError if the body ended the transaction: then the mark of its beginning is gone."""
    row = await (await connection.execute(_SQL["transaction_mark"], {"mark": mark})).fetchone()
    if row is None or not row[0]:
        raise _BodyFailed(UsageError(ENDED_BY_BODY))


async def _read_record(connection: AsyncConn, fence: Fence) -> StepRecord | None:
    """The record that already exists, from a commit whose answer was lost. None: the fence refused."""
    parameters = {"workflow_id": fence.workflow_id, "step_id": fence.step_id}
    row = await (await connection.execute(_SQL["recorded_step"], parameters)).fetchone()
    return StepRecord(*row) if row else None
