"""`crash_everywhere`, `cancel_everywhere`: kill or cancel a workflow at each point of its run."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from outlast.testing.comparing import Finding, compare, compare_calm_runs, is_stable, misused, mutated
from outlast.testing.determinism import by_hash
from outlast.testing.ends import check_calm, say_end
from outlast.testing.errors import Deadlock, Unproved
from outlast.testing.points import crashes
from outlast.testing.processes import Process
from outlast.testing.trials import Subject, Trial, many_trials, run_trial
from outlast.testing.worlds import CANCEL, HAND_OVER, Act

RUNS_MAX = 128
"""The most runs, with one crash or two. All with one crash are run in any case."""

LATER_S = 86_399.5
PAIRS_MIN = 24


@dataclass
class Campaign:
    """What was run, and what was found."""

    calm: Trial
    again: Trial
    values: bool
    """Whether steps and workflow return the same each time, also later. If so, values are compared."""
    trials: list[Trial] = field(default_factory=list)
    singles: int = 0
    pairs: int = 0
    handed_over: int = 0
    findings: list[Finding] = field(default_factory=list)
    remarks: list[Finding] = field(default_factory=list)
    """Things that hold only under conditions that Outlast ensures."""


def crash_campaign(subject: Subject, seed: int) -> Campaign:
    """Run it; the findings are the first of each kind. Raises Deadlock and UsageError of a calm run."""
    with many_trials() as graves:
        campaign = run_calmly(subject, graves)
        for trial in _run_trials(campaign, subject, graves, random.Random(seed)):
            campaign.trials.append(trial)
            add_findings(campaign, compare_closely(campaign, subject, graves, trial))
        campaign.remarks += by_hash(subject, campaign.calm)
    return campaign


def run_calmly(subject: Subject, graves: list[Process]) -> Campaign:
    calm = run_trial(subject, graves, watch=True, closely=True)
    check_calm(subject, calm)
    again = run_trial(subject, graves, closely=True)
    if again.deadlock is not None:
        raise Deadlock(again.deadlock)
    later = run_trial(subject, graves, later_s=LATER_S)
    campaign = Campaign(calm, again, is_stable(calm, again) and is_stable(calm, later))
    add_findings(campaign, misused(calm))
    add_findings(campaign, mutated(calm))
    if (unlike := compare_calm_runs(calm, again)) is not None:
        add_findings(campaign, [unlike])
    add_findings(campaign, list(compare(calm, again, values=False)))
    return campaign


def _run_trials(
    campaign: Campaign, subject: Subject, graves: list[Process], chance: random.Random
) -> Iterator[Trial]:
    singles: list[Trial] = []
    for number in crashes(campaign.calm.lives[0]):
        trial = run_trial(subject, graves, [number])
        campaign.singles += 1
        singles.append(trial)
        yield trial
    for number in sites(campaign.calm):
        campaign.handed_over += 1
        yield run_trial(subject, graves, act=Act(number, HAND_OVER))
    pairs = [
        [trial.targets[0], second]
        for trial in singles
        if len(trial.lives) > 1
        for second in crashes(trial.lives[1])
    ]
    wanted = max(PAIRS_MIN, RUNS_MAX - len(singles))
    for targets in pairs if len(pairs) <= wanted else chance.sample(pairs, wanted):
        campaign.pairs += 1
        yield run_trial(subject, graves, targets)


def sites(calm: Trial) -> list[int]:
    """The first point after each step: a suspend there shows what the body does while it is unwound."""
    found: dict[object, int] = {}
    for number, point in enumerate(calm.lives[0]):
        if point.place is not None and point.text.startswith("after "):
            found.setdefault(point.place, number)
    return sorted(found.values())


def compare_closely(
    campaign: Campaign, subject: Subject, graves: list[Process], trial: Trial
) -> list[Finding]:
    """Compare a trial to the calm run; if it differs, run it again and watch it closely."""
    if next(compare(campaign.calm, trial, values=campaign.values), None) is None:
        return []
    # The same points give the same run. Watched closely, a difference may turn out to be none.
    again = run_trial(subject, graves, trial.targets, act=trial.act, mishaps=trial.mishaps, closely=True)
    return list(compare(campaign.calm, again, values=campaign.values))


def add_findings(campaign: Campaign, found: list[Finding]) -> None:
    """Add new findings. One of a kind is enough: the first has the fewest crashes."""
    known = {(each.place, each.title) for each in campaign.findings}
    places = {each.place for each in campaign.findings if each.place is not None}
    for each in found:
        if (each.place, each.title) not in known and each.place not in places:
            campaign.findings.append(each)


def cancel_everywhere(subject: Subject) -> str:
    """Cancel a workflow at each point of its run; return the text to print.

    Raises Unproved with the first fault, and what `check_calm` raises.
    """
    with many_trials() as graves:
        campaign = run_calmly(subject, graves)
        found = campaign.findings
        numbers = [] if found else crashes(campaign.calm.lives[0])
        for number in numbers:
            trial = run_trial(subject, graves, act=Act(number, CANCEL))
            if found := compare_closely(campaign, subject, graves, trial):
                break
    name = subject.definition.name
    if found:
        raise Unproved(f"{name} can't be cancelled anywhere ({len(numbers)} points):\n  {found[0]}")
    return f"{name} {say_end(campaign.calm)}, and was cancelled at {len(numbers)} points"
