"""Faults of the ways to Postgres: the suite's own proxy, and PgBouncer."""

from __future__ import annotations

import asyncio
import random
import signal

from tests.torture.faults.field import Fault, Field
from tests.torture.fleet import LEASE_S


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


class AnswerCut(Fault):
    """A request is done, and its answer never comes: whatever it was."""

    name = "cut before the answer"
    weight = 5
    asked = b""

    async def strike(self, field: Field, rng: random.Random) -> bool:
        """See Fault."""
        link = field.proxy.some(rng)
        if link is None:
            return False
        before = field.proxy.answers_cut
        link.cut_after_answer(self.asked)
        for _ in range(40):
            await asyncio.sleep(0.05)
            if field.proxy.answers_cut > before:
                return True
        return False


class CommitCut(AnswerCut):
    """The same, of a COMMIT."""

    name = "cut between COMMIT and its answer"
    weight = 4
    asked = b"COMMIT"

    async def strike(self, field: Field, rng: random.Random) -> bool:
        """See Fault. Any connection may be the next that commits: all are armed."""
        links = [link for link in field.proxy.links if not link.armed]
        before = field.proxy.answers_cut
        for link in links:
            link.cut_after_answer(self.asked)
        for _ in range(20):
            await asyncio.sleep(0.05)
            if field.proxy.answers_cut > before:
                break
        for link in links:
            link.disarm()
        return field.proxy.answers_cut > before


class ClaimLost(Fault):
    """A claim is done, and its answer never comes: rows that their owner doesn't know."""

    name = "cut before a claim's answer"
    weight = 3
    answered = b'"key"'
    """Only claims answer with the inputs of workflows, and looks at one by management."""

    async def strike(self, field: Field, rng: random.Random) -> bool:
        """See Fault."""
        links = [link for link in field.proxy.links if not link.armed]
        before = field.proxy.answers_cut
        for link in links:
            link.cut_instead_of(self.answered)
        for _ in range(40):
            await asyncio.sleep(0.05)
            if field.proxy.answers_cut > before:
                break
        for link in links:
            link.disarm()
        return field.proxy.answers_cut > before


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
