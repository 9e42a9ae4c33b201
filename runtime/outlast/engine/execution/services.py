"""What the executions of one instance share."""

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
    """A workflow that another one starts: under this id, or what follows from a `key` of its own.

    It must end by `ends_by_s` (Unix seconds), if there is such a time. It is cancelled with the one that
    starts it, unless it is `detached`.
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
    """Gives back workflows whose records their code doesn't fit."""

    async def hold(self, workflow_id: str, epoch: int, hold: Hold) -> bool | None:
        """Whether it is held; False where an instance has other code for it, None where it isn't ours."""

    async def pin(self, workflow_id: str, epoch: int, version: str) -> bool:
        """See HoldStore."""


class ExecutionHost(Host, Protocol):
    """What executions reach of the engine for their functions, and for themselves."""

    async def start_child(
        self, child: Child, workflow: WorkflowDefinition, args: Args, kwargs: Kwargs
    ) -> str:
        """Start a workflow for another; its id."""

    async def inputs_of(self, workflow: WorkflowDefinition, items: Sequence[Any]) -> list[str]:
        """The input of each item, as its workflow's only argument. Raises UsageError, InvalidInput."""

    async def start_block(
        self, children: Children, workflow: WorkflowDefinition, first: int, inputs: Sequence[str]
    ) -> list[str | None]:
        """Start workflows for another, whose places begin at `first`, together; their ids.

        None where there is one of another function, or with another input.
        """

    async def those_of(self, workflow_ids: Sequence[str]) -> list[str]:
        """Which of these are there, the last ones first. Raises DatabaseUnavailable."""

    def new_map(self, operation: Map, children: Children, fingerprint: str) -> NewMap:
        """A map whose items are `children`, made of what has this fingerprint. Raises UsageError."""

    def new_items(
        self, children: Children, workflow: WorkflowDefinition, inputs: Sequence[str], keys: Sequence[str]
    ) -> list[NewWorkflow]:
        """The rows of a map's items, which wait in its queue."""

    async def result(self, workflow_id: str, awaiting: AbstractContextManager[None] | None = None) -> Any:
        """See Host; it is in `awaiting` from when it has looked and the workflow had not ended."""

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
        """Send a message of a workflow that was retried: see MessageStore."""

    async def attributes(self, workflow_id: str) -> str | None:
        """What a workflow is found by now (JSON); None for nothing. Raises DatabaseUnavailable."""

    async def ended(self, workflow_id: str) -> None:
        """Wait until a workflow has ended. Raises ShuttingDown."""


@dataclass(slots=True)
class Services:
    """What executions share."""

    host: ExecutionHost = field(init=False)
    """It needs the executions, as they need it."""
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
    """Waits that are longer leave the memory."""
    replay_arguments: str = "warn"
    """What a replay does that calls a recorded step with other arguments: `warn`, `hold` or `off`."""
    watch_bodies: bool = False
    clients: MakeClients | None = None
    seals: Seals = NO_SEALS
    """Of the links that workflows give to people."""
    tracing: Tracing | None = None
