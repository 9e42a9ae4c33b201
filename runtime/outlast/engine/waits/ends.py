"""Waiting for workflows to end: woken in process if they run here, otherwise by one query for all waits.

The query comes soon at first, and less often the longer a wait lasts.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable

from outlast.core.background import Loop
from outlast.core.clock import monotonic
from outlast.core.errors import OutlastError, WorkflowNotFound
from outlast.core.observations import Observer
from outlast.core.ports import Unreachable, WorkflowStore
from outlast.core.records import WorkflowState
from outlast.core.retry import RetryPolicy
from outlast.engine.concurrency import Patience

LOOK_MIN_S = 0.02
LOOK_MAX_S = 2.0
LATE_MAX = 1 / 8
"""The delay in seeing an end, as a part of the length of the wait. The bounds above limit it."""


class Looks:
    """When to look at each workflow. All times are readings of `monotonic`.

    A look that is due takes along all workflows that have waited half of their pause. So long waits soon
    share one query, whenever they began.
    """

    def __init__(self) -> None:
        self._began: dict[str, float] = {}
        self._looked: dict[str, float] = {}

    def begin(self, workflow_id: str, now: float) -> None:
        """A wait for it begins, or it has just left this instance: it is due at once."""
        self._began[workflow_id] = now
        self._looked.pop(workflow_id, None)

    def again(self, workflow_ids: Iterable[str]) -> None:
        """The look at these had no answer: they are due again at once."""
        for each in workflow_ids:
            self._looked.pop(each, None)

    def forget(self, workflow_id: str) -> None:
        """Nobody waits for it any more."""
        self._began.pop(workflow_id, None)
        self._looked.pop(workflow_id, None)

    def take_due(self, workflow_ids: Iterable[str], now: float) -> list[str]:
        """Take the workflows that are due. They count as looked at now."""
        due = [each for each in workflow_ids if self._due_at(each, 0.5) <= now]
        self._looked |= dict.fromkeys(due, now)
        return due

    def pause_s(self, workflow_ids: Iterable[str], now: float) -> float:
        """The time until the first of these is due. There must be one."""
        return max(0.0, min(self._due_at(each, 1.0) for each in workflow_ids) - now)

    def _due_at(self, workflow_id: str, part: float) -> float:
        """When it is due, if it waits only this part of its pause."""
        looked = self._looked.get(workflow_id)
        if looked is None:
            return 0.0
        lasted_s = looked - self._began[workflow_id]
        return looked + part * min(LOOK_MAX_S, max(LOOK_MIN_S, lasted_s * LATE_MAX))


LOOK_RETRY = RetryPolicy(backoff_s=LOOK_MIN_S, backoff_max_s=LOOK_MIN_S)

EXISTS_S = 1.0
"""How often a poll asks for all states, not only for ends: it then sees that a row was removed."""


class Waits:
    """The waits, and two background loops. `runs_here` says which workflows need no polling."""

    def __init__(self, store: WorkflowStore, runs_here: Callable[[str], bool], observe: Observer) -> None:
        self._store = store
        self._runs_here = runs_here
        self._waiters: defaultdict[str, dict[asyncio.Future[WorkflowState | None], int]] = defaultdict(dict)
        """The waiters by workflow id, each with its number among all waits that ever began."""
        self._begun = 0
        self._told_of_holds: set[asyncio.Future[WorkflowState | None]] = set()
        """The waiters that also want to know that the workflow is held."""
        self._patience = Patience()
        self._elsewhere = Looks()
        self._looks: dict[str, asyncio.Future[WorkflowState | None]] = {}
        self._looks_sent: dict[str, asyncio.Future[WorkflowState | None]] = {}
        self._exist_at_s = 0.0
        self._polling = Loop("polls", self._poll, observe)
        self._looking = Loop("looks", self._look_all, observe, retry=LOOK_RETRY, repeats=False)
        self.loops = (self._polling, self._looking)

    async def close(self, reason: OutlastError) -> None:
        """Stop polling. Those who still wait for a look get `reason`."""
        for loop in self.loops:
            await loop.close()
        _refuse([*self._looks.values(), *self._looks_sent.values()], reason)

    @property
    def failing(self) -> bool:
        """Whether the last poll failed."""
        return self._polling.failing

    async def wait(
        self, workflow_id: str, timeout_s: float | None, *, or_held: bool = False
    ) -> WorkflowState | None:
        """The state of the workflow once it has ended; None after `timeout_s`. Raises what `fail` was given.

        With `or_held` also its state as soon as it is held.
        """
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[WorkflowState | None] = loop.create_future()
        self._begun += 1
        self._waiters[workflow_id][waiter] = self._begun
        if or_held:
            self._told_of_holds.add(waiter)
        self._elsewhere.begin(workflow_id, monotonic())
        if not self._runs_here(workflow_id):
            # It may have ended just before: the first poll comes at once.
            self._polling.wake()
        if timeout_s is not None:
            self._patience.begin(waiter, timeout_s)
        try:
            return await waiter
        finally:
            if timeout_s is not None:
                self._patience.end(waiter, timeout_s)
            self._told_of_holds.discard(waiter)
            waiters = self._waiters.get(workflow_id)
            if waiters is not None:
                waiters.pop(waiter, None)
                if not waiters:
                    del self._waiters[workflow_id]
                    self._elsewhere.forget(workflow_id)

    async def look(self, workflow_id: str) -> WorkflowState | None:
        """The current state of the workflow. Simultaneous calls share a query. Raises Unreachable."""
        look = self._looks.get(workflow_id)
        if look is None:
            look = self._looks[workflow_id] = asyncio.get_running_loop().create_future()
            self._looking.wake()
        return await asyncio.shield(look)

    @property
    def begun(self) -> int:
        """The number of the last wait that has begun."""
        return self._begun

    def ended(self, state: WorkflowState, begun: int) -> None:
        """A workflow's end is durable: wake the waits up to number `begun`, which was read before the end.

        The workflow may have been retried since. A later wait may be for the next end: it is polled.
        """
        for waiter in self._that_waited(state.workflow_id, begun):
            waiter.set_result(state)
        self.moved(state.workflow_id)

    def _held(self, state: WorkflowState, begun: int) -> None:
        """The workflow is held: wake the waits that want to know this."""
        for waiter in self._that_waited(state.workflow_id, begun):
            if waiter in self._told_of_holds:
                waiter.set_result(state)

    def _that_waited(self, workflow_id: str, begun: int) -> list[asyncio.Future[WorkflowState | None]]:
        waiters = self._waiters.get(workflow_id, {})
        # guard: told-of-former-ends = [each for each in waiters if not each.done()]
        return [each for each, place in waiters.items() if place <= begun and not each.done()]

    def moved(self, workflow_id: str) -> None:
        """A workflow doesn't run here now: poll for it, if somebody still waits."""
        if not all(each.done() for each in self._waiters.get(workflow_id, ())):
            self._elsewhere.begin(workflow_id, monotonic())
            self._polling.wake()

    def fail(self, workflow_id: str, error: OutlastError) -> None:
        """Tell all who wait for a workflow that this instance won't see its end."""
        self._fail(workflow_id, error, self._begun)

    def _fail(self, workflow_id: str, error: OutlastError, begun: int) -> None:
        for waiter in self._that_waited(workflow_id, begun):
            waiter.set_exception(error)

    def fail_elsewhere(self, error: OutlastError) -> None:
        """Call `fail` for all workflows that don't run here."""
        for workflow_id in self.that_run_elsewhere():
            self.fail(workflow_id, error)

    def fail_all(self, error: OutlastError) -> None:
        """Call `fail` for all workflows that somebody waits for."""
        for workflow_id in list(self._waiters):
            self.fail(workflow_id, error)

    async def _poll(self) -> float | None:
        due = self._elsewhere.take_due(self.that_run_elsewhere(), monotonic())
        if due:
            try:
                await self._ask(due)
            except BaseException:
                self._elsewhere.again(due)
                raise
        elsewhere = self.that_run_elsewhere()
        return self._elsewhere.pause_s(elsewhere, monotonic()) if elsewhere else None

    async def _ask(self, due: list[str]) -> None:
        """Tell which have ended and, every EXISTS_S, which no longer exist. Raises Unreachable."""
        now_s, begun = monotonic(), self._begun
        whole = now_s >= self._exist_at_s
        if whole:
            self._exist_at_s = now_s + EXISTS_S
        found, cut = await (self._store.states(due) if whole else self._store.ended(due))
        for state in found.values():
            if state.status.ended:
                self.ended(state, begun)
            elif state.held is not None:
                self._held(state, begun)
        missing = [each for each in due if each not in found]
        if cut:
            self._elsewhere.again(missing)
            self._polling.wake()
        elif whole:
            for workflow_id in missing:
                gone = WorkflowNotFound(f"there is no workflow {workflow_id!r} any more")
                self._fail(workflow_id, gone, begun)

    async def _look_all(self) -> None:
        looks, self._looks = self._looks, {}
        self._looks_sent = looks
        try:
            await self._answer(looks)
        except Exception as error:
            known = isinstance(error, Unreachable)
            _refuse(looks.values(), error if known else Unreachable(f"{type(error).__name__}: {error}"))
            raise

    async def _answer(self, looks: dict[str, asyncio.Future[WorkflowState | None]]) -> None:
        while looks:
            found, cut = await self._store.states(list(looks))
            for workflow_id in list(found if cut else looks):
                looks.pop(workflow_id).set_result(found.get(workflow_id))

    def that_run_elsewhere(self) -> list[str]:
        """The workflows that somebody waits for and that don't run here."""
        return [
            each
            for each, waiters in self._waiters.items()
            if not self._runs_here(each) and not all(waiter.done() for waiter in waiters)
        ]


def _refuse(looks: Iterable[asyncio.Future[WorkflowState | None]], error: Exception) -> None:
    for look in looks:
        if not look.done():
            look.set_exception(error)
            look.exception()  # nobody may be waiting any more
