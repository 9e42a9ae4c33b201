"""What is wrong with a body whatever happens: seen in one run without a crash."""

from __future__ import annotations

from outlast.testing.comparing import SAME, Finding, place_of
from outlast.testing.trials import Trial


def misused(calm: Trial) -> list[Finding]:
    """Clocks, chance, files, the network, and pauses, in bodies."""
    return [
        Finding(f"the workflow's body {what}", place, "", SAME if "replay" in what else "")
        for place, what in calm.seen.reads.items()
    ]


def mutated(calm: Trial) -> list[Finding]:
    """Steps that give something to the body by changing what they were given."""
    return [
        Finding(
            f"step {each.name} changes an argument of its own",
            place_of(each.definition.fn),
            "After a crash a recorded step isn't run again: the body then sees the argument unchanged.",
            "Return what the body is to have.",
        )
        for each in calm.seen.mutated.values()
    ]
