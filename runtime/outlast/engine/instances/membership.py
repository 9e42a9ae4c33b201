"""This instance among the others: lease, claims, and recovery of lost instances. One loop, in order."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

from pydantic_core import from_json

from outlast.core.background import LAST_ROUND_S, RETRY, Loop
from outlast.core.budget import Taken
from outlast.core.callers import Caller
from outlast.core.claims import ClaimedWorkflow, LostInstance, Room
from outlast.core.clock import Clock, monotonic
from outlast.core.observations import (
    ClaimGivenUp,
    InstanceJoined,
    InstanceLost,
    Observer,
    QueueUndecided,
    RowsRefused,
    Trigger,
    WorkflowsClaimed,
    WorkflowStarted,
)
from outlast.core.ports import (
    Catalog,
    HeldUp,
    InstanceStore,
    QueueStore,
    TookTooLong,
    Unreachable,
    WorkflowStore,
)
from outlast.core.records import Beat, DeclaredQueue
from outlast.core.retry import RetryPolicy
from outlast.core.status import Status
from outlast.core.stops import DISOWNED, LeaseLost, stop_of
from outlast.engine.execution.execution import Execution
from outlast.engine.executor import Executor
from outlast.engine.instances.allowance import Allowance
from outlast.engine.instances.consuming import LONE_LOOK_LIMIT_S
from outlast.engine.instances.loading import Loader
from outlast.engine.instances.suspicions import LOOK_AGAIN_S, Suspicions
from outlast.engine.lease import Lease
from outlast.engine.options import DECLARE_S

T = TypeVar("T")
JITTER = 0.05
CLAIM_PART = 1 / 3
"""The part of the lease that a claim may take. A renewal waits for a claim that is under way."""

PAUSE_PART = 1 / 6
"""The part of the lease that is the longest pause after a failed round, for any failure."""

STRICT_EVERY_S, STRICT_FOR_S = 40.0, 10.0
"""For this part of each period nothing passes a workflow that is too large for the free memory. Otherwise
smaller workflows could take the memory for ever."""

LOOKS_APART_S, LOOK_ONCE_MORE_S = 0.02, 0.05
"""After news of work: how soon after the last claim to look, and how soon after that once more."""

ORPHANS_KEPT_S = 2 * LONE_LOOK_LIMIT_S
"""Longer than any look at the messages of a queue. Until then orphans are remembered, for late answers."""

CLOCK_SLACK_S = 0.005
"""The database's clock may be this much behind the time that this process derives from it."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often and how much to claim. EngineOptions has the defaults."""

    tick_s: float
    claim_batch: int
    workflows_max: int
    suspect_after: int
    allowance: Allowance

    @property
    def claims_below(self) -> int:
        """A full instance claims again once at most this many workflows run, so that several have room."""
        return self.workflows_max - min(self.claim_batch, -(-self.workflows_max // 4))


class Membership:
    """Keeps this instance's lease, claims what is due, and makes workflows of lost instances claimable."""

    def __init__(
        self,
        instance_id: str,
        store: InstanceStore,
        workflows: WorkflowStore,
        catalog: Catalog,
        executor: Executor,
        lease: Lease,
        clock: Clock,
        starting: Callable[[], set[str]],
        messages_arrived: Callable[[], None],
        ends_untold: Callable[[], None],
        queues_full: Callable[[frozenset[str]], None],
        queues: QueueStore,
        observe: Observer,
        pace: Pace,
    ) -> None:
        self._instance_id = instance_id
        self._store = store
        self._catalog = catalog
        self._executor = executor
        self._lease = lease
        self._clock = clock
        self._starting = starting
        self._messages_arrived = messages_arrived
        self._ends_untold = ends_untold
        self._queues_full = queues_full
        self._queues = queues
        self._declared: tuple[Sequence[DeclaredQueue], Sequence[str]] | None = None
        """The queues and functions that were declared last."""
        self._declare_at = 0.0
        self._observe = observe
        self._pace = pace
        self._claiming = True
        self._tidied = False
        self._beat_at = 0.0
        self._forced_at = 0.0
        self._claimed_at = 0.0
        self._claim_at = self._decide_at = 0.0
        """When to look next for workflows that are due, and for those that queues let begin."""
        self._doubtful = False
        """Whether others may have begun to recover this instance's workflows."""
        self._came_back = False
        """Whether the lease was renewed since its session was lost, so that others see this instance live."""
        self._told_lost: set[str] = set()
        self._unknown: dict[str, int] = {}
        self._orphans: dict[str, tuple[int, float]] = {}
        """Unknown workflows that were given back a while ago: the epoch of each, and when."""
        self._shown: set[tuple[Any, ...]] = set()
        """The steps in `running` that others are shown."""
        self._suspicions = Suspicions()
        self._loader = Loader(workflows, pace.allowance, clock, self._launch, self.give_back, observe)
        self._returned: list[ClaimedWorkflow] = []
        """Claimed workflows to give back unused, because there was no memory or time for them."""
        self._claim_batch = pace.claim_batch
        self._undecided: dict[str, str] = {}
        """Queues that could not decide, with the reported error."""
        self._told_due = False
        self.told: Callable[[], None] = lambda: None
        """Called whenever there may be work."""
        # guard: pauses-outlast-the-lease = RETRY.backoff_max_s
        longest_s = min(RETRY.backoff_max_s, lease.ttl_s * PAUSE_PART)
        retry = RetryPolicy(backoff_s=RETRY.backoff_s, backoff_max_s=longest_s)
        self._loop = Loop("lease", self._do_round, observe, retry=retry, tells_absence=True)
        self.loops = (self._loader.loop, self._loop)
        store.when_lost(self._beat_now)
        store.when_due(self._look_now)

    async def join(self) -> None:
        """Take the lease. Then `loops` may be opened. Raises Unreachable."""
        await self._beat()
        await self._declare()
        self._observe(InstanceJoined(self._instance_id))

    def stop_claiming(self) -> None:
        """Keep the lease, but take no more work."""
        self._claiming = False

    async def leave(self) -> None:
        """Stop after the current round, and end the lease. Never raises if the database is unreachable."""
        await self._loop.close(LAST_ROUND_S)
        await self._loader.loop.close()
        # guard: trust-while-leaving
        self._lease.end()
        try:
            async with asyncio.timeout(2.0):
                self.give_back(list(self._loader.loading.values()))
                await self._release_returned()
                await self._store.leave()
        except (Unreachable, TimeoutError):
            pass  # the lease runs out by itself

    @property
    def loading(self) -> int:
        """How many workflows are claimed and being loaded."""
        return len(self._loader.loading)

    @property
    def load_bytes(self) -> int:
        """The memory that these need."""
        return self._loader.load_bytes

    def load(self, workflows: list[ClaimedWorkflow], term: int) -> None:
        """Load and launch workflows that this instance has claimed in this term of its lease.

        It skips those whose claim was answered so late that beats have already given them back as unknown.
        """
        # guard: run-though-given-back = workflows
        own = [each for each in workflows if self._orphans.get(each.workflow_id, (0, 0))[0] != each.epoch]
        self._loader.load(own, term)

    def claim_soon(self, at_s: float) -> None:
        """Something is due at `at_s` (Unix seconds): claim then, if that is before the next tick."""
        self._claim_by(self._local_time_of(at_s))

    def decide_soon(self, at_s: float) -> None:
        """Something in a queue may begin at `at_s` (Unix seconds): decide then."""
        self._decide_by(self._local_time_of(at_s))

    def _local_time_of(self, at_s: float) -> float:
        """The time of this process's clock at which that is due in the database."""
        wait_s = at_s - self._clock.now_s()
        return monotonic() + (wait_s + CLOCK_SLACK_S if wait_s > 0 else 0.0)

    def _claim_by(self, at: float) -> None:
        self._claim_at = min(self._claim_at, at)
        self._loop.wake(at)

    def _decide_by(self, at: float) -> None:
        self._decide_at = min(self._decide_at, at)
        self._loop.wake(at)

    def look_at_owned(self) -> None:
        """Workflows that run here may have been cancelled: check now."""
        self._beat_at = 0.0
        self._loop.wake()

    def _go_on(self) -> None:
        """There is room again: claim and decide."""
        self._claim_by(monotonic())
        self._decide_by(monotonic())

    def _look_now(self) -> None:
        """There may be work."""
        self._told_due = True
        self.told()
        self._claim_by(max(monotonic(), self._claimed_at + LOOKS_APART_S))

    def _beat_now(self) -> None:
        """The session by which others know this instance is gone: beat to show them the next session."""
        self._beat_at = 0.0
        self._doubtful = True
        if self._came_back:
            self._loop.relent()
        self._came_back = False
        # The pause helps if something ends every session. There is only one pause, even after many losses:
        # after several pauses the others would take this instance for dead.
        now = monotonic()
        # guard: pauses-add-up = max(now, self._forced_at + RETRY.backoff_s)
        self._forced_at = min(max(now, self._forced_at + RETRY.backoff_s), now + RETRY.backoff_s)
        self._loop.wake(self._forced_at)

    async def _do_round(self) -> float:
        try:
            if monotonic() >= self._beat_at:
                await self._beat()
            await self._release_returned()
            await self._declare()
            # If it was woken only for a queue, the claim waits for its own time.
            decides = monotonic() >= self._decide_at
            if self._claiming and (monotonic() >= self._claim_at or not decides):
                self._claim_at = monotonic() + self._tick_s()
                if await self._claim():
                    self._claim_at = 0.0
            if self._claiming and monotonic() >= self._decide_at:
                self._decide_at = math.inf
                again_at = await self._decide()
                self._decide_at = min(self._decide_at, again_at)  # news may have come meanwhile
            if not self._tidied:
                await self._store.tidy()
                self._tidied = True
        except Unreachable:
            self._beat_at = 0.0  # the lease names the session: the new one must be known first
            self._doubtful = True
            raise
        if not self._claiming:
            return self._tick_s()
        return max(0.0, min(self._claim_at, self._decide_at) - monotonic())

    async def _declare(self) -> None:
        """Declare the queues of the functions that are served now.

        Repeated, because it takes effect once instances with newer code have gone.
        """
        declared = self._catalog.queues(), self._catalog.workflow_names()
        # guard: queues-declared-once = declared == self._declared
        if declared == self._declared and monotonic() < self._declare_at:
            return
        self._declare_at = monotonic() + DECLARE_S * random.uniform(0.8, 1.0)
        try:
            changed = await self._queues.declare(*declared)
        except HeldUp:
            # guard: held-queues-stop-claims = True
            if declared != self._declared:
                raise
            return  # a later round declares it; nothing else waits for the lock on the queue's row
        if changed or declared != self._declared:
            self._decide_at = 0.0
        self._declared = declared

    def _tick_s(self) -> float:
        tick_s = min(self._pace.tick_s, LOOK_AGAIN_S) if self._suspicions else self._pace.tick_s
        return tick_s * random.uniform(1 - JITTER, 1 + JITTER)

    async def _beat(self) -> None:
        known, term = list(self._executor.live.values()), self._lease.term
        loading = list(self._loader.loading.values())
        running = self._executor.long_running()
        # Dates are left out: they change with what this process learns of the database's clock.
        shown = {
            (each.workflow_id, each.epoch, each.step_id, each.attempt, each.retry_s is None)
            for each in running
        }
        sent_at = monotonic()
        beat = await self._store.beat(self._lease.ttl_s, None if shown == self._shown else running)
        self._shown = shown
        # guard: trust-from-the-answer = self._lease.renewed(monotonic())
        self._lease.renewed(sent_at)
        self._clock.synchronize(beat.database_s, sent_at, monotonic())
        self._beat_at = sent_at + self._lease.ttl_s / 3 * random.uniform(0.9, 1.0)
        self._came_back = True
        self._verify(known, loading, beat, term)
        await self._release_unknown(beat)

    def _verify(self, known: list[Execution], loading: list[ClaimedWorkflow], beat: Beat, term: int) -> None:
        """End executions whose rows this instance no longer owns: they were cancelled or taken over.

        After a gap in the lease, or a lost session, one beat can't prove that a row is still owned: it may
        have been read before a recovery that was under way. It also doesn't know workflows that began before
        the gap and were added since. In both cases the next beat decides, and comes at once.
        """
        for execution in known:
            if beat.owned.get(execution.workflow_id) != execution.epoch:
                # guard: disowned-go-on
                execution.stop(LeaseLost("it was cancelled or runs elsewhere"))
            elif term == self._lease.term:
                execution.term = term
        for claimed in loading:
            if beat.owned.get(claimed.workflow_id) != claimed.epoch:
                self._loader.forget(claimed)
        live = self._executor.live.values()
        if self._doubtful or any(not each.stopped and each.term != self._lease.term for each in live):
            self._beat_at = 0.0
            self._loop.wake()
        self._doubtful = False

    async def _release_unknown(self, beat: Beat) -> None:
        """Give back rows of this instance that it doesn't know: the answer to their claim was lost."""
        starting = self._starting()
        # guard: starting-ones-orphaned without 2
        unknown = {
            workflow_id: epoch
            for workflow_id, epoch in beat.owned.items()
            if workflow_id not in self._executor.live
            and workflow_id not in starting
            and workflow_id not in self._loader.loading
        }
        # Only those that two beats in a row have seen: during the first, their end may have been on its way.
        # guard: orphans-at-first-sight = unknown
        twice = {each: epoch for each, epoch in unknown.items() if self._unknown.get(each) == epoch}
        self._unknown = unknown
        now = monotonic()
        known = {each: noted for each, noted in self._orphans.items() if noted[1] > now - ORPHANS_KEPT_S}
        self._orphans = {**known, **{each: (epoch, now) for each, epoch in twice.items()}}
        # guard: orphans-kept
        if twice:
            await self._store.release(twice)

    async def _claim(self) -> bool:
        """Claim and load. Returns whether there may be more at once. Without room the next claim waits."""
        allowance = self._pace.allowance
        self._claimed_at = monotonic()
        if self._told_due:
            # Another commit may have come just after the news, without news of its own.
            self._told_due = False
            self._claim_by(self._claimed_at + LOOK_ONCE_MORE_S)
        taken = self._taken()
        room = self._room()
        rests = self._rests
        term = self._lease.term
        strict = monotonic() % STRICT_EVERY_S < STRICT_FOR_S and not allowance.held(taken)
        claims = await self._ask(room, taken, partial(self._store.claim, strict=strict))
        if claims is None:
            return False
        self._claim_batch = min(self._pace.claim_batch, 2 * self._claim_batch)
        if claims.undelivered:
            self._messages_arrived()
        # guard: ends-untold-for-ever
        if claims.untold:
            self._ends_untold()
        self._queues_full(claims.full_queues)
        for workflow_id, stop in claims.stops.items():
            # guard: stops-of-others-unheard
            if (execution := self._executor.live.get(workflow_id)) is not None:
                self._hear_stop(execution, from_json(stop))
        if claims.refused:
            self._observe(RowsRefused(tuple(claims.refused)))
        if claims.queued:
            self._decide_at = 0.0
        if claims.workflows:
            self._tell_claims(claims.workflows)
            self._loader.load(claims.workflows, term)
        recovered = await self._recover(claims.lost)
        if rests:
            return recovered
        more = len(claims.workflows) >= room
        if more and room < self._pace.claim_batch:
            self._executor.when_at_most(self._pace.claims_below, self._go_on)
            return recovered
        return recovered or more

    def _hear_stop(self, execution: Execution, document: dict[str, Any]) -> None:
        if document["code"] != DISOWNED:
            execution.ask_to_stop(stop_of(document))
        # guard: cancelled-by-others-unheard
        elif execution.stopped is None:
            self.look_at_owned()  # only the row tells whether this execution is the one that was cancelled

    async def _decide(self) -> float:
        """Claim what queues let begin. Returns when to look again, if no news comes before."""
        taken, room, term = self._taken(), self._room(), self._lease.term
        if room == 0:
            self._executor.when_at_most(self._pace.claims_below, self._go_on)
            return math.inf
        claims = await self._ask(room, taken, self._store.claim_queued)
        if claims is None:
            return math.inf
        for queue, error in claims.faults.items():
            if self._undecided.get(queue) != error:
                self._observe(QueueUndecided(queue, error))
        self._undecided.update(claims.faults)
        if claims.refused:
            self._observe(RowsRefused(tuple(claims.refused)))
        if claims.workflows:
            self._tell_claims(claims.workflows)
            self._loader.load(claims.workflows, term)
            for each in claims.workflows:
                self._undecided.pop(each.queue or "", None)
        if len(claims.workflows) >= room:
            return 0.0
        if claims.more:
            return monotonic() + LOOKS_APART_S
        return math.inf if claims.again_s is None else monotonic() + max(LOOKS_APART_S, claims.again_s)

    async def _ask(self, room: int, taken: Taken, claim: Callable[..., Awaitable[T]]) -> T | None:
        """The result of `claim`, as far as there is room; None if it took too long."""
        allowance, limit_s = self._pace.allowance, self._lease.ttl_s * CLAIM_PART
        names, suspects = self._catalog.workflow_names(), self._suspects(room)
        wanted = Room(names, room, suspects, allowance.space(taken), allowance.space_for_large(taken))
        try:
            return await claim(wanted, limit_s=limit_s)
        except TookTooLong:
            self._observe(ClaimGivenUp(limit_s, room))
            self._claim_batch = max(1, self._claim_batch // 4)
            return None

    @property
    def _rests(self) -> bool:
        """Whether to claim nothing now, because claimed workflows can't be loaded."""
        if self._loader.loop.resumes_at <= monotonic():
            return False
        self._claim_by(self._loader.loop.resumes_at)
        return True

    def _room(self) -> int:
        room = min(self._claim_batch, self._pace.workflows_max - len(self._executor.live) - self.loading)
        return 0 if self._rests else max(0, room)

    def _taken(self) -> Taken:
        active, waiting = self._pace.allowance.taken()
        return Taken(active + self._loader.load_bytes, waiting)

    def _suspects(self, room: int) -> int:
        """How many workflows that were lost often may be claimed. Each of them runs alone."""
        alone = self._executor.suspects_wait and not any(map(self._is_suspect, self._loader.loading.values()))
        return min(1 if alone else 0, room)

    def _tell_claims(self, workflows: list[ClaimedWorkflow]) -> None:
        now_s = self._clock.now_s()
        due = [each for each in workflows if each.due_s is not None]
        lags_s = tuple(max(0.0, now_s - (each.due_s or 0.0)) for each in due)
        ids = tuple(each.workflow_id for each in workflows)
        # A workflow that starts without waiting gets its first epoch without a claim. So these begin now.
        begin = [each for each in workflows if each.epoch == 1]
        queues = tuple(map(_shown_queue, due))
        self._observe(WorkflowsClaimed(ids, lags_s, tuple(each.workflow_id for each in begin), queues))
        for each in begin:
            trigger = _trigger_of(each)
            # The start of a row that waits was reported by its starter, except for a map's items.
            before = trigger in ("call", "child") and _shown_queue(each) != "map"
            self._observe(
                WorkflowStarted(
                    each.workflow_id, each.function, trigger, each.parent, each.request, told_before=before
                )
            )

    def _is_suspect(self, claimed: ClaimedWorkflow) -> bool:
        return claimed.recovery_attempts >= self._pace.suspect_after

    def _launch(self, claimed: ClaimedWorkflow, term: int) -> None:
        newest = self._catalog.workflow(claimed.function)
        definition = self._catalog.of_version(claimed.function, claimed.version)
        # guard: any-version-runs-it = False
        unserved = definition is None
        # guard: claims-while-leaving
        if not self._claiming:  # the instance began to stop while it was loaded
            self.give_back([claimed])
        elif newest is not None:  # otherwise its file was broken a moment ago: the next beats give it back
            self._executor.launch(
                claimed,
                definition or newest,
                term=term,
                suspect=self._is_suspect(claimed),
                unserved=unserved,
            )

    def give_back(self, workflows: Sequence[ClaimedWorkflow]) -> None:
        """Make these claimable again: this instance owns them and doesn't run them."""
        self._returned += workflows
        if workflows:
            self._loop.wake()

    async def _release_returned(self) -> None:
        returned, self._returned = self._returned, []
        if not returned:
            return
        epochs = {each.workflow_id: each.epoch for each in returned}
        learned = {each.workflow_id: each.load_bytes for each in returned}
        # Beats would give them back too, but later, and without what was learned of their size.
        try:
            await self._store.release(epochs, learned, {each.workflow_id: each.due_s for each in returned})
        except BaseException:
            # guard: given-back-once
            self._returned = returned + self._returned
            raise

    async def _recover(self, lost: list[LostInstance]) -> bool:
        """Make a batch of lost instances' workflows claimable. Returns whether there were any."""
        dead = self._suspicions.look(lost)
        if not dead:
            return False
        rows = await self._store.recover(dead)
        names = {each.instance_id for each in dead}
        if rows or names - self._told_lost:  # not at each look, while others still hold its rows
            exhausted = tuple(workflow_id for workflow_id, status in rows if status == Status.EXHAUSTED)
            reason: Literal["lease", "session"] = "lease" if any(each.expired for each in dead) else "session"
            recovered = len(rows) - len(exhausted)
            self._observe(InstanceLost(", ".join(sorted(names)), recovered, exhausted, reason))
        self._told_lost = names
        return bool(rows)


def _shown_queue(claimed: ClaimedWorkflow) -> str:
    """The queue's name for reports. A map's items wait in a queue with the map's id, which says nothing."""
    return "map" if claimed.queue and claimed.queue == claimed.parent else claimed.queue or ""


def _trigger_of(claimed: ClaimedWorkflow) -> Trigger:
    if claimed.parent is not None:
        return "child"
    mode = Caller.from_record(claimed.claims).mode
    return mode if mode in ("sql", "queue", "schedule") else "call"
