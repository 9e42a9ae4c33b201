"""What comes from outside at the wrong moment: a cancel at each point."""

from __future__ import annotations

from outlast.testing.crashing import compare_closely, run_calmly
from outlast.testing.errors import Unproved
from outlast.testing.points import crashes
from outlast.testing.trials import Subject, many_trials, run_trial
from outlast.testing.worlds import CANCEL, Act


def cancel_everywhere(subject: Subject) -> None:
    """Cancel a workflow at each point of its run. Raises Unproved with the first thing that is wrong."""
    with many_trials() as graves:
        campaign = run_calmly(subject, graves)
        found = campaign.findings
        numbers = [] if found else crashes(campaign.calm.lives[0])
        for number in numbers:
            trial = run_trial(subject, graves, act=Act(number, CANCEL))
            if found := compare_closely(campaign, subject, graves, trial):
                break
    if found:
        name = subject.definition.name
        raise Unproved(f"{name} can't be cancelled anywhere ({len(numbers)} points):\n  {found[0]}")
