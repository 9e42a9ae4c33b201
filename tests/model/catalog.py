"""What is checked: the scenarios with their bounds, and the mutants of the protocol."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.model.checker import Verdict, check
from tests.model.guards import Guards
from tests.model.protocol import Protocol
from tests.model.scenario import Scenario
from tests.model.state import Faults, Kind, World

STEP, TRANSACTION, SLEEP = Kind.STEP, Kind.TRANSACTION, Kind.SLEEP
BOTH = (STEP, TRANSACTION)

SCENARIOS = (
    Scenario("in doubt", "two connections cut", (STEP, TRANSACTION, STEP), Faults(losses=2)),
    Scenario("asleep", "a sleep, two connections cut", (SLEEP, STEP), Faults(losses=2), instances=1),
    Scenario("cancelled", "a cancel, a connection cut", BOTH, Faults(losses=1, cancels=1)),
    Scenario("retried", "a cancel, and a retry", BOTH, Faults(cancels=1, retries=1)),
    Scenario("paused", "a pause", BOTH, Faults(pauses=1)),
    Scenario(
        "given up",
        "a transaction that its body gives up, a connection cut",
        BOTH,
        Faults(losses=1, timeouts=1),
    ),
    Scenario("ended", "an instance crashes or shuts down", BOTH, Faults(exits=1)),
    Scenario(
        "duplicates", "two payloads under one key, a connection cut", BOTH, Faults(losses=1), ("p", "q")
    ),
    Scenario("unseen", "a session seems gone while its instance lives", (TRANSACTION,), Faults(sessions=1)),
    Scenario("frozen", "a lease runs out while its instance lives", BOTH, Faults(expiries=1)),
)

DEEP = (
    Scenario("lost and retried", "and an instance crashes", BOTH, Faults(exits=1, cancels=1, retries=2)),
    Scenario("paused, deep", "a connection cut", (TRANSACTION,), Faults(losses=1, pauses=1)),
    Scenario("in doubt, deep", "three connections cut", BOTH, Faults(losses=3)),
    Scenario("given up, deep", "and two connections cut", BOTH, Faults(losses=2, timeouts=1)),
    Scenario("ended, deep", "and a connection cut", BOTH, Faults(losses=1, exits=1)),
    Scenario("unseen, deep", "and a second step", BOTH, Faults(sessions=1)),
    Scenario("frozen, two callers", "with one payload", (TRANSACTION,), Faults(expiries=1), ("p", "p")),
    Scenario("frozen, cancelled", "and cancelled", BOTH, Faults(cancels=1, expiries=1)),
    Scenario("frozen, deep", "and a connection cut", (TRANSACTION,), Faults(losses=1, expiries=1)),
    Scenario("frozen twice", "two leases run out", BOTH, Faults(expiries=2)),
)

STATES_MAX = 150_000
STATES_MAX_DEEP = 2_000_000


@dataclass(frozen=True, slots=True)
class Mutant:
    """The protocol without some guards, and the scenario that shows what they are for.

    `spared` says why nothing breaks, where that is so.
    """

    name: str
    without: tuple[str, ...]
    scenario: str = ""
    spared: str = ""

    @property
    def guards(self) -> Guards:
        """All but these."""
        return replace(Guards(), **dict.fromkeys(self.without, False))


MUTANTS = (
    Mutant("no epoch check", ("epoch_checked",), "given up"),
    Mutant("no FOR SHARE", ("fence_locked",), "cancelled"),
    Mutant("a cancel that doesn't wait for the row", ("cancel_waits",), "cancelled"),
    Mutant("no confirmation by nonce: a conflict means refused", ("confirmed",), "in doubt"),
    Mutant("a guess: a conflict means accepted", ("never_guessed",), "cancelled"),
    Mutant("a start that replaces what is there", ("start_yields",), "in doubt"),
    Mutant("a record that replaces what is there", ("record_stays",), "in doubt"),
    Mutant("orphans not released", ("orphans_released",), "given up"),
    Mutant("starts on their way taken for orphans", ("starts_known",), "in doubt"),
    Mutant("a claim that leaves the epoch", ("claim_raises_epoch",), "asleep"),
    Mutant("trust from the answer", ("trust_from_sending",), "frozen"),
    Mutant("disowned executions not stopped by the beat", ("disowned_stopped",), "frozen"),
    Mutant("a recovery that doesn't hold the lease", ("recovery_holds_lease",), "frozen"),
    Mutant("one beat makes an expired lease trusted", ("revived_beats_twice",), "frozen"),
    Mutant("a start launched after the lease had run out", ("starts_in_one_trust",), "frozen"),
    Mutant("a late start in the place of a claim", ("starts_yield",), "frozen"),
    Mutant("a step before the record before it is durable", ("durable_first",), "in doubt"),
    Mutant("the end before the last records", ("end_in_order",), "in doubt"),
    Mutant("a transaction's record outside of it", ("record_inside",), "in doubt"),
    Mutant("a transaction's failure believed before it is recorded", ("failure_known_first",), "cancelled"),
    Mutant("a transaction given up as if that were its end", ("failure_known_first",), "given up"),
    Mutant("attach without reading what stands there", ("attach_reads",), "duplicates"),
    Mutant("a success is retried", ("success_stays",), "retried"),
    Mutant("a retry in the same generation", ("retry_raises_generation",), "retried"),
    Mutant("a claim of what is held", ("claim_spares_held",), "paused"),
    Mutant("a pause that changes nothing else", ("pause_takes_owner", "pause_raises_epoch"), "paused"),
    Mutant("a pause that leaves the owner", ("pause_takes_owner",), "paused"),
    Mutant(
        "a pause that leaves the epoch",
        ("pause_raises_epoch",),
        "paused",
        spared="a row without owner refuses",
    ),
    Mutant(
        "a retry that leaves the epoch",
        ("retry_raises_epoch",),
        "retried",
        spared="a cancel and a claim raise it",
    ),
    Mutant("no owner check", ("owner_checked",), spared="the epochs alone refuse"),
    Mutant(
        "a recovery that leaves the epoch", ("recovery_raises_epoch",), spared="a row without owner refuses"
    ),
    Mutant("a cancel that leaves the epoch", ("cancel_raises_epoch",), spared="a row without owner refuses"),
    Mutant(
        "no owner check, and a recovery that leaves the epoch",
        ("owner_checked", "recovery_raises_epoch"),
        "ended",
    ),
    Mutant(
        "no owner check, and a cancel that leaves the epoch",
        ("owner_checked", "cancel_raises_epoch"),
        "cancelled",
    ),
    Mutant(
        "orphans released at first sight",
        ("seen_twice",),
        spared="a release checks owner and epoch itself; the second look saves statements",
    ),
    Mutant(
        "the end in a commit after the last records",
        ("end_together",),
        spared="the journal's order is enough; together saves a commit",
    ),
)


def explore(scenario: Scenario, guards: Guards | None = None, states_max: int = STATES_MAX) -> Verdict[World]:
    """Check one scenario. Raises Bound."""
    return check(Protocol(scenario, guards or Guards()), states_max)


def scenario_named(name: str) -> Scenario:
    """One of those of every test run."""
    return next(each for each in SCENARIOS if each.name == name)
