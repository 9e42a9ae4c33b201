"""Those who come beside a call: one answers a workflow by its link, another watches its events."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from tests.torture.asking import Http
from tests.torture.fleet import Slot
from tests.torture.oracles.violations import Violations
from tests.torture.server import Server
from tests.torture.workload import Order

PATIENCE_S = 30.0
"""So long one tries."""
_LINES_MAX = 14
"""At most so many are read before a watcher loses its connection and comes again."""
_NO_MORE = frozenset({"callback_used", "callback_over", "callback_expired"})
_STORED = """
select w.workflow_id, w.status, w.output ->> 'answer' as answer,
  array(select m.message #>> '{}' from outlast.messages m where m.workflow_id = w.workflow_id) as messages
from outlast.workflow_status w where w.workflow_id = any(%(ids)s)
"""
_Found = TypeVar("_Found")


class Visitors:
    """All of them. `any_host` gives one that is up, and raises httpx.ConnectError if there is none."""

    def __init__(self, http: Http, any_host: Callable[[], Slot], violations: Violations, seed: str) -> None:
        self.checks = 0
        self.taken: dict[str, list[str]] = {}
        """By workflow: the answers that a host said it had."""
        self._http = http
        self._any_host = any_host
        self._violations = violations
        self._rng = random.Random(f"visitors {seed}")

    async def visit(self, order: Order) -> None:
        """What workflows of this kind are visited for, while others call them."""
        if order.kind == "asked":
            await self._answer(order)
        elif order.kind == "teller":
            await self._watch(order)

    async def look_at_all(self, server: Server) -> None:
        """Check every link that took an answer: it took one, which is there, and no other was received."""
        for row in await server.rows(_STORED, {"ids": sorted(self.taken)}):
            self.checks += 1
            if wrong := wrong_of(self.taken[row["workflow_id"]], row):
                self._violations.add(wrong, row["workflow_id"], f"{self.taken[row['workflow_id']]}, {row}")

    async def _answer(self, order: Order) -> None:
        """Send different answers by the same link, at the same time."""
        link = await self._until(lambda: self._find_link(order))
        if link is not None:
            given = [f"{order.key}-{number}" for number in range(self._rng.randint(1, 3))]
            taken = await asyncio.gather(*(self._give(order, link, each) for each in given))
            self.taken[order.workflow_id] = [each for each, was in zip(given, taken, strict=True) if was]

    async def _find_link(self, order: Order) -> str | None:
        events = await self._events(order, "?event=link")
        return urlsplit(events[0]["value"]).path if events else None

    async def _give(self, order: Order, link: str, answer: str) -> bool:
        """Whether it was taken. The same answer is sent again until that is known."""

        async def post() -> bool | None:
            response = await self._http.ask("POST", f"{self._any_host().address}{link}", json=answer)
            status = response.status_code
            if status == 202:
                return True
            if response.json()["code"] in _NO_MORE:
                return False
            if status >= 500 or status == 429:
                return None
            seen = f"{status} {response.text[:300]}"
            self._violations.add("a good link was refused", order.workflow_id, seen)
            return False

        return bool(await self._until(post))

    async def _watch(self, order: Order) -> None:
        """Follow a workflow's events to its end over connections that break, then ask for all of them."""
        heard: list[str] = []
        if await self._until(lambda: self._hear(order, heard)):
            stored = await self._until(lambda: self._events(order))
            self.checks += 1
            if stored is not None and heard != [str(each["number"]) for each in stored]:
                seen = f"heard {heard}, there are {stored}"
                self._violations.add("a watcher missed an event, or got it twice", order.workflow_id, seen)

    async def _hear(self, order: Order, heard: list[str]) -> bool | None:
        """Add the ids of what comes to `heard`; True once the stream has told of the workflow's end."""
        headers = {"accept": "text/event-stream", **({"last-event-id": heard[-1]} if heard else {})}
        left = self._rng.randint(1, _LINES_MAX)
        async with aclosing(self._http.lines(self._address(order, "/events"), headers)) as lines:
            async for line in lines:
                if line.startswith("id:"):
                    heard.append(line.removeprefix("id:").strip())
                if line == "event: end":
                    return True
                left -= 1
                if left <= 0 and not line:
                    break
        return None

    async def _events(self, order: Order, which: str = "") -> list[dict[str, Any]] | None:
        response = await self._http.ask("GET", self._address(order, f"/events{which}"))
        return response.json()["events"] if response.status_code == 200 else None

    def _address(self, order: Order, rest: str) -> str:
        return f"{self._any_host().address}/workflows/v1/{order.quoted_id}{rest}"

    async def _until(self, attempt: Callable[[], Awaitable[_Found | None]]) -> _Found | None:
        """What an attempt comes to, made again until it is something; None after a while."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_S
        while loop.time() < deadline:
            try:
                if found := await attempt():
                    return found
            except (httpx.TransportError, ValueError, KeyError):  # nobody there; an answer that was cut off
                pass
            await asyncio.sleep(self._rng.uniform(0.05, 0.3))
        return None


def wrong_of(taken: list[str], row: dict[str, Any]) -> str | None:
    """What is wrong with a link by which these answers were taken, as its workflow is stored."""
    messages = row["messages"]
    if len(taken) > 1 or len(messages) > 1:
        return "a link was used twice"
    if not set(taken) <= set(messages):
        return "an answer that was taken is lost"
    if row["status"] == "SUCCESS" and row["answer"] is not None and row["answer"] not in messages:
        return "an answer was received that nobody gave"
    return None
