"""The store of one instance: its connections and the parts that use them, opened and closed together."""

from __future__ import annotations

from outlast.core.records import Measures
from outlast.store.connections import Database, as_unreachable
from outlast.store.holds import PostgresHolds
from outlast.store.instances import PostgresInstances, RecoveryLimits
from outlast.store.journal import PostgresJournal
from outlast.store.maps import PostgresMaps
from outlast.store.messages import PostgresMessages
from outlast.store.migrations import RowsHidden, migrate_over, pending_over, unknown_over
from outlast.store.pgmq import PostgresMessageQueues
from outlast.store.pool import Pool, PoolBusy
from outlast.store.queries import load
from outlast.store.queues import PostgresQueues
from outlast.store.realtime import Broadcasts
from outlast.store.repeatable import rows_of
from outlast.store.retention import PostgresRetention
from outlast.store.schedules import PostgresSchedules
from outlast.store.sessions import PostgresSessions
from outlast.store.transactions import PostgresTransactions
from outlast.store.workflows import PostgresWorkflows

SOLE_CONNECTIONS = 2
"""The connections of the journal and of the leases. All others of an instance form its pool."""

_LOOK_WAIT_S = 1.0
_SQL = load("measures.sql")


class PostgresStore:
    """Everything an instance reads and writes."""

    def __init__(
        self,
        database: Database,
        instance_id: str,
        version: str,
        connections: int,
        limits: RecoveryLimits,
        broadcasts: Broadcasts | None = None,
    ) -> None:
        """Without `broadcasts` nothing goes to Realtime."""
        self.database = database
        self._pool = Pool(database, max(1, connections - SOLE_CONNECTIONS))
        self.journal = PostgresJournal(database, instance_id, broadcasts)
        self.instances = PostgresInstances(database, instance_id, version, limits)
        self.transactions = PostgresTransactions(self._pool, instance_id)
        self.workflows = PostgresWorkflows(self._pool)
        self.messages = PostgresMessages(self._pool)
        self.holds = PostgresHolds(self._pool, instance_id)
        self.queues = PostgresQueues(self._pool, instance_id)
        self.maps = PostgresMaps(database, self._pool, instance_id)
        self.schedules = PostgresSchedules(self._pool, instance_id)
        self.retention = PostgresRetention(self._pool)
        self.sessions = PostgresSessions(self._pool)
        self.message_queues = PostgresMessageQueues(self._pool, instance_id)
        self._current = False

    async def migrate(self) -> tuple[list[str], list[str]]:
        """Bring the schema up to date. Returns the applied files, and versions unknown to this package.

        Tries to connect only once. Raises Unreachable.
        """
        async with as_unreachable(), self._pool.connection(0) as connection:
            applied = await migrate_over(connection)
            unknown = await unknown_over(connection)
        self._current = True
        return [each.path.name for each in applied], unknown

    async def schema_current(self) -> bool:
        """Whether the database answers and its schema is up to date. Raises Unreachable.

        Opens no additional connection: if long transactions hold all, it returns the last answer.
        """
        try:
            async with as_unreachable(), self._pool.connection(_LOOK_WAIT_S) as connection:
                self._current = not await pending_over(connection)
        except PoolBusy:
            pass
        except RowsHidden:
            self._current = False
        return self._current

    async def measures(self) -> Measures:
        """The state of the whole database. Raises Unreachable."""
        (row,) = await rows_of(self._pool, _SQL["measures"], {})
        return Measures(**{name: [tuple(each) for each in found] for name, found in row.items()})

    async def close(self) -> None:
        """Close all connections. Idempotent."""
        await self.maps.close()
        await self._pool.close()
        await self.instances.close()
        await self.journal.close()
