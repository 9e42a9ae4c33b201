"""Faults of the ways to Postgres: the suite's own proxy, and PgBouncer."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Callable

from tests.torture.faults.field import Fault, Field
from tests.torture.fleet import LEASE_S
from tests.torture.proxy import Link

LOOK_S = 0.05


class CutOne(Fault):
    """One connection breaks."""

    name = "connection cut"
    weight = 4

    async def strike(self, field: Field, rng: random.Random) -> bool:
        """See Fault."""
        link = field.proxy.some(rng)
        if link is not None:
            link.cut()
        return link is not None


class CutAll(Fault):
    """All connections of an instance break at once."""

    name = "all connections cut"

    async def strike(self, field: Field, rng: random.Random) -> bool:
        """See Fault."""
        return field.proxy.cut_all() > 0


class _OfAnAnswer(Fault):
    """Links are armed, and the first that meets what it waits for breaks."""

    patience_s = 2.0

    async def _until_cut(self, field: Field, links: list[Link], arm: Callable[[Link], None]) -> bool:
        before = field.proxy.answers_cut
        for link in links:
            arm(link)
        for _ in range(round(self.patience_s / LOOK_S)):
            await asyncio.sleep(LOOK_S)
            if field.proxy.answers_cut > before:
                return True
        return False


class AnswerCut(_OfAnAnswer):
    """A request is done, and its answer never comes: whatever it was."""

    name = "cut before the answer"
    weight = 5

    async def strike(self, field: Field, rng: random.Random) -> bool:
        """See Fault. The link stays armed: its next answer may come later."""
        link = field.proxy.some(rng)
        return link is not None and await self._until_cut(
            field, [link], lambda each: each.cut_after_answer(b"")
        )


class CommitCut(_OfAnAnswer):
    """The same, of a COMMIT. Any connection may be the next that commits: all are armed."""

    name = "cut between COMMIT and its answer"
    weight = 4
    patience_s = 1.0

    async def strike(self, field: Field, rng: random.Random) -> bool:
        """See Fault."""
        links = [link for link in field.proxy.links if not link.armed]
        hit = await self._until_cut(field, links, self._arm)
        for link in links:
            link.disarm()
        return hit

    def _arm(self, link: Link) -> None:
        link.cut_after_answer(b"COMMIT")


class ClaimLost(CommitCut):
    """A claim is done, and its answer never comes: rows that their owner doesn't know."""

    name = "cut before a claim's answer"
    weight = 3
    patience_s = 2.0

    def _arm(self, link: Link) -> None:
        # Only claims answer with the inputs of workflows, and looks at one by management.
        link.cut_instead_of(b'"key"')


class Slow(Fault):
    """Everything takes longer for a moment."""

    name = "slow network"
    weight = 2

    async def strike(self, field: Field, rng: random.Random) -> bool:
        """See Fault."""
        await field.proxy.slow(rng.uniform(0.005, 0.08), rng.uniform(0.5, 1.5))
        return True


class BlackHole(Fault):
    """Nothing arrives, either way, and nobody is told."""

    name = "black hole"
    heavy = True

    async def strike(self, field: Field, rng: random.Random) -> bool:
        """See Fault."""
        await field.proxy.swallow({"up", "down"}, LEASE_S + rng.uniform(-2.0, 2.0))
        return True


class HalfOpen(Fault):
    """One direction is dead: either nothing is asked any more, or all is done and nothing answered."""

    name = "half-open"
    heavy = True
    weight = 2

    async def strike(self, field: Field, rng: random.Random) -> bool:
        """See Fault."""
        await field.proxy.swallow({rng.choice(("up", "down"))}, LEASE_S + rng.uniform(-2.0, 2.0))
        return True


class Late(Fault):
    """What was sent arrives after others have taken over."""

    name = "requests arrive late"
    heavy = True
    weight = 3

    async def strike(self, field: Field, rng: random.Random) -> bool:
        """See Fault."""
        await field.proxy.hold({"up"}, LEASE_S + rng.uniform(0.2, 2.0))
        return True


class Refused(Fault):
    """No new connections, and the old ones break."""

    name = "connections refused"
    heavy = True

    async def strike(self, field: Field, rng: random.Random) -> bool:
        """See Fault."""
        await field.proxy.shut()
        field.proxy.cut_all()
        try:
            await asyncio.sleep(rng.uniform(0.5, LEASE_S + 1.5))
        finally:
            await asyncio.shield(field.proxy.open())
        return True


class _OfThePooler(Fault):
    def missing(self, field: Field) -> str | None:
        """See Fault."""
        return None if field.pooler is not None else "PgBouncer is not installed"


class PoolerReloaded(_OfThePooler):
    """RELOAD."""

    name = "pooler reloaded"

    async def strike(self, field: Field, rng: random.Random) -> bool:
        """See Fault."""
        assert field.pooler is not None
        field.pooler.tell(signal.SIGHUP)
        return True


class PoolerPaused(_OfThePooler):
    """PAUSE, and RESUME after a while."""

    name = "pooler paused"
    heavy = True

    async def strike(self, field: Field, rng: random.Random) -> bool:
        """See Fault."""
        assert field.pooler is not None
        field.pooler.tell(signal.SIGUSR1)
        try:
            await asyncio.sleep(rng.uniform(0.5, LEASE_S + 1.0))
        finally:
            field.pooler.tell(signal.SIGUSR2)
        return True


class PoolerRestarted(_OfThePooler):
    """Ended, gently or not, and started again."""

    name = "pooler restarted"
    heavy = True
    weight = 2

    async def strike(self, field: Field, rng: random.Random) -> bool:
        """See Fault."""
        assert field.pooler is not None
        number = rng.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGTERM))
        await asyncio.to_thread(field.pooler.end, number)
        try:
            await asyncio.sleep(rng.uniform(0.0, 1.5))
        finally:
            field.pooler.start()
        return True
