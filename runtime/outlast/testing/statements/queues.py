"""`queues.sql` and the decision of queues (outlast.claim_queue) in memory."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from outlast.core.callers import SERVICE_ROLE, Caller
from outlast.core.claims import ClaimedWorkflow, QueueClaims, Room
from outlast.core.names import BATCH
from outlast.core.queues import BACKLOG_MAX, key_at
from outlast.core.records import DeclaredQueue, Entered, LimitsFreed, LimitUse, NewWorkflow
from outlast.core.status import LIVE, Status
from outlast.testing.database import Database
from outlast.testing.rows import LimitRow, QueueRow, Workflow
from outlast.testing.statements.claiming import ClaimStatement
from outlast.testing.statements.statements import Statements

ASKS_S, LEFT_S = 1.5, 0.03
"""How long an instance that asked counts as wanting places, and how long places are left to it."""


class QueueStatements(Statements):
    """See core.ports.QueueStore."""

    def declare(self, queues: Sequence[DeclaredQueue], served: Sequence[str] = ()) -> bool:
        """`declare`."""
        changed = False
        for each in queues:
            queue = self._db.queue(each.name)
            edition = json.dumps([each.options, sorted(each.functions)], sort_keys=True)
            if self._me in self._db.instances:
                self._db.instances[self._me].queue_editions[each.name] = edition
            if edition not in queue.editions:
                queue.editions.append(edition)
            # guard: memory-older-code-declares
            if self._newer_declared(each.name, queue, edition):
                continue
            declared = dict(each.options), frozenset(each.functions)
            changed = changed or declared != (queue.base, queue.functions)
            if declared != (queue.base, queue.functions):
                queue.declared_at = self._db.now()
            queue.base, queue.functions = declared
        named = {each.name for each in queues}
        for name, queue in self._db.queues.items():
            if name not in named and not self._said_by_others(name):
                queue.functions -= set(served)
        return changed

    def _said_by_others(self, name: str) -> bool:
        now = self._db.now()
        return any(
            each != self._me and instance.lease_until > now and name in instance.queue_editions
            for each, instance in self._db.instances.items()
        )

    def _newer_declared(self, name: str, queue: QueueRow, edition: str) -> bool:
        newer = queue.editions[queue.editions.index(edition) + 1 :]
        now = self._db.now()
        return any(
            each.lease_until > now and each.queue_editions.get(name) in newer
            for each in self._db.instances.values()
        )

    def take_limit(self, use: LimitUse, options: Mapping[str, Any]) -> float | None:
        """`take_limit`."""
        limit = self._db.step_limits.setdefault(use.name, LimitRow())
        limit.options = options
        begun = sorted(limit.uses.values())
        now = max([self._db.now(), *begun])
        if use in limit.uses:
            return None
        waiter = (use.workflow_id, use.step_id)
        if self._room(limit, now) > 0:
            limit.uses[use] = now
            limit.waits.pop(waiter, None)
            return None
        since, _ = limit.waits.get(waiter, (now, now))
        before = sum(
            each < since and asks_at >= now - 60.0 and self._comes(workflow_id)
            for (workflow_id, _), (each, asks_at) in limit.waits.items()
        )
        free_at = _turn_of(before, options.get("rate"), begun)
        wait_s = free_at - now if free_at > now else min(60.0, max(0.2, (now - since) / 2))
        limit.waits[waiter] = (since, now + wait_s)
        return wait_s

    def free_limits(
        self, instance_id: str, given_up: Sequence[LimitUse], names: Sequence[str]
    ) -> LimitsFreed:
        """`free_limits`."""
        for use in given_up:
            limit = self._db.step_limits.setdefault(use.name, LimitRow())
            limit.given_up.add(use)
            limit.uses.setdefault(use, -math.inf)
            limit.waits.pop((use.workflow_id, use.step_id), None)
        woken = [self._wake_limit(name, instance_id) for name in names if name in self._db.step_limits]
        return LimitsFreed([each for here, _ in woken for each in here], any(due for _, due in woken))

    def _wake_limit(self, name: str, me: str) -> tuple[list[str], bool]:
        limit, now = self._db.step_limits[name], self._db.now()
        here, due, room = [], False, self._room(limit, now)
        limit.waits = {each: times for each, times in limit.waits.items() if times[1] >= now - 60.0}
        for workflow_id, _ in sorted(limit.waits, key=lambda each: limit.waits[each]):
            row = self._db.workflows.get(workflow_id)
            if room <= 0:
                break
            if row is None or row.status is not Status.PENDING or row.held is not None:
                continue
            if row.owner == me:
                here.append(workflow_id)
            # guard: memory-refusing-waiters-keep-places
            elif workflow_id in self._db.refusing:
                continue
            elif row.owner is None and name in json.loads(row.awaits or "{}").get("limits", ()):
                row.claimable_at, due = min(row.claimable_at or now, now), True
            else:
                continue
            room -= 1
        return here, due

    def _comes(self, workflow_id: str) -> bool:
        row = self._db.workflows.get(workflow_id)
        return row is not None and not row.status.ended and row.held is None

    def _room(self, limit: LimitRow, now: float) -> float:
        most: float = limit.options.get("concurrency", math.inf)
        free = most - sum(map(self._holds, limit.uses.keys() - limit.given_up))
        if (rate := limit.options.get("rate")) is None:
            return free
        n, per = _window_of(rate)
        return min(free, n - sum(each >= now - per for each in limit.uses.values()))

    def _holds(self, use: LimitUse) -> bool:
        row = self._db.workflows.get(use.workflow_id)
        held = row is not None and row.owner is not None and row.epoch == use.epoch
        return held and (use.workflow_id, use.step_id) not in self._db.records

    def enqueue(self, news: Sequence[NewWorkflow], nonce: int) -> list[Entered]:
        """`enqueue`."""
        return [self.enter(new, nonce) for new in news]

    def enter(self, new: NewWorkflow, nonce: int) -> Entered:
        """Enqueue one of them, by the rules of the queue's door."""
        assert new.queue is not None
        row = self._db.workflows.get(new.workflow_id)
        if row is not None or new.workflow_id in self._db.attached:
            return Entered("started" if row is not None and row.nonce == nonce else "exists")
        if not self._db.may_start(new):
            return Entered("exists")
        queue, now = self._db.queue(new.queue), self._db.now()
        if "batch" in queue.options and new.function not in queue.functions:
            return Entered("not_in_batches")
        if new.queue_key is None:
            path = queue.options.get("key")
            found = "" if path is None else key_at(path, new.input) if isinstance(path, str) else None
            if found is None:
                return Entered("key_missing")
            new = new._replace(queue_key=found)
        entered = self._pass_door(queue, new, now)
        if entered is not None:
            return entered
        if debounce := queue.options.get("debounce"):
            new = new._replace(delay_s=new.delay_s + debounce["quiet"])
        self._db.insert_waiting(new, nonce)
        return Entered("started")

    def _pass_door(self, queue: QueueRow, new: NewWorkflow, now: float) -> Entered | None:
        """Attach or refuse a call that gets no row of its own; None if it gets a row."""
        options = queue.options
        if drop := options.get("drop"):
            recent = [at for at in queue.calls if at >= now - drop["per"]]
            if len(recent) >= drop["n"]:
                return Entered("rate_limited", None, recent[-drop["n"]] + drop["per"] - now)
            queue.calls = recent
        of_key = [
            (workflow_id, row)
            for workflow_id, row in self._db.workflows.items()
            if row.status in LIVE and (row.new.queue, row.new.queue_key) == (new.queue, new.queue_key)
        ]
        busy = [each for each in of_key if each[1].status == Status.PENDING or _is_due(each[1], now)]
        match None if new.delay_s else options.get("on_busy"):
            case "replace":
                for workflow_id, _ in busy:
                    self._db.check_writable(workflow_id)
                for _, row in busy:
                    self._db.cancel(row, f"replaced by a newer call of its key in queue {new.queue}")
                self._db.tell_ends()
            case "attach" if own := [each for each, row in busy if _is_of_same_caller(row.new, new)]:
                self._db.attached[new.workflow_id] = (own[0], new)
                return Entered("attached", own[0])
            case "attach" | "skip" if busy:
                caller = Caller.from_record(new.claims)
                told = caller.id is not None or caller.role == SERVICE_ROLE
                own = [each for each, row in busy if told and _is_of_same_caller(row.new, new)]
                return Entered("queue_busy", own[0] if own else None)
        if (debounce := options.get("debounce")) and (entered := self._absorb(new, of_key, debounce, now)):
            return entered
        backlog_max = options.get("max_backlog", BACKLOG_MAX)
        if sum(1 for _ in self._db.waiting(new.queue or "")) >= backlog_max:
            return Entered("queue_full", None, 1.0)
        if drop:
            queue.calls.append(now)
        return None

    def _absorb(
        self, new: NewWorkflow, of_key: list[tuple[str, Workflow]], debounce: Mapping[str, float], now: float
    ) -> Entered | None:
        """Put the last input into the row of the first call."""
        for workflow_id, row in of_key:
            same = row.new.function == new.function and _is_of_same_caller(row.new, new)
            begins = row.status == Status.ENQUEUED and row.owner is None and row.held is None
            if same and begins and row.generation == 1 and row.forked_from is None:
                self._db.check_writable(workflow_id)
                self._db.attached.setdefault(workflow_id, (workflow_id, row.new))
                self._db.attached[new.workflow_id] = (workflow_id, new)
                row.new = row.new._replace(
                    input=new.input,
                    request=new.request,
                    version=new.version,
                    claims=new.claims,
                    priority=new.priority,
                    attributes=new.attributes,
                    deadline_s=new.deadline_s,
                    timeout_s=new.timeout_s,
                    tick=_last_tick(row.new.tick, new.tick),
                )
                at_most = max(row.created_at + debounce["at_most"], row.claimable_at or 0.0)
                quiet_at = min(now + debounce["quiet"], at_most)
                row.claimable_at = max(now + new.delay_s, quiet_at)
                return Entered("attached", workflow_id)
        return None


def _last_tick(former: str | None, tick: str | None) -> str | None:
    if former is None or tick is None:
        return former if tick is None else tick
    first, last = json.loads(former), json.loads(tick)
    same = first["schedule"] == last["schedule"]
    return json.dumps({**last, "previous": first["previous"]}) if same else tick


class QueueClaimStatement(Statements):
    """See core.ports.InstanceStore.claim_queued."""

    def __init__(self, database: Database, instance_id: str) -> None:
        super().__init__(database, instance_id)
        self._claims = ClaimStatement(database, instance_id)

    def claim_queued(
        self, room: Room, *, limit_s: float | None = None, passed: Collection[str] = ()
    ) -> QueueClaims:
        """`claim_queued`; it skips workflows in `passed`, whose row refused to begin a moment ago."""
        bytes_left, alone = room.space
        claimed: list[ClaimedWorkflow] = []
        refusals = _Refusals(self._db, passed)
        waits: list[float] = []
        self._db.end_members()
        self._db.maps.stop()
        self._db.tell_ends()
        for name, queue in sorted(self._db.queues.items(), key=lambda each: each[1].decided_at):
            if queue.paused is not None:
                self._expire(name, queue, refusals)
                continue
            room_left = room._replace(workflows=room.workflows - len(claimed))
            for workflow_id in self._choose(name, queue, room_left, waits, refusals):
                size = self._claims.load_bytes(workflow_id)
                if size > bytes_left and not (alone and not claimed):
                    break
                bytes_left -= size
                begun = self._begin(workflow_id, queue)
                batched = "batch" in queue.options and not workflow_id.endswith(BATCH)
                if batched:
                    begun = self._begin_batch(begun, queue.options["batch"]["n"], refusals)
                claimed.append(begun)
        return QueueClaims(claimed, again_s=min(waits, default=None), refused=refusals.new)

    def _begin(self, workflow_id: str, queue: QueueRow) -> ClaimedWorkflow:
        row, now = self._db.workflows[workflow_id], max(self._db.now(), queue.decided_at)
        if row.status == Status.ENQUEUED:
            queue.starts.append((now, row.new.queue_key or ""))
        queue.last_key = row.new.queue_key
        queue.decided_at = now
        taken = self._claims.take(workflow_id)
        taken.queue = row.new.queue
        return taken

    def _begin_batch(self, first: ClaimedWorkflow, n: int, refusals: _Refusals) -> ClaimedWorkflow:
        """`outlast.begin_batch`."""
        lead, now, batch_id = self._db.workflows[first.workflow_id], self._db.now(), first.workflow_id + BATCH
        again = 1
        while batch_id in self._db.workflows:
            again += 1
            batch_id = f"{first.workflow_id}/again-{again}{BATCH}"
        others = [
            (workflow_id, row)
            for workflow_id, row in self._ready(
                str(first.queue), {first.function}, Status.ENQUEUED, 1, now, refusals
            )
            if row.new.queue_key == lead.new.queue_key
        ]
        # guard: one-follower-stops-its-batch-in-memory
        others = [each for each in others[: n - 1] if refusals.begins(each[0])]
        members = [(first.workflow_id, lead), *others]
        new = NewWorkflow(
            batch_id,
            first.function,
            f"[{','.join(row.new.input or '{}' for _, row in members)}]",
            claims='{"role":"service_role","outlast":{"mode":"queue","key":null}}',
            load_bytes=sum(row.new.load_bytes for _, row in members),
            queue=lead.new.queue,
            queue_key=lead.new.queue_key,
        )
        self._db.workflows[batch_id] = Workflow(
            new, self._me, self._db.chance.getrandbits(53), now, now, began_at=now
        )
        for place, (_, row) in enumerate(members, 1):
            row.status, row.owner, row.claimable_at, row.updated_at = Status.PENDING, None, None, now
            row.epoch += 1
            row.batch, row.batch_place = batch_id, place
        return ClaimedWorkflow(
            batch_id, first.function, 1, None, claims=new.claims, created_s=now, load_bytes=new.load_bytes,
            queue=first.queue, members=[workflow_id for workflow_id, _ in members],
        )  # fmt: skip

    def _choose(
        self, name: str, queue: QueueRow, wanted: Room, waits: list[float], refusals: _Refusals
    ) -> Iterator[str]:
        """Yield one after the other, each when those before it have begun."""
        now = max(self._db.now(), queue.decided_at)
        self._expire(name, queue, refusals)
        room = self._places(name, queue, wanted.functions, wanted.workflows, waits)
        idle = True
        for stage in (Status.PENDING, Status.ENQUEUED):
            while room > 0:
                ready = self._ready(name, wanted.functions, stage, wanted.suspects, now, refusals)
                keys = sorted({row.new.queue_key or "" for _, row in ready})
                after = [key for key in keys if queue.last_key is not None and key > queue.last_key]
                turns = after + [key for key in keys if key not in after]
                free = (
                    workflow_id
                    for key in turns
                    if (workflow_id := self._next(name, queue, key, stage, ready, now, waits, refusals))
                    is not None
                )
                chosen = next(free, None)
                if chosen is None:
                    break
                # guard: one-row-stops-its-queue-in-memory
                if not refusals.begins(chosen):
                    continue
                room -= 1
                idle = False
                yield chosen
        if room > 0 and idle:
            queue.askers.pop(self._me, None)

    def _places(
        self, name: str, queue: QueueRow, functions: Collection[str], room: int, waits: list[float]
    ) -> int:
        """How many of `room` it may take: see `outlast.leave_places`."""
        if "concurrency" not in queue.options or room <= 0:
            return room
        now, most = self._db.now(), queue.options["concurrency"]
        owners = [row.owner for row in self._db.workflows.values() if row.owner and row.new.queue == name]
        mine, free = owners.count(self._me), min(room, most - len(owners))
        _, short_since = queue.askers.pop(self._me, (now, None))
        queue.askers = {each: asked for each, asked in queue.askers.items() if 0 <= now - asked[0] <= ASKS_S}
        others = len(queue.askers)
        share = math.ceil(most / (others + 1))
        due = sorted((row.status, row.new.function) for _, row in self._db.waiting(name) if _is_due(row, now))
        serves = free > 0 or mine > 0 or bool(due and due[0][1] in functions)
        kept, left_s, short = 0, now - queue.left_at, None
        if free <= 0:
            if serves and mine < share and len(owners) - mine > others * share:
                short = min(now, now if short_since is None else short_since)
                waits.append(now - short)
        else:
            # guard: memory-places-left-for-ever = True
            if not LEFT_S <= left_s <= 1.0:
                kept = max(0, free - max(0, share - mine))
            queue.left_at = -math.inf if kept == 0 else queue.left_at if 0 <= left_s <= 1.0 else now
            if kept > 0:
                waits.append(LEFT_S - (now - queue.left_at))
        if serves:
            queue.askers[self._me] = (now, short)
        return free - kept if kept > 0 else room if free > 0 else 0

    def _ready(
        self,
        name: str,
        functions: Collection[str],
        stage: Status,
        suspects: int,
        now: float,
        refusals: _Refusals,
    ) -> list[tuple[str, Workflow]]:
        often = self._db.limits.suspect_after
        found = [
            (workflow_id, row)
            for workflow_id, row in self._db.waiting(name)
            if row.status == stage
            and _is_due(row, now)
            and row.new.function in functions
            and not self._db.is_locked(workflow_id)
            and workflow_id not in refusals.passed
            and (not row.misfits or self._db.fits(row, self._me))
            and (row.recovery_attempts < often or suspects > 0)
        ]
        return sorted(found, key=lambda each: (_rank(each[1]), each[1].created_at))

    def _next(
        self,
        name: str,
        queue: QueueRow,
        key: str,
        stage: Status,
        ready: list[tuple[str, Workflow]],
        now: float,
        waits: list[float],
        refusals: _Refusals,
    ) -> str | None:
        """The workflow of this key that may begin now."""
        options = queue.options
        running = [
            row for row in self._db.workflows.values() if row.owner is not None and row.new.queue == name
        ]
        # guard: memory-concurrency-passed
        if len(running) >= options.get("concurrency", math.inf):
            return None
        if sum(row.owner == self._me for row in running) >= options.get("per_instance", math.inf):
            return None
        if sum(row.new.queue_key == key for row in running) >= options.get("per_key", math.inf):
            return None
        if key in queue.paused_keys:
            return None
        if stage == Status.ENQUEUED:
            held = max(
                _held_until(options.get("rate"), [at for at, _ in queue.starts], now),
                _held_until(
                    options.get("rate_per_key"), [at for at, each in queue.starts if each == key], now
                ),
            )
            if held > now:
                waits.append(held - now)
                return None
        if stage == Status.ENQUEUED and options.get("exclusive"):
            of_key = [
                row
                for row in self._db.workflows.values()
                if (row.new.queue, row.new.queue_key, row.status) == (name, key, Status.PENDING)
            ]
            if of_key or self._first_is_passed(name, key, refusals):
                return None
        own = [(each, row) for each, row in ready if row.new.queue_key == key]
        if stage == Status.ENQUEUED and (batch := options.get("batch")) and 0 < len(own) < batch["n"]:
            full_enough_at = min(row.claimable_at or now for _, row in own) + batch["wait"]
            if full_enough_at > now:
                waits.append(full_enough_at - now)
                return None
        return own[0][0] if own else None

    def _first_is_passed(self, name: str, key: str, refusals: _Refusals) -> bool:
        """Whether the first workflow of an exclusive key was refused: the others keep their order."""
        now = self._db.now()
        own = [
            (_rank(row), row.created_at, workflow_id)
            for workflow_id, row in self._db.waiting(name)
            if row.status == Status.ENQUEUED and row.new.queue_key == key and _is_due(row, now)
        ]
        # guard: exclusive-order-lost-by-refusals-in-memory = False
        return bool(own) and min(own)[-1] in refusals.passed

    def _expire(self, name: str, queue: QueueRow, refusals: _Refusals) -> None:
        now = max(self._db.now(), queue.decided_at)
        within_s = queue.options.get("start_within", math.inf)
        for workflow_id, row in list(self._db.waiting(name)):
            late = (row.claimable_at or now) < now - within_s
            begun = row.generation > 1 or row.forked_from is not None
            waits = row.status == Status.ENQUEUED and row.held is None and workflow_id not in refusals.passed
            if waits and late and not begun and refusals.begins(workflow_id):
                why = f"it could not begin within {json.dumps(within_s)} s (start_within of queue {name})"
                end_waiting(row, {"code": "expired", "message": why}, now)
        self._db.tell_ends()


class _Refusals:
    """Rows that refuse to begin: known before, or found by this claim."""

    def __init__(self, database: Database, passed: Collection[str]) -> None:
        self._refusing = database.refusing
        self.passed = set(passed)
        self.new: list[str] = []

    def begins(self, workflow_id: str) -> bool:
        """Whether its row may be written; if not it is skipped from now on."""
        if workflow_id not in self._refusing:
            return True
        self.passed.add(workflow_id)
        self.new.append(workflow_id)
        return False


def _held_until(rate: Mapping[str, Any] | None, starts: list[float], now: float) -> float:
    if rate is None:
        return now
    n, per = _window_of(rate)
    return starts[-n] + per + 1e-6 if len(starts) >= n else now


def _turn_of(before: int, rate: Mapping[str, Any] | None, starts: list[float]) -> float:
    """When one may begin after this many others, by the rate alone."""
    if rate is None:
        return -math.inf
    n, per = _window_of(rate)
    at = before % n - n
    return starts[at] + per * (1 + before // n) + 1e-6 if len(starts) >= -at else -math.inf


def _window_of(rate: Mapping[str, Any]) -> tuple[int, float]:
    return (1, rate["per"] / rate["n"]) if rate.get("smooth") else (rate["n"], rate["per"])


def _is_of_same_caller(one: NewWorkflow, other: NewWorkflow) -> bool:
    roles = [Caller.from_record(each.claims).role for each in (one, other)]
    return one.subject == other.subject and roles[0] == roles[1]


def _is_due(row: Workflow, now: float) -> bool:
    free = row.owner is None and row.held is None
    return free and row.claimable_at is not None and row.claimable_at <= now


def _rank(row: Workflow) -> float:
    return (row.claimable_at or 0.0) - row.new.priority


def end_waiting(row: Workflow, error: Mapping[str, str], now: float) -> None:
    """Cancel it, with this error."""
    row.status, row.owner, row.claimable_at, row.updated_at = Status.CANCELLED, None, None, now
    row.held = None
    row.epoch += 1
    row.error = json.dumps(error)
