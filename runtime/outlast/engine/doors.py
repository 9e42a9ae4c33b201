"""Doors of queues with rules for entering: calls of one instance that wait at a door enter together."""

from __future__ import annotations

import asyncio
import contextvars
import secrets
from dataclasses import dataclass

from outlast.core.ports import QueueStore, Unreachable
from outlast.core.records import Entered, NewWorkflow

TOGETHER_MAX = 100
TOGETHER_BYTES_MAX = 1_000_000
"""At most so many calls, of so many bytes, enter in one commit. Later calls wait for that commit."""


class Doors:
    """Groups the calls at each door. With a commit for each call only a few hundred a second could enter."""

    def __init__(self, queues: QueueStore, wait_s: float) -> None:
        """A commit that takes longer than `wait_s` is given up. It is then unknown whether it was done."""
        self._queues = queues
        self._wait_s = wait_s
        self._waiting: dict[str, list[_Caller]] = {}
        """The waiting calls by queue, in the order in which they came."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def enter(self, new: NewWorkflow) -> Entered:
        """The outcome at the door. Raises as QueueStore.enqueue. A cancelled call may have entered."""
        assert new.queue is not None
        caller = _Caller(new, asyncio.get_running_loop().create_future())
        if (waiting := self._waiting.get(new.queue)) is not None:
            waiting.append(caller)
        else:
            self._waiting[new.queue] = [caller]
            # The task serves all waiting calls, so it must outlive the call that began it.
            task = asyncio.create_task(self._let_in(new.queue), context=contextvars.Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await caller.entered

    async def close(self) -> None:
        """Give up the calls that still wait."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _let_in(self, queue: str) -> None:
        waiting = self._waiting[queue]
        together: list[_Caller] = []
        try:
            while waiting:
                if not (together := _next_of(waiting)):
                    continue
                try:
                    await self._enter(together)
                except Unreachable as error:
                    # Calls that came in the meantime would fail in the same way, each after the same wait.
                    # guard: each-waits-at-a-held-door = together
                    gone = [*together, *waiting]
                    del waiting[: len(gone) - len(together)]
                    _refuse(gone, error)
        finally:
            del self._waiting[queue]
            _refuse([*together, *waiting], Unreachable("this instance shuts down"))

    async def _enter(self, callers: list[_Caller]) -> None:
        """Let all of them in together, or each alone if one is refused. Raises Unreachable."""
        try:
            # guard: doors-waited-for-without-end
            async with asyncio.timeout(self._wait_s):
                entered = await self._queues.enqueue([each.new for each in callers], secrets.randbits(62))
        except TimeoutError:
            raise Unreachable(f"it took longer than {self._wait_s:g} s") from None
        except Unreachable:
            raise
        except Exception as error:  # noqa: BLE001 - the call that causes it meets it again alone
            # guard: one-call-refuses-all = True
            if len(callers) == 1:
                _refuse(callers, error)
                return
            for each in callers:
                await self._enter([each])
            return
        for caller, how in zip(callers, entered, strict=True):
            if not caller.entered.done():
                caller.entered.set_result(how)


@dataclass(eq=False, slots=True)
class _Caller:
    new: NewWorkflow
    entered: asyncio.Future[Entered]


def _next_of(waiting: list[_Caller]) -> list[_Caller]:
    """Take the first calls, but no workflow twice: its second call must see the first one's row."""
    ids: set[str] = set()
    size = taken = 0
    for each in waiting[:TOGETHER_MAX]:
        size += each.new.load_bytes
        # guard: one-call-enters-twice = ids and size > TOGETHER_BYTES_MAX
        if each.new.workflow_id in ids or (ids and size > TOGETHER_BYTES_MAX):
            break
        ids.add(each.new.workflow_id)
        taken += 1
    together = [each for each in waiting[:taken] if not each.entered.done()]
    del waiting[:taken]
    return together


def _refuse(callers: list[_Caller], error: Exception) -> None:
    for each in callers:
        if not each.entered.done():
            each.entered.set_exception(error)
