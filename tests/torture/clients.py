"""Clients as good ones are: each call has a key, and is made again with it until it is answered for good."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx

from tests.torture.asking import Http
from tests.torture.fleet import Fleet, Slot
from tests.torture.oracles.violations import Violations
from tests.torture.visitors import Visitors
from tests.torture.workload import Order, Orders

PATIENCE_S = 90.0
"""So long a client tries one call."""

_REMEMBERED = 4_000
_ASK_AT_ONCE = 32
_CATCH_UP_S = 3.0
"""So much of what wasn't begun in time is begun later."""
_ENDED = frozenset({"workflow_error", "workflow_cancelled"})
"""Codes of problems that are a workflow's own end. All other problems are the host's, and pass."""


@dataclass(frozen=True)
class Answer:
    """What a client was told for good."""

    status: int
    body: bytes


class Told:
    """All answers: the first of each workflow, which every later one has to equal."""

    def __init__(self, violations: Violations) -> None:
        self.answers: dict[str, Answer] = {}
        self.accepted: set[str] = set()
        self.counts: Counter[str] = Counter()
        self._violations = violations

    def final(self, workflow_id: str, answer: Answer, where: str) -> None:
        """A final answer came."""
        self.counts["answers"] += 1
        self.accepted.add(workflow_id)
        first = self.answers.setdefault(workflow_id, answer)
        if first != answer:
            self._violations.add(
                "a returned result changed",
                workflow_id,
                f"first {first.status} {first.body[:500]!r}, {where} {answer.status} {answer.body[:500]!r}",
            )


class Clients:
    """Many clients at once, at a pace."""

    def __init__(self, fleet: Fleet, orders: Orders, told: Told, violations: Violations, seed: str) -> None:
        self.told = told
        self._fleet = fleet
        self._orders = orders
        self._violations = violations
        self._rng = random.Random(f"clients {seed}")
        self._old: deque[Order] = deque(maxlen=_REMEMBERED)
        self.all: list[Order] = []
        self._http = Http()
        self.visitors = Visitors(self._http, self._any, violations, seed)
        self._going = True
        self._tasks: set[asyncio.Task[None]] = set()
        self.unanswered: list[Order] = []

    async def work(self, rate: float, at_once: int) -> None:
        """Begin `rate` pieces of work a second, no more than `at_once` at a time, until `finish`."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while self._going:
            due = max(due + 1 / rate, loop.time() - _CATCH_UP_S)
            await asyncio.sleep(max(0.0, due - loop.time()))
            if len(self._tasks) < at_once and self._fleet.up:
                task = loop.create_task(self._piece())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def finish(self, within_s: float) -> None:
        """Begin nothing more; let what is under way end."""
        self._going = False
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_s)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def let_go(self) -> None:
        """Close what connections are kept open, so that those of hosts can be counted."""
        await self._http.let_go()

    async def close(self) -> None:
        """Let connections go."""
        await self._http.close()

    async def _piece(self) -> None:
        """One piece of work, of one of several kinds of client."""
        draw = self._rng.random()
        if draw < 0.15 and self._old:
            await self._plainly(self._rng.choice(self._old))
            return
        order = self._orders.next()
        ways: list[tuple[float, Callable[[Order], Awaitable[None]]]] = [
            (0.62, self._plainly),
            (0.74, self._with_duplicates),
            (0.88, self._asynchronously),
            (0.94, self._impatiently),
            (1.01, self._and_cancel),
        ]
        way = next(way for until, way in ways if draw < until)
        await asyncio.gather(way(order), self.visitors.visit(order))
        self._old.append(order)
        self.all.append(order)

    async def _plainly(self, order: Order) -> None:
        await self._until_answered(order)

    async def _with_duplicates(self, order: Order) -> None:
        """The same key several times at once, at different hosts."""
        await asyncio.gather(*(self._until_answered(order) for _ in range(self._rng.randint(2, 4))))

    async def _impatiently(self, order: Order) -> None:
        """Go away in the midst, and come back."""
        with suppress(httpx.TransportError):
            await self._post(self._any(), order, timeout_s=self._rng.uniform(0.005, 0.1))
        await self._until_answered(order)

    async def _asynchronously(self, order: Order) -> None:
        """Start it, ask how it stands until it has ended, then for the answer."""
        if await self._accepted(order):
            await self._until_ended(order)
        await self._until_answered(order)

    async def _and_cancel(self, order: Order) -> None:
        if await self._accepted(order):
            await asyncio.sleep(self._rng.uniform(0.0, 0.3))
            with suppress(httpx.TransportError):
                await self._http.ask("POST", f"{self._any().address}/workflows/v1/{order.quoted_id}/cancel")
                self.told.counts["cancels"] += 1
        await self._until_answered(order)

    async def _accepted(self, order: Order) -> bool:
        """Start it without waiting; whether a host said that it did."""
        with suppress(httpx.TransportError):
            response = await self._post(self._any(), order, prefer="respond-async")
            return response.status_code in (200, 202)
        return False

    async def _until_ended(self, order: Order) -> None:
        """Wait by looking. One that was accepted must not be unknown."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_S / 2
        while loop.time() < deadline:
            try:
                slot = self._any()
                response = await self._http.ask(
                    "GET", f"{slot.address}/workflows/v1/{order.quoted_id}?wait=3"
                )
            except httpx.TransportError:
                await self._pause()
                continue
            if response.status_code == 404:
                self._violations.add("an accepted workflow is unknown", order.workflow_id, slot.name)
                return
            if response.status_code == 200 and response.json()["status"] not in ("PENDING", "ENQUEUED"):
                return
            await self._pause()

    async def _until_answered(self, order: Order) -> None:
        """Call again and again, with the same key, wherever there is a host."""
        try:
            answered = await self._answered(order)
        except asyncio.CancelledError:  # at the end all are healed, and there was time enough
            self.unanswered.append(order)
            raise
        if not answered:
            self.unanswered.append(order)

    async def _answered(self, order: Order) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_S
        while loop.time() < deadline:
            try:
                slot = self._any()
                response = await self._post(slot, order)
            except httpx.TransportError:
                self.told.counts["lost calls"] += 1
            else:
                if self._is_final(order, response):
                    self.told.final(
                        order.workflow_id, Answer(response.status_code, response.content), slot.name
                    )
                    return True
            self.told.counts["retries"] += 1
            await self._pause()
        return False

    async def ask_all_again(self, within_s: float) -> int:
        """Ask for the answer of every key once more, or as many as there is time for; how many were asked."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        left = iter(self._rng.sample(self.all, len(self.all)))
        asked = 0

        async def ask() -> None:
            nonlocal asked
            for order in left:
                if loop.time() > deadline:
                    return
                await self._until_answered(order)
                asked += 1

        await asyncio.gather(*(ask() for _ in range(_ASK_AT_ONCE)))
        return asked

    async def _post(
        self, slot: Slot, order: Order, *, prefer: str = "", timeout_s: float | None = None
    ) -> httpx.Response:
        self.told.counts["calls"] += 1
        headers = {"idempotency-key": order.key, **({"prefer": prefer} if prefer else {})}
        options: dict[str, Any] = {} if timeout_s is None else {"timeout": timeout_s}
        url = f"{slot.address}/functions/v1/{order.function}"
        response = await self._http.ask("POST", url, json=order.body, headers=headers, **options)
        if response.status_code in (200, 202):
            self.told.accepted.add(order.workflow_id)
        return response

    def _is_final(self, order: Order, response: httpx.Response) -> bool:
        """Whether the answer is the workflow's, not the host's."""
        status = response.status_code
        if status == 200:
            return True
        if status == 202:
            return False
        code = _code(response)
        self.told.counts[f"{status} {code}"] += 1
        if code in _ENDED:
            return True
        if status < 500 and status != 429:
            self._violations.add(
                "a good call was refused", order.workflow_id, f"{status} {response.text[:300]}"
            )
        elif code not in ("overloaded", "shutting_down", "database_unavailable", "BOOT_ERROR"):
            self._violations.add(
                "a host failed to answer", order.workflow_id, f"{status} {response.text[:300]}"
            )
        return False

    def _any(self) -> Slot:
        up = self._fleet.up
        if not up:
            raise httpx.ConnectError("no host is up")
        return self._rng.choice(up)

    async def _pause(self) -> None:
        await asyncio.sleep(self._rng.uniform(0.05, 0.5))


def _code(response: httpx.Response) -> str:
    try:
        return str(response.json()["code"])
    except (ValueError, KeyError, TypeError):
        return "?"
