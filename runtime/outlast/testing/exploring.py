"""`explore`: schedules drawn by a seed; one that fails is made as small as it goes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from outlast.testing.clock import campaign_time
from outlast.testing.committing import Mishap
from outlast.testing.comparing import Finding, compare
from outlast.testing.crashing import repeat_closely, run_calmly
from outlast.testing.processes import Process
from outlast.testing.silence import quiet
from outlast.testing.starting import FAULTS
from outlast.testing.trials import Subject, Trial, run_trial
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
        """The same with one thing less."""
        for place in range(len(self.targets)):
            left = self.targets[:place] + self.targets[place + 1 :]
            yield Schedule(self.seed, left, self.act, self.mishaps)
        if self.act is not None:
            yield Schedule(self.seed, self.targets, None, self.mishaps)
        for number in self.mishaps:
            rest = {each: what for each, what in self.mishaps.items() if each != number}
            yield Schedule(self.seed, self.targets, self.act, rest)


@dataclass
class Exploration:
    """What was found: nothing, or what is wrong in the first run that failed, made as small as it goes."""

    calm: Trial
    schedules: int = 0
    failed: Schedule | None = None
    findings: list[Finding] = field(default_factory=list)


def draw(seed: int, points: int, commits: int, faults: frozenset[str]) -> Schedule:
    """The schedule of that seed, for a run of so many points and commits."""
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


def explore(subject: Subject, first: int, schedules: int, faults: frozenset[str]) -> Exploration:
    """Run schedules of the seeds from `first` on, until one fails."""
    graves: list[Process] = []
    with quiet(), campaign_time():
        try:
            campaign = run_calmly(subject, graves)
            calm, values = campaign.calm, campaign.values
            found = Exploration(calm, findings=campaign.findings)
            if found.findings:
                return found
            points = len(calm.lives[0])
            commits = sum("commit" in each.text.lower() and "before" in each.text for each in calm.lives[0])
            for seed in range(first, first + schedules):
                schedule = draw(seed, points, commits, faults)
                found.schedules += 1
                if _find_faults(subject, graves, schedule, calm, values=values):
                    found.failed = _shrink(subject, graves, schedule, calm, values=values)
                    found.findings = _find_faults(subject, graves, found.failed, calm, values=values)
                    return found
            return found
        finally:
            for each in graves:
                each.bury()


def _find_faults(
    subject: Subject, graves: list[Process], schedule: Schedule, calm: Trial, *, values: bool
) -> list[Finding]:
    trial = run_trial(subject, graves, schedule.targets, act=schedule.act, mishaps=schedule.mishaps)
    found = list(compare(calm, trial, values=values))
    if found:
        found = list(compare(calm, repeat_closely(subject, graves, trial), values=values)) or found
    return found


def _shrink(
    subject: Subject, graves: list[Process], schedule: Schedule, calm: Trial, *, values: bool
) -> Schedule:
    """The smallest of it that fails, taking away one thing after another."""
    while True:
        for smaller in schedule.smaller():
            if smaller.size and _find_faults(subject, graves, smaller, calm, values=values):
                schedule = smaller
                break
        else:
            return schedule
