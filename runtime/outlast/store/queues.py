"""Consuming Supabase Queues: pgmq, over the instance's pool."""

from __future__ import annotations

from psycopg import DatabaseError, errors

from outlast.core import faults
from outlast.core.ports import QueueUnusable, Unreachable
from outlast.core.records import ClaimedWorkflow
from outlast.store.pool import Pool
from outlast.store.queries import load
from outlast.store.repeatable import rows_of

_SQL = load("queues.sql")


class PostgresQueues:
    """`QueueStore`."""

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
    ) -> list[ClaimedWorkflow]:
        """See QueueStore. Run twice it takes twice as many messages, and returns those of the second run."""
        parameters = {
            "queue": queue,
            "function": function,
            "room": room,
            "version": version,
            "timeout": timeout_s,
            "instance": self._instance_id,
        }
        try:
            rows = await rows_of(self._pool, _SQL["consume"], parameters)
        except (errors.InvalidSchemaName, errors.UndefinedFunction) as error:
            raise QueueUnusable(
                _text(error), "switch Queues on in Supabase's dashboard, or `create extension pgmq`"
            ) from error
        except errors.UndefinedTable as error:
            raise QueueUnusable(_text(error), f"`select pgmq.create('{queue}')`") from error
        except errors.InsufficientPrivilege as error:
            raise QueueUnusable(
                _text(error), "let the role of SUPABASE_DB_URL use the schema pgmq, its functions and tables"
            ) from error
        except Unreachable as error:
            cause = error.__cause__
            if isinstance(cause, errors.LockNotAvailable | errors.QueryCanceled):
                raise QueueUnusable(
                    _text(cause), f"see in pg_stat_activity who holds a lock on pgmq.q_{queue}"
                ) from error
            raise
        except DatabaseError as error:
            # Whatever the error is, only this queue is affected.
            raise QueueUnusable(
                _text(error), "mend what Postgres says; the messages stay till then"
            ) from error
        if rows[0]["workflow_id"] is not None:
            faults.reach("consume.after_commit")
        return [ClaimedWorkflow(*row.values()) for row in rows if row["workflow_id"] is not None]


def _text(error: DatabaseError) -> str:
    return error.diag.message_primary or str(error)
