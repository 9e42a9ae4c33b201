"""What comes from outside at the wrong moment: a cancel at each point."""

from __future__ import annotations

from outlast.testing.clock import campaign_time
from outlast.testing.comparing import Finding, compare
from outlast.testing.crashing import repeat_closely, run_calmly
from outlast.testing.points import crashes
from outlast.testing.processes import Process
from outlast.testing.silence import quiet
from outlast.testing.trials import Subject, run_trial
from outlast.testing.worlds import CANCEL, Act


def cancelled_everywhere(subject: Subject) -> tuple[int, list[Finding]]:
    """Cancel a workflow at each point of its run; how many there are, and the first thing that is wrong."""
    graves: list[Process] = []
    with quiet(), campaign_time():
        try:
            campaign = run_calmly(subject, graves)
            if campaign.findings:
                return 0, campaign.findings
            values = campaign.values
            numbers = crashes(campaign.calm.lives[0])
            for number in numbers:
                trial = run_trial(subject, graves, act=Act(number, CANCEL))
                if found := list(compare(campaign.calm, trial, values=values)):
                    closely = repeat_closely(subject, graves, trial)
                    return len(numbers), list(compare(campaign.calm, closely, values=values)) or found
            return len(numbers), []
        finally:
            for each in graves:
                each.bury()
