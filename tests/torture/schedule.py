"""When which fault strikes: scenes of some seconds each, drawn from the seed.

In a storm light faults come in swarms; a blow is a heavy fault or two among some light ones; before and
after a quiet kill nothing else is at work, so that the takeover is the product's own time.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.torture.faults.field import Fault
from tests.torture.faults.processes import Killed

STORM_S = 7.0
BLOW_S = 7.0
HUSH_S = 3.0
AFTER_KILL_S = 6.0
_LIGHT_A_SECOND = {"storm": 4.0, "blow": 1.6}


@dataclass(frozen=True)
class Strike:
    """A fault at a time (seconds from the beginning), with a seed for what it draws itself."""

    at_s: float
    fault: Fault
    seed: str
    quiet: bool = False


def plan(seed: str, faults: Sequence[Fault], for_s: float) -> list[Strike]:
    """All strikes of a run, in order of time. The same arguments give the same."""
    rng = random.Random(f"schedule {seed}")
    light = [fault for fault in faults if not fault.heavy]
    heavy = [fault for fault in faults if fault.heavy]
    killed = next((fault for fault in faults if isinstance(fault, Killed)), None)
    strikes: list[Strike] = []
    deck: list[Fault] = []

    def strike(at_s: float, fault: Fault, *, quiet: bool = False) -> None:
        strikes.append(Strike(at_s, fault, f"{seed} {len(strikes)} {fault.name}", quiet))

    def next_heavy() -> Fault:
        """Each of them comes round before one comes more often than its weight."""
        if not deck:
            deck.extend(fault for fault in heavy for _ in range(fault.weight))
            rng.shuffle(deck)
        return deck.pop()

    at_s = 0.0
    while at_s < for_s:
        scenes = ["storm", "blow", "blow", "storm", "blow", "quiet kill"]
        rng.shuffle(scenes)
        for scene in scenes:
            if scene == "quiet kill":
                if killed is not None:
                    strike(at_s + HUSH_S, killed, quiet=True)
                    at_s += HUSH_S + AFTER_KILL_S
                continue
            length_s = STORM_S if scene == "storm" else BLOW_S
            if scene == "blow" and heavy:
                for _ in range(rng.choice((1, 1, 2))):
                    strike(at_s + rng.uniform(0.0, 1.5), next_heavy())
            if light:
                for _ in range(int(length_s * _LIGHT_A_SECOND[scene])):
                    fault = rng.choices(light, [each.weight for each in light])[0]
                    strike(at_s + rng.uniform(0.0, length_s - 0.5), fault)
            at_s += length_s
    return sorted((each for each in strikes if each.at_s < for_s), key=lambda each: each.at_s)
