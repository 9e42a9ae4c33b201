"""Faults of host processes: killed, frozen, told to end, with a clock that jumps."""

from __future__ import annotations

import asyncio
import random
import signal
from contextlib import suppress

import psycopg

from tests.torture.faults.database import BAD_WEATHER
from tests.torture.faults.field import Fault, Field, now_s
from tests.torture.fleet import LEASE_S
from tests.torture.oracles.takeover import Kill

HOUR_S = 3600


class Killed(Fault):
    """SIGKILL, and a new process at once."""

    name = "SIGKILL"
    heavy = True
    weight = 3

    async def strike(self, field: Field, rng: random.Random) -> bool:
        """See Fault."""
        slot = field.victim(rng, to_death=True)
        if slot is None:
            return False
        async with slot.busy:
            kill = Kill(now_s(), slot.pid, sessions=slot.way != "pooler", quiet=field.quiet)
            field.takeovers.killed(kill)
            await slot.kill()
            slot.start()
        return True


class KilledInCommit(Fault):
    """SIGKILL while the server takes long over commits: they are done after others have noticed the end.

    Whoever takes over must wait for them, or leave what they hold.
    """

    name = "SIGKILL while commits stall"
    heavy = True
    weight = 2

    async def strike(self, field: Field, rng: random.Random) -> bool:
        """See Fault."""
        slot = field.victim(rng, to_death=True)
        if slot is None:
            return False
        async with slot.busy:
            stall_s = 2.5 if slot.way != "pooler" else LEASE_S + 2.5
            stalling = {"place": "commit", "code": "", "part": 0.7, "for_s": 0.4, "stall_s": stall_s}
            with suppress(psycopg.Error, OSError):
                await field.server.once(BAD_WEATHER, stalling, timeout_s=5)
            await asyncio.sleep(rng.uniform(0.1, 0.3))
            field.takeovers.killed(Kill(now_s(), slot.pid, sessions=slot.way != "pooler", quiet=False))
            await slot.kill()
            slot.start()
        return True


class Frozen(Fault):
    """SIGSTOP until others have taken over, then SIGCONT."""

    name = "SIGSTOP past the lease"
    heavy = True
    weight = 3
    for_s = (LEASE_S + 0.2, LEASE_S + 2.5)

    async def strike(self, field: Field, rng: random.Random) -> bool:
        """See Fault."""
        slot = field.victim(rng, to_death=False)
        if slot is None:
            return False
        async with slot.busy:
            slot.signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(rng.uniform(*self.for_s))
            finally:
                slot.signal(signal.SIGCONT)
        return True


class Stuttering(Frozen):
    """SIGSTOP for less than the lease."""

    name = "SIGSTOP for a moment"
    heavy = False
    weight = 2
    for_s = (0.1, 0.6)


class Terminated(Fault):
    """SIGTERM, and a new process when it has ended."""

    name = "SIGTERM"
    heavy = True
    weight = 2

    async def strike(self, field: Field, rng: random.Random) -> bool:
        """See Fault."""
        slot = field.victim(rng, to_death=True)
        if slot is None:
            return False
        async with slot.busy:
            await slot.terminate(15.0)
            slot.start()
        return True


class ClockJumped(Fault):
    """The wall clock of an instance is an hour off for some seconds."""

    name = "clock jumps an hour"
    heavy = True
    weight = 2

    def missing(self, field: Field) -> str | None:
        """See Fault."""
        return None if any(slot.clock for slot in field.fleet.slots) else "libfaketime is not installed"

    async def strike(self, field: Field, rng: random.Random) -> bool:
        """See Fault."""
        slot = rng.choice([slot for slot in field.fleet.slots if slot.clock])
        slot.set_clock(rng.choice((HOUR_S, -HOUR_S)))
        try:
            await asyncio.sleep(rng.uniform(2.0, 4.0))
        finally:
            slot.set_clock(0)
        return True
