"""Places under limits of steps: one loop that gives places back and wakes those who wait for one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence

from outlast.core.background import Loop
from outlast.core.observations import LoopFailed, Observer
from outlast.core.ports import QueueStore, Unreachable
from outlast.core.records import LimitUse


class Limits:
    """Wakes the one that waits longest. A workflow in another instance's memory asks again by itself."""

    def __init__(
        self,
        store: QueueStore,
        instance_id: str,
        ask_again: Callable[[str], None],
        due: Callable[[], None],
        observe: Observer,
    ) -> None:
        """`ask_again` makes a workflow here ask for its place. `due` is called if others became claimable."""
        self._store = store
        self._instance_id = instance_id
        self._ask_again = ask_again
        self._due = due
        self._observe = observe
        self._given_up: list[LimitUse] = []
        self._freed: set[str] = set()
        self._told: dict[str, str] = {}
        """The last reported error of each limit that can't be asked."""
        self.loop = Loop("limits", self._free, observe)

    def leave(self, use: LimitUse) -> None:
        """A call that had this place, or waited for it, was given up and has ended."""
        self._given_up.append(use)
        self._free_soon(use.name)

    def free_when(self, write: asyncio.Future[bool], name: str) -> None:
        """A place under this limit is free once the write is done."""
        write.add_done_callback(lambda _: self._free_soon(name))

    def answered(self, name: str) -> None:
        """This limit has answered a request for a place."""
        self._told.pop(name, None)

    def failed(self, name: str, error: Exception) -> None:
        """Report once that this limit can't be asked, for a reason of its own. Its calls ask again."""
        text = str(error).partition("\n")[0]  # the later lines, with the place in a function, may differ
        if self._told.get(name) != text:
            self._told[name] = text
            self._observe(LoopFailed(f"limit {name}", repr(error)))

    def _free_soon(self, name: str) -> None:
        self._freed.add(name)
        self.loop.wake()

    async def _free(self) -> float | None:
        given_up, self._given_up = self._given_up, []
        names, self._freed = self._freed, set()
        if not names:
            return None
        try:
            await self._give_back(given_up, names)
        # For any error: the places that were given up are known only here.
        except BaseException:
            self._given_up = given_up + self._given_up
            self._freed |= names
            raise
        return None

    async def _give_back(self, given_up: list[LimitUse], names: set[str]) -> None:
        try:
            await self._wake(given_up, names)
        except Unreachable:
            raise
        # guard: one-limit-stops-all
        except Exception:  # noqa: BLE001 - each limit is tried alone, and fails again alone
            await self._wake(given_up, ())
            for name in names:
                try:
                    await self._wake((), (name,))
                except Unreachable:
                    raise
                except Exception as error:  # noqa: BLE001 - an error of one limit: the others go on
                    self.failed(name, error)

    async def _wake(self, given_up: Sequence[LimitUse], names: Collection[str]) -> None:
        freed = await self._store.free_limits(self._instance_id, given_up, sorted(names))
        for workflow_id in freed.here:
            self._ask_again(workflow_id)
        if freed.due:
            self._due()
