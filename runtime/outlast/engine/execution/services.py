"""What the executions of one instance share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

from outlast.core.clock import Clock
from outlast.core.observations import Observer
from outlast.core.ports import TransactionStore
from outlast.engine.journal import Journal
from outlast.engine.lease import Lease
from outlast.engine.waits.messages import Delivery
from outlast.sdk.clients import MakeClients
from outlast.sdk.definitions import WorkflowDefinition


class Child(NamedTuple):
    """A workflow that another one starts: under this id, or what follows from a `key` of its own.

    It must end by `ends_by_s` (Unix seconds), if there is such a time.
    """

    workflow_id: str
    parent: str
    key: str | None
    ends_by_s: float | None


@dataclass(frozen=True, slots=True)
class Services:
    """What executions share."""

    journal: Journal
    lease: Lease
    transactions: TransactionStore
    clock: Clock
    observe: Observer
    step_threads: ThreadPoolExecutor
    start_child: Callable[[Child, WorkflowDefinition, tuple[Any, ...], dict[str, Any]], Awaitable[str]]
    """Gives the child's id."""
    result_of: Callable[[str], Awaitable[Any]]
    """What a workflow returned, or raised."""
    suspended: Callable[[float | None], None]
    delivery: Delivery
    send: Callable[[str, str, str, str], Awaitable[int]]
    moment_s: float
    """Waits that are longer leave the memory."""
    replay_arguments: str = "warn"
    """What a replay does that calls a recorded step with other arguments: `warn`, `hold` or `off`."""
    watch_bodies: bool = False
    clients: MakeClients | None = None
