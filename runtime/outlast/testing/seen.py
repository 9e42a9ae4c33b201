"""What happened in a test: calls of bodies, and runs of steps."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from outlast.core.events import Emission
from outlast.sdk.operations import Operation
from outlast.testing.doubles import Definition
from outlast.testing.points import Place


class CallSeen(NamedTuple):
    """A call of a body. `refused`: the body had been stopped by then, or was being unwound."""

    step_id: str
    kind: str
    name: str
    arguments: str
    place: Place
    refused: bool


class EffectSeen(NamedTuple):
    """The start of a step's function, or of a transaction's."""

    workflow_id: str
    step_id: str
    kind: str
    name: str
    attempt: int
    definition: Definition


@dataclass
class LifeSeen:
    """What the bodies did in one process, and what their steps emitted, by workflow."""

    calls: dict[str, list[CallSeen]] = field(default_factory=dict)
    emitted: dict[str, list[Emission]] = field(default_factory=dict)


@dataclass
class Seen:
    """Everything seen in a world. `operations`: the first call of each step id, with its arguments."""

    lives: list[LifeSeen] = field(default_factory=lambda: [LifeSeen()])
    effects: list[EffectSeen] = field(default_factory=list)
    commits: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each transaction was committed, by workflow and step."""
    operations: dict[tuple[str, str], Operation] = field(default_factory=dict)
    inputs: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    mutated: dict[Place, EffectSeen] = field(default_factory=dict)
    """Steps that changed an argument that the body sees, by where they are written."""
    reads: dict[Place, str] = field(default_factory=dict)
    """Misuse by place, with its text."""

    def runs(self) -> Counter[tuple[str, str, str, int]]:
        """How often each function was started: by workflow, step, name and attempt."""
        return Counter((each.workflow_id, each.step_id, each.name, each.attempt) for each in self.effects)

    def place_of(self, workflow_id: str, step_id: str) -> Place | None:
        """Where that call was made."""
        for life in self.lives:
            for call in life.calls.get(workflow_id, ()):
                if call.step_id == step_id:
                    return call.place
        return None


def comparable_text(value: Any) -> str:
    """`value` as it is compared: by its repr, without addresses."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - a foreign class may raise anything
        return f"<{type(value).__name__}: {type(error).__name__}>"
    return text if " at 0x" not in text else text.partition(" at 0x")[0]
