"""The report of `crash_everywhere`: what Outlast kept, and what the user must take care of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from outlast.core import kinds
from outlast.core.places import shown_place
from outlast.testing.asking import Asked
from outlast.testing.comparing import Finding, place_of
from outlast.testing.crashing import Campaign
from outlast.testing.doubles import Definition
from outlast.testing.ends import say_end
from outlast.testing.points import Place
from outlast.testing.trials import Trial

FINDINGS_MAX = 5
_KEYS = ("key", "idempotency", "nonce")


class Repeated(NamedTuple):
    """How often a step's function ran at most, for one call that ran once without a crash.

    `at` says where the process was killed then. `keyed`: its code uses something that is the same each time,
    such as `context()`, or takes a key.
    """

    name: str
    kind: str
    place: Place
    times: int
    at: str
    keyed: bool


@dataclass(frozen=True)
class Figures:
    """How much was tried."""

    singles: int
    pairs: int
    handed_over: int
    steps: int


class Report(Asked):
    """The result. In an `async def` test it is available once it was awaited."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self._figures = Figures(0, 0, 0, 0)
        self._repeated: list[Repeated] = []
        self._findings: list[Finding] = []
        self._end = ""
        self._remarks: list[Finding] = []

    @property
    def crashes(self) -> int:
        """How many runs were killed, at one point or at two."""
        self._check_asked()
        return self._figures.singles + self._figures.pairs

    @property
    def figures(self) -> Figures:
        """How much was tried."""
        self._check_asked()
        return self._figures

    @property
    def repeated(self) -> list[Repeated]:
        """Steps and bodies of transactions that ran more than once for one call."""
        self._check_asked()
        return self._repeated

    @property
    def findings(self) -> list[Finding]:
        """The faults that were found; empty if the test passed."""
        self._check_asked()
        return self._findings

    @property
    def remarks(self) -> list[Finding]:
        """Things that hold only under a condition that Outlast ensures: see docs/reliability.md."""
        self._check_asked()
        return self._remarks

    def _fill(self, campaign: Campaign) -> None:
        calm = campaign.calm
        self._figures = Figures(
            campaign.singles,
            campaign.pairs,
            campaign.handed_over,
            len({each[:2] for each in calm.seen.runs()}),
        )
        self._repeated = repeated(campaign)
        self._findings = campaign.findings
        self._end = say_end(calm)
        self._remarks = campaign.remarks

    def failure(self) -> str | None:
        """The text that the test fails with; None if nothing was found."""
        if not self._findings:
            return None
        ours = [each for each in self._findings if each.ours]
        yours = [each for each in self._findings if not each.ours]
        lines = [f"{self.name} {self._end}, and doesn't survive everything ({self._tried()})"]
        if yours:
            lines += ["", "In its own code:", *(f"  {each}" for each in yours[:FINDINGS_MAX])]
        if ours:
            lines += [
                "",
                "In Outlast itself (please report it):",
                *(f"  {each}" for each in ours[:FINDINGS_MAX]),
            ]
        if len(self._findings) > FINDINGS_MAX:
            lines.append(f"  … and {len(self._findings) - FINDINGS_MAX} more")
        return "\n".join(
            [*lines, "", *self._describe_repeated(), *(f"Note: {each}" for each in self._remarks)]
        )

    def _tried(self) -> str:
        figures = self._figures
        parts = [f"{figures.singles} crashes", f"{figures.pairs} pairs of them"]
        if figures.handed_over:
            parts.append(f"{figures.handed_over} hand-overs")
        return ", ".join(parts)

    def _describe_repeated(self) -> list[str]:
        if not self._repeated:
            return ["Nothing ran twice."]
        lines = ["Ran again after a crash, as it must (at least once):"]
        for each in self._repeated:
            lines.append(f"  {each.name} ({shown_place(*each.place)}): {each.times} times, {each.at}")
            lines.append(f"      {_advice(each)}")
        return lines

    def __str__(self) -> str:
        if not self._asked:
            return f"<a report on {self.name} that was not awaited>"
        failure = self.failure()
        if failure is not None:
            return failure
        head = (
            f"{self.name} {self._end}, and survived {self._tried()}: "
            "the same result and the same records each time."
        )
        return "\n".join([head, *self._describe_repeated(), *(f"Note: {each}" for each in self._remarks)])

    __repr__ = __str__


def repeated(campaign: Campaign) -> list[Repeated]:
    """For each function the run in which it ran most often for one call."""
    worst: dict[int, tuple[int, Trial, Definition, str]] = {}
    usual = campaign.calm.seen.runs()
    for trial in campaign.trials:
        if len(trial.targets) > 1:
            continue  # one crash is the smallest case
        definitions = {
            (each.workflow_id, each.step_id, each.name, each.attempt): each for each in trial.seen.effects
        }
        for key, number in trial.seen.runs().items():
            effect = definitions[key]
            known = worst.get(id(effect.definition))
            if number > usual.get(key, 1) and (known is None or number > known[0]):
                worst[id(effect.definition)] = (number, trial, effect.definition, effect.kind)
    return [
        Repeated(definition.name, kind, place_of(definition.fn), number, trial.where, _has_key(definition))
        for number, trial, definition, kind in worst.values()
    ]


def _has_key(definition: Definition) -> bool:
    code = definition.fn.__code__
    parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return "context" in code.co_names or any(key in each.lower() for key in _KEYS for each in parameters)


def _advice(each: Repeated) -> str:
    if each.kind == kinds.TRANSACTION:
        return "A transaction: what it does in Postgres was committed once. Nothing else belongs into it."
    if each.keyed:
        return "It asks for its context, or takes a key: see that the outside world is given it."
    return (
        "No key is seen in it. If it only reads, that is well. If it changes something outside, give that a "
        "key (context().workflow_id with context().step_id); if it writes to your Postgres, make it a "
        "@transaction."
    )
