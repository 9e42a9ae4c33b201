"""What a claim asks for, and gives: workflows that this instance may run, and instances that are gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from outlast.core.callers import CallerToken
from outlast.core.replay import History


class Space(NamedTuple):
    """Bytes that what is claimed may take to load, together; with `alone` the first one may be larger."""

    bytes_left: int = 2**62
    alone: bool = True


class Room(NamedTuple):
    """What there is room for: workflows of these functions, and `suspects` of those that were lost often."""

    functions: Sequence[str]
    workflows: int
    suspects: int
    space: Space = Space()
    large: Space | None = None
    """In place of `space`, for large ones that no workflow has started (core.budget.SMALL_BYTES)."""


@dataclass(slots=True)
class ClaimedWorkflow:
    """A workflow this instance may run, with all that is recorded of it."""

    workflow_id: str
    function: str
    epoch: int
    input: str | None
    request: str | None = None
    subject: str | None = None
    claims: str | None = None
    version: str | None = None
    parent: str | None = None
    recovery_attempts: int = 0
    deadline_s: float | None = None
    created_s: float | None = None
    load_bytes: int = 0
    """Of input, request and records: all that must be in memory to run it (see core.budget.weigh)."""
    due_s: float | None = None
    """When it became due, and is due again if it is given back without having run; None: at once."""
    began_s: float | None = None
    """When it was claimed for the first time, in Unix seconds: from then on time passes for its body.

    None where it was created so.
    """
    queue: str | None = None
    """In which it takes a place for as long as it runs."""
    tick: str | None = None
    """Of a workflow that a schedule has started (JSON)."""
    history: History = field(default_factory=History)
    members: Sequence[str] = ()
    """Of a batch that has just begun: whose inputs it has."""
    stop: str | None = None
    """Of one that is to be undone: the error that it ends with (JSON)."""
    generation: int = 1
    """How often it was let run to an end: each retry raises it."""
    retried_s: float | None = None
    """When it was retried last, if it was."""
    last_place: int = 0
    """The last place in its order that was given out before that."""
    token: CallerToken | None = None
    """The caller's token, if this process took the call. It is never stored."""
    born: str | None = None
    """Of a fork: `root`, the first of its line; with records of another that one's `id`, `at_s`.

    Of what was retried `goes_on_s`, when it was claimed for the first time since (JSON).
    """


HELD_TOLD_AT = 3
"""So often one met what somebody holds when that is told of."""

ASIDE_MAX_S = 300
"""So long a message that is refused again and again is left alone. The first time it is a second."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """A message of a Supabase Queue that became no workflow. It is in its queue, where nobody sees it yet."""

    message_id: int
    read_count: int
    """How often it was read, this time included."""
    error: str
    remedy: str
    held: bool = False
    """Whether it needs what somebody holds. Others have waited for that."""

    @property
    def is_news(self) -> bool:
        """Whether anybody needs to know of it: what somebody holds for a moment is none."""
        return not self.held or self.read_count >= HELD_TOLD_AT


@dataclass(frozen=True, slots=True)
class Consumed:
    """What messages of a Supabase Queue became."""

    workflows: list[ClaimedWorkflow]
    wait: bool
    """Whether they wait for their turn in the queue: this instance hasn't claimed them."""
    aside: SetAside | None = None


def aside_s(aside: SetAside, turn_s: float = 0.0) -> int:
    """How long a message is set aside. It counts itself how often it was read, whoever reads it.

    `turn_s`: before that it has no turn, unless it only needs what somebody holds.
    """
    # guard: refused-messages-asked-ever-again = 1
    pause_s = min(ASIDE_MAX_S, 1 << min(aside.read_count - 1, 10))
    # guard: refused-messages-without-turns = pause_s
    return max(pause_s, 0 if aside.held else int(turn_s))


@dataclass(frozen=True, slots=True)
class Claims:
    """The result of a claim: workflows, and instances that are gone.

    `undelivered`: there are messages that nobody has delivered yet. `untold`: nor told of ends. `queued`:
    queues have something to decide.
    """

    workflows: list[ClaimedWorkflow]
    lost: list[LostInstance]
    undelivered: bool = False
    untold: bool = False
    queued: bool = False
    full_queues: frozenset[str] = frozenset()
    """Where as many wait as may."""
    stops: Mapping[str, str] = field(default_factory=dict)
    """Of workflows that run here and are to be undone: the errors that they end with (JSON)."""
    refused: Sequence[str] = ()
    """Whose rows have refused what is done to them since the last claim, for the first time."""


@dataclass(frozen=True, slots=True)
class QueueClaims:
    """What queues have let begin here. `more`: look again soon; `again_s`: or in so many seconds.

    `faults`: queues that could not decide, and why.
    """

    workflows: list[ClaimedWorkflow]
    more: bool = False
    again_s: float | None = None
    faults: Mapping[str, str] = field(default_factory=dict)
    refused: Sequence[str] = ()
    """Whose rows have refused what is done to them since the last look, for the first time."""


@dataclass(frozen=True, slots=True)
class LostInstance:
    """An instance whose lease ran out (`expired`), or only its database session is gone.

    `restarted`: the session is gone because Postgres was started anew, which every instance has to get over.
    """

    instance_id: str
    lease_until_s: float
    expired: bool
    restarted: bool = False
