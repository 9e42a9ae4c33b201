"""Consuming Supabase Queues: pgmq, over the instance's pool."""

from __future__ import annotations

from psycopg import DatabaseError, errors

from outlast.core import faults
from outlast.core.claims import ClaimedWorkflow, Consumed
from outlast.core.ports import MessageQueueStore, QueueUnusable, Unreachable
from outlast.store.pool import Pool
from outlast.store.queries import load
from outlast.store.repeatable import rows_of

_SQL = load("pgmq.sql")

WAITING_MAX = 100
"""So many wait for their turn as workflows where a queue has limits and no key; others stay in the queue."""

_SWITCH_ON = "switch Queues on in Supabase's dashboard, or `create extension pgmq`"
_REMEDIES: dict[type[DatabaseError], str] = {
    errors.InvalidSchemaName: _SWITCH_ON,
    errors.UndefinedFunction: _SWITCH_ON,
    errors.UndefinedTable: "`select pgmq.create('{queue}')`",
    errors.InsufficientPrivilege: (
        "let the role of SUPABASE_DB_URL use the schema pgmq, its functions and tables"
    ),
}
"""What to do about an error of one queue. Whatever the error is, the other queues go on."""


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
        """See MessageQueueStore. Run twice it takes twice as many messages, and returns the second ones."""
        parameters = {
            "queue": queue,
            "function": function,
            "room": room,
            "version": version,
            "timeout": timeout_s,
            "instance": self._instance_id,
            "waiting_max": WAITING_MAX,
        }
        try:
            rows = await rows_of(self._pool, _SQL["consume"], parameters)
        except DatabaseError as error:
            remedy = _REMEDIES.get(type(error), "mend what Postgres says; the messages stay till then")
            raise QueueUnusable(_text(error), remedy.format(queue=queue)) from error
        except Unreachable as error:
            cause = error.__cause__
            if isinstance(cause, errors.LockNotAvailable | errors.QueryCanceled):
                remedy = f"see in pg_stat_activity who holds a lock on pgmq.q_{queue}"
                raise QueueUnusable(_text(cause), remedy) from error
            raise
        if rows[0]["workflow_id"] is None:
            return Consumed([], wait=False)
        faults.reach("consume.after_commit")
        taken = [ClaimedWorkflow(*(row[name] for name in row if name != "waits")) for row in rows]
        for each in taken:
            each.queue = f"pgmq:{queue}"
        return Consumed(taken, wait=rows[0]["waits"])


def _text(error: DatabaseError) -> str:
    return error.diag.message_primary or str(error)
