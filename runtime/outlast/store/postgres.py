"""The store of one instance: its connections and what goes over them, opened and closed together."""

from __future__ import annotations

from outlast.core.ports import Unreachable
from outlast.store.connections import Database
from outlast.store.instances import PostgresInstances, RecoveryLimits
from outlast.store.journal import PostgresJournal
from outlast.store.messages import PostgresMessages
from outlast.store.transactions import PostgresTransactions
from outlast.store.workflows import PostgresWorkflows

SOLE_CONNECTIONS = 2
"""The journal's and the leases'. The rest of an instance's connections are its pool."""


class PostgresStore:
    """Everything an instance reads and writes."""

    def __init__(
        self, database: Database, instance_id: str, version: str, connections: int, limits: RecoveryLimits
    ) -> None:
        self.database = database
        self._pool = database.pool(max(1, connections - SOLE_CONNECTIONS))
        self.journal = PostgresJournal(database, instance_id)
        self.instances = PostgresInstances(database, instance_id, version, limits)
        self.transactions = PostgresTransactions(self._pool, instance_id)
        self.workflows = PostgresWorkflows(self._pool)
        self.messages = PostgresMessages(self._pool)

    async def open(self) -> None:
        """Start the pool; connections are made when needed."""
        await self._pool.open()

    async def ready(self) -> bool:
        """Whether the database answers now."""
        try:
            await self.workflows.ended([])
        except Unreachable:
            return False
        return True

    async def close(self) -> None:
        """Close all connections. Idempotent."""
        await self._pool.close(timeout=2.0)
        await self.instances.close()
        await self.journal.close()
