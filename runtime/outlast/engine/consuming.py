"""Supabase Queues: this instance takes messages while it has room for their workflows."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress

from outlast.core.clock import monotonic
from outlast.core.observations import LoopFailed, Observer, QueueConsumed, QueueRefused, WorkflowsClaimed
from outlast.core.ports import Catalog, QueueStore, QueueUnusable, Unreachable
from outlast.core.records import ClaimedWorkflow
from outlast.engine.lease import Lease
from outlast.engine.settling import end_tasks

LOOK_S = 0.5
LOOK_LIMIT_S = 10.0
"""So long a look at one queue may take, whatever it is that holds it up. On locks the store waits less."""

SHARE_MAX = 16
"""Messages of one look while none of a queue is known, or they are small: their size is seen afterwards."""

RETRY_MIN_S, RETRY_MAX_S = 1.0, 30.0
LAST_ROUND_S = 1.0


class Consumer:
    """One loop over all queues that workflows of the catalog consume. Without any it asks nothing."""

    def __init__(
        self,
        store: QueueStore,
        catalog: Catalog,
        lease: Lease,
        room: Callable[[], int],
        bytes_left: Callable[[], int],
        load: Callable[[list[ClaimedWorkflow], int], None],
        observe: Observer,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._lease = lease
        self._room = room
        self._bytes_left = bytes_left
        self._load = load
        self._observe = observe
        self._refused: dict[str, tuple[str, float, float]] = {}
        """Of queues that aren't consumed: what was told of it, how long to wait, until when."""
        self._shares: dict[str, int] = {}
        """How many messages of a queue are taken at once: fewer where they are large."""
        self._leaving = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Start the loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="outlast-queues")

    async def close(self) -> None:
        """Stop it. What it has taken runs, or will be found without an owner."""
        self._leaving.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=LAST_ROUND_S)
            await end_tasks([self._task])

    async def _run(self) -> None:
        while not self._leaving.is_set():
            more = False
            try:
                queues = dict(self._catalog.queues())
                self._refused = {queue: told for queue, told in self._refused.items() if queue in queues}
                # In any order: the first may leave no room to those after it.
                for queue, functions in random.sample(list(queues.items()), len(queues)):
                    if self._is_due(queue):
                        more = await self._look(queue, functions) or more
            except Exception as error:  # noqa: BLE001 - the loop must go on; it says what happened
                if not isinstance(error, Unreachable):  # others tell of that
                    self._observe(LoopFailed("queues", repr(error)))
                more = False
            await self._pause(0 if more else LOOK_S * random.uniform(0.8, 1.0))

    async def _pause(self, pause_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._leaving.wait()

    def _is_due(self, queue: str) -> bool:
        return queue not in self._refused or monotonic() >= self._refused[queue][2]

    async def _look(self, queue: str, functions: Sequence[str]) -> bool:
        """Take what there is room for; whether there may be more at once."""
        room = min(self._room(), self._shares.get(queue, SHARE_MAX))
        if room <= 0 or self._bytes_left() <= 0 or self._leaving.is_set():
            return False
        if len(functions) > 1:
            both = " and ".join(sorted(functions))
            remedy = "a message starts one workflow: let one of them name the queue"
            self._refuse(queue, f"{both} both consume it", remedy)
            return False
        (function,) = functions
        # As it stood before: what is inserted in another stretch of the lease may be somebody else's by now.
        stretch = self._lease.stretch
        try:
            async with asyncio.timeout(LOOK_LIMIT_S):
                workflows = await self._store.consume(queue, function, room)
                self._learn(queue, room, workflows)
        except QueueUnusable as reason:
            self._refuse(queue, str(reason), reason.remedy)
            return False
        except TimeoutError:
            if room > 1:  # they may be large: one by one they get through
                self._shares[queue] = 1
                return True
            error = f"it didn't answer within {LOOK_LIMIT_S:g} s"
            self._refuse(queue, error, f"see in pg_stat_activity what holds up pgmq.q_{queue}")
            return False
        if self._refused.pop(queue, None) is not None:
            self._observe(QueueConsumed(queue))
        if workflows:
            self._observe(WorkflowsClaimed(tuple(each.workflow_id for each in workflows)))
            self._load(workflows, stretch)
        return len(workflows) == room

    def _learn(self, queue: str, room: int, workflows: Sequence[ClaimedWorkflow]) -> None:
        """Take as many the next time as there is memory for, if they are like these."""
        largest = max((each.load_bytes for each in workflows), default=0)
        fitting = self._bytes_left() // largest if largest else SHARE_MAX
        self._shares[queue] = max(1, min(SHARE_MAX, 2 * room, fitting))

    def _refuse(self, queue: str, error: str, remedy: str) -> None:
        """Tell of it once, and look again ever more seldom."""
        told, pause_s, _ = self._refused.get(queue, ("", RETRY_MIN_S / 2, 0.0))
        pause_s = min(RETRY_MAX_S, 2 * pause_s)
        self._refused[queue] = (error, pause_s, monotonic() + pause_s * random.uniform(0.8, 1.0))
        if error != told:
            self._observe(QueueRefused(queue, error, remedy))
