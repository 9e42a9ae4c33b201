"""`explore`: runs schedules drawn by a seed, and shrinks one that fails."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from outlast.testing.committing import Mishap
from outlast.testing.comparing import Finding
from outlast.testing.crashing import Campaign, compare_closely, run_calmly
from outlast.testing.ends import say_end
from outlast.testing.errors import Unproved
from outlast.testing.processes import Process
from outlast.testing.starting import FAULTS
from outlast.testing.trials import Subject, many_trials, run_trial
from outlast.testing.worlds import HAND_OVER, Act

KILLS, HAND_OVERS, MISHAPS = FAULTS
_MISHAPS: tuple[Mishap, ...] = ("refused", "answer lost")


@dataclass(frozen=True)
class Schedule:
    """What goes wrong in one run. `seed` draws it again."""

    seed: int
    targets: list[int] = field(default_factory=list)
    act: Act | None = None
    mishaps: dict[int, Mishap] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many things go wrong."""
        return len(self.targets) + (self.act is not None) + len(self.mishaps)

    def smaller(self) -> Iterator[Schedule]:
        """Yield each schedule with one thing less."""
        for place in range(len(self.targets)):
            left = self.targets[:place] + self.targets[place + 1 :]
            yield Schedule(self.seed, left, self.act, self.mishaps)
        if self.act is not None:
            yield Schedule(self.seed, self.targets, None, self.mishaps)
        for number in self.mishaps:
            rest = {each: what for each, what in self.mishaps.items() if each != number}
            yield Schedule(self.seed, self.targets, self.act, rest)


def draw(seed: int, points: int, commits: int, faults: frozenset[str]) -> Schedule:
    """The schedule of that seed, for a run with this many points and commits."""
    chance = random.Random(seed)
    count = chance.choice([1, 1, 2, 2, 3])
    targets = [chance.randrange(points) for _ in range(count)] if KILLS in faults else []
    act = None
    if HAND_OVERS in faults and chance.random() < 0.3:
        act, targets = Act(chance.randrange(points), HAND_OVER), targets[:1] if chance.random() < 0.5 else []
    mishaps: dict[int, Mishap] = {}
    if MISHAPS in faults:
        for _ in range(chance.choice([0, 0, 1, 2])):
            mishaps[chance.randint(1, commits + 2)] = chance.choice(_MISHAPS)
    return Schedule(seed, targets, act, mishaps)


def explore(subject: Subject, first: int, schedules: int, faults: frozenset[str]) -> str:
    """Run schedules of the seeds from `first` on; return the text to print.

    Raises Unproved at the first one that fails, and what `check_calm` raises.
    """
    name = subject.definition.name
    with many_trials() as graves:
        campaign = run_calmly(subject, graves)
        if campaign.findings:
            raise Unproved(f"{name} failed in schedule 0:\n  {campaign.findings[0]}")
        points = campaign.calm.lives[0]
        commits = sum("commit" in each.text.lower() and "before" in each.text for each in points)
        for number, seed in enumerate(range(first, first + schedules), 1):
            schedule = draw(seed, len(points), commits, faults)
            if _find_faults(campaign, subject, graves, schedule):
                found = _find_faults(campaign, subject, graves, _shrink(campaign, subject, graves, schedule))
                again = f"(again: schedules=1, seed={seed})"
                raise Unproved(f"{name} failed in schedule {number} {again}:\n  {found[0]}")
    return f"{name} {say_end(campaign.calm)}, and survived {schedules} schedules from seed {first} on"


def _find_faults(
    campaign: Campaign, subject: Subject, graves: list[Process], schedule: Schedule
) -> list[Finding]:
    trial = run_trial(subject, graves, schedule.targets, act=schedule.act, mishaps=schedule.mishaps)
    return compare_closely(campaign, subject, graves, trial)


def _shrink(campaign: Campaign, subject: Subject, graves: list[Process], schedule: Schedule) -> Schedule:
    """The smallest schedule that still fails, found by taking away one thing after another."""
    while True:
        for smaller in schedule.smaller():
            if smaller.size and _find_faults(campaign, subject, graves, smaller):
                schedule = smaller
                break
        else:
            return schedule
