"""What a claim asks for and what it returns: workflows that this instance may run, and lost instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from outlast.core.callers import CallerToken
from outlast.core.replay import History


class Space(NamedTuple):
    """Bytes that the claimed workflows may take together; with `alone` the first one may be larger."""

    bytes_left: int = 2**62
    alone: bool = True


class Room(NamedTuple):
    """Room for workflows of these functions, and for up to `suspects` of those that were often lost."""

    functions: Sequence[str]
    workflows: int
    suspects: int
    space: Space = Space()
    large: Space | None = None
    """For large workflows that no workflow has started (core.budget.SMALL_BYTES), in place of `space`."""


@dataclass(slots=True)
class ClaimedWorkflow:
    """A workflow that this instance may run, with all that is recorded of it."""

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
    """Memory that input, request and records take (see core.budget.weigh)."""
    due_s: float | None = None
    """When it became due.

    It is due at this time again if it is released without having run; None: at once.
    """
    began_s: float | None = None
    """When it was claimed for the first time (Unix seconds). From then on time passes for its body.

    None if it was created claimed.
    """
    queue: str | None = None
    """The queue in which it takes a place while it runs."""
    tick: str | None = None
    """The tick of the schedule that started it (JSON)."""
    history: History = field(default_factory=History)
    members: Sequence[str] = ()
    """For a batch that has just begun: the workflows whose inputs it has."""
    stop: str | None = None
    """For a workflow that is to be undone: the error that it ends with (JSON)."""
    generation: int = 1
    """Counts its runs to an end: each retry increments it."""
    retried_s: float | None = None
    """When it was retried last, if ever."""
    last_place: int = 0
    """The last place in its order that was used before the retry."""
    token: CallerToken | None = None
    """The caller's token, if this process took the call. It is never stored."""
    born: str | None = None
    """For a fork: `root`, the first workflow of its line; with another one's records that one's `id` and
    `at_s`.

    For a retried workflow: `goes_on_s`, when it was first claimed since then (JSON).
    """


HELD_TOLD_AT = 3
"""So often one met what somebody holds when that is told of."""

ASIDE_MAX_S = 300
"""So long a message that is refused again and again is left alone. The first time it is a second."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """A message of a Supabase Queue that couldn't become a workflow.

    It stays in its queue, invisible for a while.
    """

    message_id: int
    read_count: int
    """How often it was read, including this time."""
    error: str
    remedy: str
    held: bool = False
    """Whether it failed because of a lock of another session."""

    @property
    def is_news(self) -> bool:
        """Whether it is worth telling: a lock that is held for a moment isn't."""
        return not self.held or self.read_count >= HELD_TOLD_AT


@dataclass(frozen=True, slots=True)
class Consumed:
    """What messages of a Supabase Queue became."""

    workflows: list[ClaimedWorkflow]
    wait: bool
    """Whether they wait for their turn in the queue; then this instance hasn't claimed them."""
    aside: SetAside | None = None


def aside_s(aside: SetAside, turn_s: float = 0.0) -> int:
    """For how many seconds a message is set aside. It grows with the times it was read, by any instance.

    `turn_s`: the least time, unless the cause was a lock.
    """
    # guard: refused-messages-asked-ever-again = 1
    pause_s = min(ASIDE_MAX_S, 1 << min(aside.read_count - 1, 10))
    # guard: refused-messages-without-turns = pause_s
    return max(pause_s, 0 if aside.held else int(turn_s))


@dataclass(frozen=True, slots=True)
class Claims:
    """The result of a claim: workflows, and lost instances.

    `undelivered`: there are messages to deliver. `untold`: there are ends to report. `queued`: queues have
    something to decide.
    """

    workflows: list[ClaimedWorkflow]
    lost: list[LostInstance]
    undelivered: bool = False
    untold: bool = False
    queued: bool = False
    full_queues: frozenset[str] = frozenset()
    """Queues whose limit of waiting workflows is reached."""
    stops: Mapping[str, str] = field(default_factory=dict)
    """For workflows that run here and are to be undone: the errors that they end with (JSON)."""
    refused: Sequence[str] = ()
    """Workflows whose rows have refused a change since the last claim, for the first time."""


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
