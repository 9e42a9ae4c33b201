"""Supabase Queues: this instance takes messages while it has room for their workflows."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from outlast.core.background import Loop
from outlast.core.budget import Budget
from outlast.core.claims import ClaimedWorkflow, Consumed, SetAside
from outlast.core.clock import monotonic
from outlast.core.observations import (
    MessageSetAside,
    Observer,
    QueueConsumed,
    QueueRefused,
    WorkflowsClaimed,
    WorkflowStarted,
)
from outlast.core.ports import Catalog, MessageQueueStore, MessageRefused, QueueUnusable
from outlast.core.versions import row_version
from outlast.engine.instances.setbacks import SLOW
from outlast.engine.lease import Lease

LOOK_S = 0.5
LOOK_LIMIT_S = 5.0
"""The longest look at a queue. The other queues wait meanwhile. For locks the store waits less."""

LONE_LOOK_LIMIT_S = 60.0
"""The longest look for a single message of a slow queue. Postgres may take seconds for a large one."""

LOOK_AIM_S = 2.0
"""After a look that takes longer, the next one takes fewer messages."""

PATIENCE_S = 10.0
"""A message stays in its queue this long for lack of memory. Then it is taken as a workflow that is due."""

SHARE_FIRST = 16
"""The number of messages in the first look at a queue. Their size is only known afterwards."""

RETRY_MIN_S, RETRY_MAX_S = 1.0, 30.0

TRIES_A_SECOND = 10.0
"""So many refused messages of a queue are tried again each second. Others are taken meanwhile."""

TOLD_MAX = 1_000
"""So many errors are remembered, so that each is reported once."""


@dataclass(slots=True)
class _Queue:
    """What is known of a queue."""

    share: int = SHARE_FIRST
    """How many messages are taken at once: fewer if they are large."""
    largest_bytes: int = 0
    """The size of the largest one in the last look."""
    held_since: float | None = None
    """Since when there is no memory for another message of that size."""
    next_turn: float = 0.0
    """When the next refused message may be tried again."""
    slow_until: float = 0.0
    """Until then it is looked at apart from the others."""
    slow_looks: int = 0
    """How often it has kept the others waiting lately."""

    @property
    def is_slow(self) -> bool:
        """Whether it is looked at apart from the others now."""
        return monotonic() < self.slow_until

    def note_slow(self) -> None:
        """It has kept the others waiting, which must become rare."""
        now = monotonic()
        self.slow_looks = 1 if now - self.slow_until > SLOW.backoff_max_s else self.slow_looks + 1
        # guard: slow-queues-looked-at-with-others = now
        self.slow_until = now + SLOW.wait_s(self.slow_looks)

    def note_refusal(self) -> None:
        """Count another refusal."""
        self.next_turn = max(self.next_turn, monotonic()) + 1 / TRIES_A_SECOND

    def learn(self, messages: int, largest_bytes: int, took_s: float) -> None:
        """Adapt to how a look went."""
        if took_s > LOOK_AIM_S:
            self.share = max(1, int(messages * LOOK_AIM_S / took_s))
        elif messages >= self.share:
            self.share *= 2
        self.largest_bytes = largest_bytes
        self.held_since = None


@dataclass(frozen=True, slots=True)
class _Taking:
    """What the messages of a queue start."""

    queue: str
    function: str
    version: str | None
    timeout_s: float | None
    slow: bool

    def limit_s(self, messages: int) -> float:
        """How long taking so many messages may take."""
        return LONE_LOOK_LIMIT_S if self.slow and messages == 1 else LOOK_LIMIT_S


class Consumer:
    """Background loops over all queues that workflows of the catalog consume. Without any they ask nothing.

    One loop looks at the queues. Those that were slow lately have another loop, so that only slow queues wait
    for them. If a look is given up after its commit, this instance owns workflows that it doesn't know, and
    releases them.
    """

    def __init__(
        self,
        store: MessageQueueStore,
        catalog: Catalog,
        lease: Lease,
        room: Callable[[], int],
        budget: Budget,
        used: Callable[[int], int],
        load: Callable[[list[ClaimedWorkflow], int], None],
        queued: Callable[[], None],
        observe: Observer,
    ) -> None:
        self._queued = queued
        self._store = store
        self._catalog = catalog
        self._lease = lease
        self._room = room
        self._budget = budget
        self._used = used
        self._load = load
        self._observe = observe
        self._refused: dict[str, tuple[str, float, float]] = {}
        """The queues that aren't consumed: the reported error, the pause, and the end of the pause."""
        self._known: dict[str, _Queue] = {}
        self._told: dict[tuple[str, str], None] = {}
        """The errors for which messages were set aside, by queue."""
        self._under_way: dict[str, tuple[int, int]] = {}
        """Queues that are being looked at: the most messages of the look, and their bytes."""
        self._loop = Loop("queues", self._look_at_others, observe)
        self._slow_loop = Loop("slow queues", self._look_at_slow, observe)
        self.loops = (self._loop, self._slow_loop)

    async def _look_at_others(self) -> float:
        return await self._look_at_all(slow=False)

    async def _look_at_slow(self) -> float | None:
        pause_s = await self._look_at_all(slow=True)
        return pause_s if any(each.is_slow for each in self._known.values()) else None

    async def _look_at_all(self, *, slow: bool) -> float:
        """Look at the slow queues, or at all others; in how many seconds to look again."""
        queues = dict(self._catalog.message_queues())
        self._refused = {queue: told for queue, told in self._refused.items() if queue in queues}
        more = False
        # In random order: the first queues may leave no room for the others.
        for queue, functions in random.sample(list(queues.items()), len(queues)):
            known = self._known.setdefault(queue, _Queue())
            if known.is_slow == slow and queue not in self._under_way and self._is_due(queue):
                more = await self._look(queue, functions, known, slow=slow) or more
        return 0.0 if more else LOOK_S * random.uniform(0.8, 1.0)

    def _is_due(self, queue: str) -> bool:
        return queue not in self._refused or monotonic() >= self._refused[queue][2]

    async def _look(self, queue: str, functions: Sequence[str], known: _Queue, *, slow: bool) -> bool:
        """Take what there is room for; whether there may be more at once."""
        room = self._room_for(known)
        if room <= 0 or self._loop.closing:
            return False
        if len(functions) > 1:
            both = " and ".join(sorted(functions))
            remedy = "a message starts one workflow: let one of them name the queue"
            self._refuse(queue, f"{both} both consume it", remedy)
            return False
        taking, began = self._taking(queue, *functions, slow=slow), monotonic()
        self._under_way[queue] = room, room * known.largest_bytes
        try:
            count, largest_bytes = await self._take_some(taking, room)
        except QueueUnusable as reason:
            self._refuse(queue, str(reason), reason.remedy)
            return False
        except TimeoutError:
            if slow and room == 1:
                # guard: one-slow-message-stops-its-queue = False
                return await self._set_front_aside(queue)
            known.share = 1  # they may be large: one by one they get through
            if not slow:
                self._part(known)
            return slow
        finally:
            del self._under_way[queue]
        known.learn(count, largest_bytes, monotonic() - began)
        if self._refused.pop(queue, None) is not None:
            self._observe(QueueConsumed(queue))
        return count == room

    def _part(self, known: _Queue) -> None:
        """Leave this queue to the slow queues' loop for a while."""
        known.note_slow()
        self._slow_loop.wake()

    def _taking(self, queue: str, function: str, *, slow: bool) -> _Taking:
        definition = self._catalog.workflow(function)
        timeout_s = None if definition is None else definition.timeout_s
        declared = None if definition is None else definition.version
        version = row_version(declared, self._catalog.version(function))
        return _Taking(queue, function, version, timeout_s, slow)

    async def _take_some(self, taking: _Taking, room: int) -> tuple[int, int]:
        """Take messages: all at once, or in parts if that is refused.

        Returns how many left the queue's front, and the size of the largest workflow.
        """
        try:
            workflows = await self._take(taking, room)
        # guard: one-message-stops-its-queue
        except MessageRefused:
            return await self._take_in_parts(taking, room)
        return len(workflows), max((each.load_bytes for each in workflows), default=0)

    async def _take_in_parts(self, taking: _Taking, room: int) -> tuple[int, int]:
        """Like `_take_some`: first the front message, then twice as many each time, until that is refused.

        A message that is refused alone is set aside; the others go on.
        """
        began, count, largest_bytes, part = monotonic(), 0, 0, 1
        while count < room and not self._loop.closing and monotonic() - began < LOOK_AIM_S:
            taken = await self._take_part(taking, part)
            if taken is None:
                part = 1
                continue
            if not taken.workflows and taken.aside is None:
                break
            count += len(taken.workflows) or 1
            largest_bytes = max([largest_bytes, *(each.load_bytes for each in taken.workflows)])
            # Waiting for a lock takes time. Only a slow queue keeps no other waiting.
            # guard: locked-messages-tried-one-a-look = taken.aside is not None and taken.aside.held
            if taken.aside is not None and taken.aside.held and not taking.slow:
                self._part(self._known[taking.queue])
                break
            part = 1 if taken.aside is not None else min(2 * part, room - count)
        return count, largest_bytes

    async def _take_part(self, taking: _Taking, part: int) -> Consumed | None:
        """The outcome of so many messages; None if they were refused, perhaps because of one of them."""
        if part == 1:
            return await self._take_front(taking)
        try:
            return Consumed(await self._take(taking, part), wait=False)
        except MessageRefused:
            return None

    async def _take(self, taking: _Taking, room: int) -> list[ClaimedWorkflow]:
        # The term before the look: a workflow inserted in another term may belong to another instance by now.
        term = self._lease.term
        async with asyncio.timeout(taking.limit_s(room)):
            consumed = await self._store.consume(
                taking.queue, taking.function, room, taking.version, taking.timeout_s
            )
        return self._begin(taking, consumed, term)

    async def _take_front(self, taking: _Taking) -> Consumed:
        """The outcome of the front message."""
        term, known = self._lease.term, self._known[taking.queue]
        turn_s = known.next_turn - monotonic()
        async with asyncio.timeout(taking.limit_s(1)):
            consumed = await self._store.consume_front(
                taking.queue, taking.function, taking.version, taking.timeout_s, turn_s
            )
        if consumed.aside is not None:
            known.note_refusal()
            self._tell_aside(taking.queue, consumed.aside)
        self._begin(taking, consumed, term)
        return consumed

    def _begin(self, taking: _Taking, consumed: Consumed, term: int) -> list[ClaimedWorkflow]:
        """Run the workflows of the messages, or let them wait in their queue."""
        workflows = consumed.workflows
        if consumed.wait:
            self._queued()
        elif workflows:
            for each in workflows:
                self._observe(WorkflowStarted(each.workflow_id, taking.function, "queue"))
            ids = tuple(each.workflow_id for each in workflows)
            self._observe(WorkflowsClaimed(ids, begun=ids))
            self._load(workflows, term)
        return workflows

    async def _set_front_aside(self, queue: str) -> bool:
        """Taking one message takes too long, because of it or in general. Returns whether others go on."""
        error = f"it didn't answer within {LONE_LOOK_LIMIT_S:g} s"
        remedy = f"see in pg_stat_activity what holds up pgmq.q_{queue}"
        try:
            async with asyncio.timeout(LOOK_LIMIT_S):
                aside = await self._store.set_front_aside(queue, error, remedy)
        except (QueueUnusable, TimeoutError):
            self._refuse(queue, error, remedy)
            return False
        if aside is not None:
            self._tell_aside(queue, aside)
        return aside is not None

    def _tell_aside(self, queue: str, aside: SetAside) -> None:
        """Report the message, but only once for each error: a trigger may refuse all messages.

        A lock that another transaction holds for a moment isn't reported.
        """
        known = queue, aside.error
        # guard: each-refused-message-told = False
        if known in self._told or not aside.is_news:
            return
        self._observe(MessageSetAside(queue, aside.message_id, aside.error, aside.remedy))
        self._told[known] = None
        for each in list(self._told)[:-TOLD_MAX]:
            del self._told[each]

    def _room_for(self, known: _Queue) -> int:
        """How many messages there is room and memory for, if they are as large as the last ones."""
        # guard: looks-beside-each-other-overfill = []
        others = list(self._under_way.values())
        room = min(self._room() - sum(messages for messages, _ in others), known.share)
        each = known.largest_bytes
        used = self._used(each) + sum(size for _, size in others)
        # guard: messages-without-budget = True
        if self._budget.fits(used, each):
            known.held_since = None
            return min(room, max(1, self._budget.left(used) // each)) if each else room
        now = monotonic()
        known.held_since = known.held_since or now
        return min(room, 1) if now - known.held_since > PATIENCE_S else 0

    def _refuse(self, queue: str, error: str, remedy: str) -> None:
        """Report the error once, and look again with growing pauses."""
        told, pause_s, _ = self._refused.get(queue, ("", RETRY_MIN_S / 2, 0.0))
        pause_s = min(RETRY_MAX_S, 2 * pause_s)
        self._refused[queue] = (error, pause_s, monotonic() + pause_s * random.uniform(0.8, 1.0))
        if error != told:
            self._observe(QueueRefused(queue, error, remedy))
