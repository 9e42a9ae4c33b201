"""What all executions of one instance share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from outlast.core.callbacks import NO_SEALS, Seals
from outlast.core.clock import Clock
from outlast.core.holds import Hold
from outlast.core.maps import NewMap
from outlast.core.observations import Observer
from outlast.core.placement import USUAL, Placement
from outlast.core.ports import Fence, MapStore, QueueStore, TransactionStore
from outlast.core.records import NewWorkflow
from outlast.core.tracing import Tracing
from outlast.engine.journal import Journal
from outlast.engine.lease import Lease
from outlast.engine.waits.emissions import Emissions
from outlast.engine.waits.events import EventReading
from outlast.engine.waits.limits import Limits
from outlast.engine.waits.messages import Delivery
from outlast.sdk.context import MakeClients
from outlast.sdk.definitions import WorkflowDefinition
from outlast.sdk.operations import Args, Kwargs, Map
from outlast.sdk.running import Host


class Child(NamedTuple):
    """A workflow that another one starts. Its id is given, or derived from its `key`.

    It must end by `ends_by_s` (Unix seconds), if that is set. It is cancelled together with its parent,
    unless it is `detached`.
    """

    workflow_id: str
    parent: str
    key: str | None
    ends_by_s: float | None
    detached: bool
    placement: Placement = USUAL


class Children(NamedTuple):
    """Workflows that another one starts together. Their ids are `prefix/PLACE`."""

    prefix: str
    parent: str
    ends_by_s: float | None
    detached: bool = False
    placement: Placement = USUAL


class Holding(Protocol):
    """Holds workflows whose code doesn't fit their records."""

    async def hold(self, workflow_id: str, epoch: int, hold: Hold) -> bool | None:
        """Whether it is held. False: an instance has other code for it. None: it isn't this instance's."""

    async def pin(self, workflow_id: str, epoch: int, version: str) -> bool:
        """See HoldStore."""


class ExecutionHost(Host, Protocol):
    """What executions use of the engine, for their functions and for themselves."""

    async def start_child(
        self, child: Child, workflow: WorkflowDefinition, args: Args, kwargs: Kwargs
    ) -> str:
        """Start a child workflow; returns its id."""

    async def inputs_of(self, workflow: WorkflowDefinition, items: Sequence[Any]) -> list[str]:
        """The input of each item as the workflow's only argument. Raises UsageError, InvalidInput."""

    async def start_block(
        self, children: Children, workflow: WorkflowDefinition, first: int, inputs: Sequence[str]
    ) -> list[str | None]:
        """Start child workflows together, whose places begin at `first`; returns their ids.

        An id is None if that workflow exists with another function or another input.
        """

    async def those_of(self, workflow_ids: Sequence[str]) -> list[str]:
        """Which of these workflows exist, the last ones first. Raises DatabaseUnavailable."""

    def new_map(self, operation: Map, children: Children, fingerprint: str) -> NewMap:
        """A map with the items `children`. `fingerprint`: of what it goes over. Raises UsageError."""

    def new_items(
        self, children: Children, workflow: WorkflowDefinition, inputs: Sequence[str], keys: Sequence[str]
    ) -> list[NewWorkflow]:
        """The rows of a map's items, which wait in the map's queue."""

    async def result(self, workflow_id: str, awaiting: AbstractContextManager[None] | None = None) -> Any:
        """See Host. It is within `awaiting` while it waits for a workflow that had not ended."""

    async def first_ended(
        self,
        workflow_ids: Sequence[str],
        timeout_s: float | None,
        awaiting: AbstractContextManager[None] | None = None,
    ) -> str | None:
        """See Host, and `result`."""

    async def send_again(
        self, fence: Fence, workflow_id: str, body: str, topic: str, key: str, generation: int
    ) -> int | None:
        """Send a message of a workflow that was retried. See MessageStore."""

    async def attributes(self, workflow_id: str) -> str | None:
        """The current attributes of a workflow (JSON); None without any. Raises DatabaseUnavailable."""

    async def ended(self, workflow_id: str) -> None:
        """Wait until a workflow has ended. Raises ShuttingDown."""


@dataclass(slots=True)
class Services:
    """What all executions of one instance share."""

    host: ExecutionHost = field(init=False)
    """Set later: the host needs the executions, and they need the host."""
    journal: Journal
    lease: Lease
    transactions: TransactionStore
    queues: QueueStore
    limits: Limits
    maps: MapStore
    clock: Clock
    observe: Observer
    step_threads: ThreadPoolExecutor
    suspended: Callable[[float | None], None]
    left_queue: Callable[[], None]
    delivery: Delivery
    emissions: Emissions
    events: EventReading
    holds: Holding
    stopping: Callable[[], bool]
    """Whether this instance shuts down."""
    moment_s: float
    """A workflow leaves the memory for waits that are longer."""
    replay_arguments: str = "warn"
    """What happens when a replay calls a recorded step with other arguments: `warn`, `hold` or `off`."""
    watch_bodies: bool = False
    clients: MakeClients | None = None
    seals: Seals = NO_SEALS
    """The seals for workflows' callback links."""
    tracing: Tracing | None = None
