"""Consuming Supabase Queues (pgmq), over the instance's pool."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from psycopg import DatabaseError, Rollback, errors

from outlast.core import faults
from outlast.core.claims import ClaimedWorkflow, Consumed, SetAside, aside_s
from outlast.core.ports import MessageQueueStore, MessageRefused, QueueUnusable, Unreachable
from outlast.store.connections import CONFLICTS, AsyncConn, is_away
from outlast.store.pool import Pool
from outlast.store.queries import load
from outlast.store.repeatable import fetched, repeat, rows_of

_SQL = load("pgmq.sql")

WAITING_MAX = 100
"""If a queue has limits and no key, so many messages wait as workflows. The others stay in the queue."""

T = TypeVar("T")
HELD = (errors.LockNotAvailable, errors.QueryCanceled)
_CALLED = ("pgmq.read(", "pgmq.delete(", "pgmq.set_vt(")
"""An error's context names one of these, or nothing, or the trigger that caused it."""
_SWITCH_ON = "switch Queues on in Supabase's dashboard, or `create extension pgmq`"
_REMEDIES: dict[type[DatabaseError], str] = {
    errors.InvalidSchemaName: _SWITCH_ON,
    errors.UndefinedFunction: _SWITCH_ON,
    errors.UndefinedTable: "`select pgmq.create('{queue}')`",
    errors.InsufficientPrivilege: (
        "let the role of SUPABASE_DB_URL use the schema pgmq, its functions and tables"
    ),
    **dict.fromkeys(
        HELD, "see in pg_stat_activity who holds a lock on pgmq.q_{queue}, or what a trigger needs"
    ),
}
"""What to do about an error of one queue. The other queues go on in any case."""


class PostgresMessageQueues(MessageQueueStore):
    """`MessageQueueStore`."""

    def __init__(self, pool: Pool, instance_id: str) -> None:
        self._pool = pool
        self._instance_id = instance_id

    async def consume(
        self,
        queue: str,
        function: str,
        room: int,
        version: str | None = None,
        timeout_s: float | None = None,
    ) -> Consumed:
        """See MessageQueueStore. If run twice, it takes twice as many messages and returns the later ones."""
        parameters = self._parameters(queue, function, room, version, timeout_s)
        try:
            rows = await rows_of(self._pool, _SQL["consume"], parameters)
        except (DatabaseError, Unreachable) as error:
            # guard: what-a-trigger-waits-for-stops-its-queue = QueueUnusable
            held: type[QueueUnusable] = MessageRefused
            raise _raised(error, queue, held) from error
        return _committed(_consumed(queue, rows))

    async def consume_front(
        self,
        queue: str,
        function: str,
        version: str | None = None,
        timeout_s: float | None = None,
        turn_s: float = 0.0,
    ) -> Consumed:
        async def do(connection: AsyncConn) -> Consumed:
            async with connection.transaction():
                front = await _front(connection, queue)
                if front is None:
                    return Consumed([], wait=False)
                parameters = self._parameters(queue, function, 1, version, timeout_s, front[0])
                try:
                    async with connection.transaction():
                        rows = await fetched(connection, _SQL["consume"], parameters)
                except CONFLICTS:
                    raise
                except DatabaseError as error:
                    if not isinstance(error, HELD) and (is_away(error) or not _is_of_rows(error)):
                        raise
                    text, remedy = _told(error, queue)
                    aside = SetAside(*front, text, remedy, held=isinstance(error, HELD))
                    await _set_aside(connection, queue, aside, turn_s)
                    return Consumed([], wait=False, aside=aside)
                consumed = _consumed(queue, rows)
                if not consumed.workflows:  # the queue is now paused or full: the message stays in front
                    raise Rollback
            return consumed

        return _committed(await self._do(queue, do))

    async def set_front_aside(self, queue: str, error: str, remedy: str) -> SetAside | None:
        async def do(connection: AsyncConn) -> SetAside | None:
            async with connection.transaction():
                front = await _front(connection, queue)
                if front is None:
                    return None
                aside = SetAside(*front, error, remedy)
                await _set_aside(connection, queue, aside)
                return aside

        return await self._do(queue, do)

    async def _do(self, queue: str, do: Callable[[AsyncConn], Awaitable[T]]) -> T:
        """The result of `do`. Errors are raised as those of the queue."""
        try:
            return await repeat(self._pool, do)
        except (DatabaseError, Unreachable) as error:
            raise _raised(error, queue, QueueUnusable) from error

    def _parameters(
        self,
        queue: str,
        function: str,
        room: int,
        version: str | None,
        timeout_s: float | None,
        message_id: int | None = None,
    ) -> dict[str, Any]:
        return {
            "queue": queue,
            "function": function,
            "room": room,
            "message": message_id,
            "version": version,
            "timeout": timeout_s,
            "instance": self._instance_id,
            "waiting_max": WAITING_MAX,
        }


async def _front(connection: AsyncConn, queue: str) -> tuple[int, int] | None:
    """The number of the message in front, and how often it was read; None if the queue is empty."""
    rows = await fetched(connection, _SQL["front"], {"queue": queue})
    return (rows[0]["msg_id"], rows[0]["read_ct"]) if rows else None


async def _set_aside(connection: AsyncConn, queue: str, aside: SetAside, turn_s: float = 0.0) -> None:
    parameters = {"queue": queue, "message": aside.message_id, "pause": aside_s(aside, turn_s)}
    await fetched(connection, _SQL["set_aside"], parameters)
    # guard: messages-aside-unknown-to-doctor = False
    if aside.is_news:
        parameters |= {"read_count": aside.read_count, "error": aside.error, "remedy": aside.remedy}
        # Another message of the queue, or its next try, is noted where somebody holds the note's row.
        with suppress(*HELD):
            async with connection.transaction():
                await fetched(connection, _SQL["note_aside"], parameters)


def _consumed(queue: str, rows: list[dict[str, Any]]) -> Consumed:
    if rows[0]["workflow_id"] is None:
        return Consumed([], wait=False)
    taken = [ClaimedWorkflow(*(row[name] for name in row if name != "waits")) for row in rows]
    for each in taken:
        each.queue = f"pgmq:{queue}"
    return Consumed(taken, wait=rows[0]["waits"])


def _committed(consumed: Consumed) -> Consumed:
    if consumed.workflows:
        faults.reach("consume.after_commit")
    return consumed


def _is_of_rows(error: DatabaseError) -> bool:
    """Whether other messages may succeed (see `outlast.is_of_rows`). False for what pgmq itself lacks."""
    state = error.sqlstate or ""
    # guard: what-pgmq-lacks-blamed-on-messages without 3
    return state[:2] not in ("40", "53", "57", "58") and state != "55P03" and _remedy_of(error) is None


def _remedy_of(error: DatabaseError) -> str | None:
    """The remedy if pgmq lacks something or a lock is held; None if a trigger or a row caused the error."""
    context = error.diag.context
    # guard: what-triggers-lack-blamed-on-pgmq = True
    of_pgmq = not context or any(each in context for each in _CALLED)
    return _REMEDIES.get(type(error)) if of_pgmq or isinstance(error, HELD) else None


def _raised(error: Exception, queue: str, held: type[QueueUnusable]) -> Exception:
    """The exception for a statement's error. `held`: its class for a lock, of one message or of the queue."""
    if isinstance(error, DatabaseError):
        return (MessageRefused if _is_of_rows(error) else QueueUnusable)(*_told(error, queue))
    cause = error.__cause__
    if isinstance(cause, HELD):
        return held(*_told(cause, queue))
    return error


def _told(error: DatabaseError, queue: str) -> tuple[str, str]:
    """The error text, and the remedy."""
    remedy = _remedy_of(error) or "mend what Postgres says; the messages stay till then"
    return error.diag.message_primary or str(error), remedy.format(queue=queue)
