"""What a fault is, and what it acts on."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import ClassVar

from tests.pooler import Pooler
from tests.torture.fleet import Fleet, Slot
from tests.torture.oracles.takeover import Takeovers
from tests.torture.proxy import Proxy
from tests.torture.server import Server


@dataclass
class Field:
    """All that can be harmed."""

    fleet: Fleet
    server: Server
    proxy: Proxy
    pooler: Pooler | None
    takeovers: Takeovers
    quiet: bool = False
    """Whether nothing else is at work now: then the takeover after a kill is the product's own time."""

    def victim(self, rng: random.Random, *, to_death: bool) -> Slot | None:
        """A host that may be taken, so that two others are left; the spared one never dies."""
        well = self.fleet.well
        fit = [slot for slot in well if not (to_death and slot.spared)]
        return rng.choice(fit) if len(well) >= 3 and fit else None


def now_s() -> float:
    """The machine's wall clock, which dates the commits."""
    return time.clock_gettime(time.CLOCK_REALTIME)


class Fault:
    """One kind of fault. `heavy` ones come one or two at a time, the others in swarms."""

    name: ClassVar[str]
    heavy: ClassVar[bool] = False
    weight: ClassVar[int] = 1

    def missing(self, field: Field) -> str | None:
        """Why it can't be had here; None if it can."""
        return None

    async def strike(self, field: Field, rng: random.Random) -> bool:
        """Do harm, and heal it; whether it hit anything. May be cancelled: then it heals at once."""
        raise NotImplementedError
