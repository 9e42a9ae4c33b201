"""`instances.sql` in memory, without the claim: leases, recovery, release."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from outlast.core.claims import LostInstance
from outlast.core.records import Beat, RunningStep
from outlast.core.status import Status
from outlast.testing.database import Database
from outlast.testing.rows import Instance
from outlast.testing.statements.claiming import ClaimStatement
from outlast.testing.statements.queues import QueueClaimStatement
from outlast.testing.statements.statements import Statements


class InstanceStatements(Statements):
    """See core.ports.InstanceStore. `session` gives the number of the lease's session, if it has one."""

    def __init__(self, database: Database, instance_id: str, session: Callable[[], int | None]) -> None:
        super().__init__(database, instance_id)
        self._claims = ClaimStatement(database, instance_id)
        self.claim = self._claims.claim
        self.claim_queued = QueueClaimStatement(database, instance_id).claim_queued
        self._session = session

    def beat(self, lease_ttl_s: float, running: Sequence[RunningStep] | None = None) -> Beat:
        """`beat`."""
        session = self._session()
        began = self._db.sessions.get(session, 0.0) if session is not None else 0.0
        before = self._db.instances.get(self._me)
        functions = self._claims.functions or (before.functions if before else None)
        told = before.versions if before else None
        self._db.instances[self._me] = Instance(
            self._db.now() + lease_ttl_s, session, began, functions, versions=told
        )
        owned = {each: row.epoch for each, row in self._db.workflows.items() if row.owner == self._me}
        return Beat(self._db.now(), owned)

    def recover(
        self, lost: Sequence[LostInstance], refused: Collection[str] = ()
    ) -> tuple[list[tuple[str, str]], list[str]]:
        """`recover`, without rows in `refused`; also returns the rows that refuse now."""
        gone = {(each.instance_id, each.lease_until_s) for each in lost if not each.expired}
        named = {each.instance_id for each in lost}
        orphaned = [
            workflow_id
            for workflow_id, row in sorted(self._db.workflows.items(), key=lambda item: item[1].created_at)
            if row.owner in named
            and row.owner in self._db.instances
            and (
                self._db.instances[row.owner].lease_until < self._db.now()
                or (row.owner, self._db.instances[row.owner].lease_until) in gone
            )
            and not self._db.is_locked(workflow_id)
        ]
        # guard: refused-ones-fill-recoveries-in-memory = orphaned
        orphaned = [each for each in orphaned if each not in refused]
        chosen = orphaned[: self._db.limits.batch]
        recovered: list[tuple[str, str]] = [
            (each, self._recover(each)) for each in chosen if each not in self._db.refusing
        ]
        self._db.tell_ends()
        return recovered, [each for each in chosen if each in self._db.refusing]

    def _recover(self, workflow_id: str) -> Status:
        row, limits = self._db.workflows[workflow_id], self._db.limits
        records = self._db.records_of(workflow_id).values()
        progressed = any(each.completed_at > row.updated_at for each in records)
        attempts = 1 if progressed else row.recovery_attempts + 1
        row.owner, row.recovery_attempts, row.updated_at = None, attempts, self._db.now()
        row.epoch += 1
        if attempts > limits.attempts_max:
            row.status, row.error = Status.EXHAUSTED, '{"code":"recovery_exhausted"}'
            # guard: memory-exhausted-untold
            row.untold = True
            return row.status
        ceiling = min(limits.backoff_max_s, limits.backoff_s * 2.0 ** (attempts - 2))
        backoff_s = 0.0 if attempts <= 1 else ceiling * (0.5 + self._db.chance.random() / 2)
        row.claimable_at = self._db.now() + backoff_s
        return row.status

    def release(
        self,
        epochs: dict[str, int],
        load_bytes: Mapping[str, int] | None = None,
        due_s: Mapping[str, float | None] | None = None,
    ) -> list[str]:
        """`release`; returns the rows that refused."""
        rows = [(each, self._db.workflows[each]) for each in epochs if each in self._db.workflows]
        mine = [(each, row) for each, row in rows if row.epoch == epochs[each] and row.owner == self._me]
        for workflow_id, row in mine:
            if self._db.is_locked(workflow_id) or workflow_id in self._db.refusing:
                continue
            row.owner, row.claimable_at, row.updated_at = None, self._db.now(), self._db.now()
            if (due := (due_s or {}).get(workflow_id)) is not None:
                row.claimable_at = due
            row.load_bytes = max(row.load_bytes, (load_bytes or {}).get(workflow_id, 0))
        return [each for each, _ in mine if each in self._db.refusing]

    def leave(self) -> None:
        """`leave`."""
        self._db.end_lease(self._me)

    def tidy(self) -> None:
        """`adopt_orphans`."""
        for row in self._db.workflows.values():
            if row.owner is not None and row.owner not in self._db.instances:
                self._db.instances[row.owner] = Instance(float("-inf"), None, 0.0)
