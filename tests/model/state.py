"""What the model's states hold: the database, the instances' memories, what is on its way, the clients.

One workflow, whose steps come one after another. All is immutable and hashable. What is marked *ghost* is
read by no part of the protocol: it is there for the rules in `rules.py` alone.
"""

from __future__ import annotations

from enum import IntEnum, auto
from typing import NamedTuple

Instance = int
Nonce = int


class Kind(IntEnum):
    """What a step of the model's workflow is."""

    STEP = auto()
    """Something outside, then a record by the journal."""
    TRANSACTION = auto()
    """An effect in the database and its record, in one commit."""
    SLEEP = auto()
    """Long: a record of when it is over, and the workflow is given back until then."""


class Status(IntEnum):
    """`workflow_status.status`; ENQUEUED and ERROR behave like PENDING and SUCCESS here."""

    PENDING = auto()
    SUCCESS = auto()
    CANCELLED = auto()
    EXHAUSTED = auto()


class Taken(IntEnum):
    """Ghost: by what an instance lost the row."""

    NOT = auto()
    EXPIRY = auto()
    SESSION = auto()
    """Its session was seen gone, whatever its lease."""
    GIVEN = auto()
    """It gave the row back itself."""
    CANCEL = auto()
    PAUSE = auto()


class Row(NamedTuple):
    """A row of `workflow_status`."""

    payload: str
    owner: Instance | None
    epoch: int
    nonce: Nonce
    status: Status = Status.PENDING
    claimable: bool = False
    attempts: int = 0
    generation: int = 1
    """Each retry raises it."""
    held: bool = False
    """Paused: nobody claims it."""
    taken: tuple[Taken, ...] = (Taken.NOT,) * 3
    """Ghost: of each instance, by what it last lost the row."""
    implied: tuple[str, ...] = ()
    """Ghost: what the body had seen of its steps when it returned."""


class Record(NamedTuple):
    """A row of `operation_outputs`."""

    outcome: str
    nonce: Nonce
    epoch: int
    """Ghost: of the execution that wrote it."""


class Database(NamedTuple):
    """All that is committed."""

    row: Row | None
    records: tuple[Record | None, ...]
    effects: int
    """Committed effects of the transaction."""
    leases: tuple[bool, ...]
    """Of each instance: whether its lease runs."""
    sessions: tuple[bool, ...]
    """Of each instance: whether the session named in its row is there."""


class Ends(IntEnum):
    """How a write ends its execution."""

    NOT = auto()
    SUCCESS = auto()
    HAND_OVER = auto()
    SUSPENSION = auto()


class Write(NamedTuple):
    """What one workflow has to write: an entry of the journal, and with a nonce a batch of it."""

    start: str | None = None
    """The payload of a new workflow."""
    epoch: int = 0
    steps: tuple[tuple[int, str], ...] = ()
    """Which step, and its outcome."""
    ends: Ends = Ends.NOT
    nonce: Nonce = 0
    seen: tuple[str, ...] = ()
    """Ghost: see Row.implied."""


class Flight(NamedTuple):
    """The journal's batch on its way. `answer` is None until the database executed it."""

    write: Write
    sent: bool = True
    again: bool = False
    answer: bool | None = None
    checked: bool | None = None
    """For the fence without its lock: what the check said, some time before the write."""


class Phase(IntEnum):
    """Where an execution is."""

    READY = auto()
    IN_STEP = auto()
    TRANSACTION_LOST = auto()
    """The connection of its transaction was lost; it will be run again."""
    TRANSACTION_OPEN = auto()
    TRANSACTION_INSERTED = auto()
    """Its record is inserted: the fence's FOR SHARE is held until the commit."""
    FAILING = auto()
    """Its transaction failed or was given up; the record of that is not durable yet."""
    ENDING = auto()


class Execution(NamedTuple):
    """A workflow in an instance's memory."""

    epoch: int
    at: int
    """The step it comes to next, or is in."""
    phase: Phase = Phase.READY
    seen: tuple[str, ...] = ()
    """What the body saw of its steps."""


class Does(IntEnum):
    """What the membership's loop is waiting for."""

    BEAT = auto()
    CLAIM = auto()
    RELEASE = auto()
    RECOVER = auto()


class Statement(NamedTuple):
    """A statement of the membership's loop on its way, and what it answered."""

    does: Does
    epoch: int = 0
    """BEAT: the execution known when it was sent. RELEASE: what is given back. CLAIM: what was got."""
    answered: bool = False
    owned: int | None = None
    """BEAT: the epoch of the row it owns, 0 for none; None until its snapshot was taken."""
    late: bool = False
    """BEAT: the lease that it renewed is over by now."""
    victim: Instance = -1
    expired: bool = False
    """RECOVER: what its snapshot says of the victim's lease."""
    second: bool = False
    """BEAT: the second one of an instance whose lease was not to be trusted."""


class Memory(NamedTuple):
    """What an instance knows; lost when it crashes."""

    trusted: bool = True
    closing: bool = False
    live: Execution | None = None
    starting: bool = False
    doubtful: bool = False
    """The lease was not to be trusted for a while since the start was queued."""
    entry: Write | None = None
    """What waits in the journal."""
    flight: Flight | None = None
    doing: Statement | None = None
    unknown: int = 0
    """Epoch of a row that it owns and didn't know at its last beat."""


class Zombie(NamedTuple):
    """A statement that its sender gave up: the server may execute it at any time, or never."""

    sender: Instance
    write: Write | None = None
    statement: Statement | None = None
    transaction: Execution | None = None
    """A transaction whose record is inserted, with its COMMIT on the way or not."""
    checked: bool | None = None


class Client(NamedTuple):
    """One that calls with the key. `heard` is the status it was told."""

    payload: str
    at: Instance | None = None
    accepted: bool = False
    refused: bool = False
    heard: Status | None = None
    generation: int = 1
    """Of the end that it was told."""

    @property
    def done(self) -> bool:
        """Whether it wants no more."""
        return self.refused or self.heard is not None


class Faults(NamedTuple):
    """How much may still go wrong, and how many more requests of operators come."""

    losses: int = 0
    """Connections lost with a statement on its way."""
    exits: int = 0
    """Crashes and shutdowns."""
    expiries: int = 0
    """Leases that run out while their instance lives: it is frozen, or the database is slow."""
    sessions: int = 0
    """Sessions seen gone while their instance lives."""
    cancels: int = 0
    retries: int = 0
    pauses: int = 0
    timeouts: int = 0
    """Transactions that the body gives up."""


class World(NamedTuple):
    """A state of the model."""

    database: Database
    instances: tuple[Memory | None, ...]
    """None: gone."""
    zombies: frozenset[Zombie]
    clients: tuple[Client, ...]
    left: Faults
    lie: str = ""
    """Ghost: a rule that was broken by what an instance did or said."""
