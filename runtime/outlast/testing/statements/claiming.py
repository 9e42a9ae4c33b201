"""The claim of `instances.sql` in memory: what is due, as far as there is room and memory for it."""

from __future__ import annotations

import json
from collections.abc import Collection

from outlast.core.budget import SMALL_BYTES
from outlast.core.claims import ClaimedWorkflow, Claims, LostInstance, Room, Space
from outlast.core.queues import BACKLOG_MAX
from outlast.core.status import Status
from outlast.core.stops import DISOWNED
from outlast.testing.database import Database
from outlast.testing.rows import Workflow, is_untold
from outlast.testing.statements.statements import Statements


class ClaimStatement(Statements):
    """See core.ports.InstanceStore."""

    def __init__(self, database: Database, instance_id: str) -> None:
        super().__init__(database, instance_id)
        self.functions: frozenset[str] = frozenset()
        """The functions that it claims."""

    def claim(
        self,
        room: Room,
        *,
        strict: bool = True,
        limit_s: float | None = None,
        refused: Collection[str] = (),
    ) -> Claims:
        """`claim`. It skips workflows in `refused`, whose row refused a moment ago."""
        self.functions = frozenset(room.functions)
        lost = [found for each in self._db.instances if (found := self._see_lost(each)) is not None]
        due = sorted(
            (
                (row.claimable_at, workflow_id)
                for workflow_id, row in self._db.workflows.items()
                if self._may_claim(row, workflow_id, refused)
                and row.new.queue is None
                and row.claimable_at is not None
                and row.claimable_at <= self._db.now()
                and row.new.function in self.functions
                and not self._db.is_locked(workflow_id)
            )
        )
        due = [each for each in due if strict or self._may_fit(each[1], room)]
        often = self._db.limits.suspect_after
        attempts = {each: self._db.workflows[each].recovery_attempts for _, each in due}
        ordinary = [each for _, each in due if attempts[each] < often][: room.workflows]
        suspicious = [each for _, each in due if attempts[each] >= often][: room.suspects]
        chosen = self._fitting(sorted([*ordinary, *suspicious], key=self._since), room, strict=strict)
        claimed = [self.take(each) for each in chosen if each not in self._db.refusing]
        claimed.sort(key=lambda each: self._db.workflows[each.workflow_id].created_at)
        now = self._db.now()
        queued = any(
            row.new.queue is not None
            and row.owner is None
            and row.held is None
            and row.claimable_at is not None
            and row.claimable_at <= now
            for row in self._db.workflows.values()
        ) or any(self._db.orphans())
        # guard: memory-stopped-maps-keep-their-queues
        queued = queued or bool(self._db.maps.stopped())
        full = (
            name
            for name, queue in self._db.queues.items()
            if sum(1 for _ in self._db.waiting(name)) >= queue.options.get("max_backlog", BACKLOG_MAX)
        )
        return Claims(
            claimed,
            lost,
            undelivered=any(each.waits for each in self._db.letters),
            untold=any(is_untold(row) for row in self._db.workflows.values())
            or any(target not in self._db.workflows for target, _ in self._db.waits)
            or bool(self._db.due),
            queued=queued,
            full_queues=frozenset(full),
            stops=self._stops(),
            refused=[each for each in chosen if each in self._db.refusing],
        )

    def _stops(self) -> dict[str, str]:
        """`outlast.stops_of`."""
        stops = {}
        for workflow_id, row in self._db.workflows.items():
            if row.owner == self._me and row.saga == "stopping":
                stops[workflow_id] = row.stop or ""
            elif row.status == Status.CANCELLED and row.stopped_on == self._me:
                stops[workflow_id] = json.dumps({"code": DISOWNED})
            elif row.held is not None and json.loads(row.held).get("instance") == self._me:
                stops[workflow_id] = json.dumps({"code": "paused", "message": "it was paused"})
        return stops

    def _may_claim(self, row: Workflow, workflow_id: str, refused: Collection[str]) -> bool:
        # guard: refused-ones-use-up-the-room-in-memory
        if workflow_id in refused:
            return False
        # guard: held-rows-claimed-in-memory = row.owner is None
        free = row.owner is None and row.held is None
        # guard: claimed-by-what-does-not-fit-in-memory = free
        return free and (not row.misfits or self._db.fits(row, self._me))

    def _since(self, workflow_id: str) -> tuple[float, str]:
        return self._db.workflows[workflow_id].claimable_at or 0.0, workflow_id

    def _is_large(self, workflow_id: str) -> bool:
        row = self._db.workflows[workflow_id]
        return row.new.parent is None and self.load_bytes(workflow_id) > SMALL_BYTES

    def _space(self, workflow_id: str, room: Room) -> Space:
        """The space that counts for this workflow: for small or for large ones."""
        return (self._is_large(workflow_id) and room.large) or room.space

    def _may_fit(self, workflow_id: str, room: Room) -> bool:
        space = self._space(workflow_id, room)
        bytes_left = space.bytes_left if self._is_large(workflow_id) else max(space.bytes_left, SMALL_BYTES)
        return space.alone or self.load_bytes(workflow_id) <= bytes_left

    def _fitting(self, found: list[str], room: Room, *, strict: bool) -> list[str]:
        """Those of `found` that fit into the memory. A larger one is skipped, until it has waited long."""
        waiting = [self._since(each)[0] for each in found if self.load_bytes(each) > room.space.bytes_left]
        in_turn = strict and bool(waiting) and min(waiting) < self._db.now() - 10.0
        fitting, in_all, place = [], 0, 0
        for each in found:
            own_left, own_alone = self._space(each, room)
            if self.load_bytes(each) > own_left and not (own_alone or in_turn):
                continue
            in_all += self.load_bytes(each)
            place += 1
            if in_all <= own_left or (place == 1 and own_alone):
                fitting.append(each)
        return fitting

    def load_bytes(self, workflow_id: str) -> int:
        """What it takes in memory."""
        row = self._db.workflows[workflow_id]
        return max(row.load_bytes, row.new.load_bytes)

    def _see_lost(self, other: str) -> LostInstance | None:
        row = self._db.instances[other]
        expired = row.lease_until < self._db.now()
        gone = row.session is not None and row.session not in self._db.sessions
        if other == self._me or not (expired or gone):
            return None
        if not any(each.owner == other for each in self._db.workflows.values()):
            return None
        restarted = row.session is not None and row.session_began <= self._db.started_at
        return LostInstance(other, row.lease_until, expired, restarted)

    def take(self, workflow_id: str) -> ClaimedWorkflow:
        """Claim it."""
        row = self._db.workflows[workflow_id]
        due_s = row.claimable_at
        if row.began_at is None:
            row.began_at = self._db.now()
        # guard: memory-time-passes-before-a-retry-begins = False
        if row.retried_at is not None and row.status is Status.ENQUEUED:
            row.born = {**(row.born or {}), "goes_on_s": self._db.now()}
        row.owner, row.status, row.claimable_at, row.awaits = self._me, Status.PENDING, None, None
        row.epoch += 1
        row.updated_at = self._db.now()
        new = row.new
        return ClaimedWorkflow(
            workflow_id, new.function, row.epoch, None, None, new.subject, new.claims, new.version,
            new.parent, row.recovery_attempts, new.deadline_s, row.created_at, self.load_bytes(workflow_id),
            due_s, row.began_at, tick=new.tick,
        )  # fmt: skip
