"""What was found, for people: a line on the terminal, and the table in docs/reliability.md."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.mutants.mutant import ALL_LAYERS, Mutant
from tests.mutants.runs import Outcome, Verdict

TEXT_CHARS_MAX = 1500


@dataclass(frozen=True)
class Result:
    """What the layers that were asked said of a mutant."""

    mutant: Mutant
    outcomes: dict[str, Outcome]

    @property
    def caught(self) -> bool:
        """Whether a layer noticed, and none found it broken."""
        found = [each.verdict for each in self.outcomes.values()]
        return any(each.caught for each in self.outcomes.values()) and Verdict.BROKEN not in found


def say(text: str) -> None:
    """A line for whoever runs the command."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def told(result: Result) -> str:
    """A mutant and what became of it."""
    found = [f"{outcome.verdict} ({layer}: {_short(outcome)})" for layer, outcome in result.outcomes.items()]
    line = f"{result.mutant.name:34} {', '.join(found) or 'no layer was asked'}"
    broken = [each for each in result.outcomes.values() if each.verdict is Verdict.BROKEN]
    return "\n".join([line, *(each.text[-TEXT_CHARS_MAX:] for each in broken)])


def markdown(results: Sequence[Result], took_s: float, jobs: int) -> str:
    """The section `mutants`."""
    caught = [each for each in results if each.caught]
    first = Counter(next(layer for layer in ALL_LAYERS if _caught_by(each, layer)) for each in caught)
    by = ", ".join(f"{count} by `tests/{layer}`" for layer in ALL_LAYERS if (count := first[layer]))
    lines = [
        f"`python -m tests.mutants`: {len(results)} mutants, {len(caught)} caught, "
        f"{len(results) - len(caught)} survived. First to notice: {by}. "
        f"{took_s / 60:.0f} minutes with {jobs} jobs.",
        "",
        "Each mutant is the product with one guard less, taken away by its mark in the code. The cheapest "
        "layer is asked first; the first test that fails is named. In the same run it passes on a copy "
        "that nothing was taken from.",
        "",
        "| Mutant | Guard that was removed | Caught by |",
        "|---|---|---|",
    ]
    lines += [f"| {each.mutant.name} | {_cell(each.mutant.guard)} | {_seen_by(each)} |" for each in results]
    return "\n".join(lines)


def _seen_by(result: Result) -> str:
    seen = [
        f"{layer}: `{_short(outcome)}`{' (hangs)' if outcome.verdict is Verdict.HUNG else ''}"
        for layer, outcome in result.outcomes.items()
        if outcome.caught
    ]
    return "; ".join(seen) or "**survived**"


def _caught_by(result: Result, layer: str) -> bool:
    return layer in result.outcomes and result.outcomes[layer].caught


def _short(outcome: Outcome) -> str:
    return "/".join(outcome.test.split("/")[2:]) or "all pass"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
