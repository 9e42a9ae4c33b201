"""How long the work of a killed instance lay: from SIGKILL to the commit of the next claim."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from tests.torture.oracles.window import Window


@dataclass
class Kill:
    """One SIGKILL, and what became of the workflows that the instance owned."""

    at_s: float
    pid: int
    sessions: bool
    """Whether the instance had sessions of its own; behind a transaction pooler its lease must run out."""
    quiet: bool
    """Whether no other fault was at work."""
    orphans: int = 0
    recovered_s: list[float] = field(default_factory=list)
    claimed_s: list[float] = field(default_factory=list)
    first_claims_s: list[float] = field(default_factory=list)
    """Without those that had been lost before, whose next claim is put off on purpose."""


class Takeovers:
    """Follows who owns what, in order of commit."""

    def __init__(self) -> None:
        self.kills: list[Kill] = []
        self._fresh: list[Kill] = []
        self._owned: defaultdict[str, set[str]] = defaultdict(set)
        self._owner: dict[str, str] = {}
        self._waiting: dict[str, Kill] = {}
        self._attempts: dict[str, int] = {}

    def killed(self, kill: Kill) -> None:
        """An instance is killed now."""
        self.kills.append(kill)
        self._fresh.append(kill)

    def look(self, window: Window) -> None:
        """Take in a window's changes."""
        for change in window.changes:
            self._take_orphans(before_s=change["at_s"])
            workflow_id, owner = change["workflow_id"], change["owner"]
            if (former := self._owner.pop(workflow_id, None)) is not None:
                self._owned[former].discard(workflow_id)
            if owner is not None:
                self._owner[workflow_id] = owner
                self._owned[owner].add(workflow_id)
            if (kill := self._waiting.get(workflow_id)) is None or change["at_s"] < kill.at_s:
                continue
            kind = change.get("kind")
            if kind == "recover":
                kill.recovered_s.append(change["at_s"] - kill.at_s)
                self._attempts[workflow_id] = change["attempts"]
                continue
            del self._waiting[workflow_id]
            if kind == "claim":
                kill.claimed_s.append(change["at_s"] - kill.at_s)
                if self._attempts.pop(workflow_id, 0) <= 1:
                    kill.first_claims_s.append(change["at_s"] - kill.at_s)

    def _take_orphans(self, before_s: float) -> None:
        """What a killed instance owned at the moment of its kill."""
        for kill in list(self._fresh):
            if kill.at_s < before_s:
                self._fresh.remove(kill)
                mine = [owner for owner in self._owned if f"-{kill.pid}-" in owner]
                orphans = {workflow_id for owner in mine for workflow_id in self._owned[owner]}
                kill.orphans = len(orphans)
                for owner in mine:
                    del self._owned[owner]
                self._waiting |= dict.fromkeys(orphans, kill)

    def latencies(self, *, sessions: bool, quiet: bool) -> list[float]:
        """Of first claims, sorted."""
        return sorted(
            each
            for kill in self.kills
            if kill.sessions is sessions and (kill.quiet or not quiet)
            for each in kill.first_claims_s
        )


def percentile(sorted_values: list[float], part: float) -> float | None:
    """The nearest rank."""
    if not sorted_values:
        return None
    return sorted_values[min(len(sorted_values) - 1, int(part * len(sorted_values)))]
