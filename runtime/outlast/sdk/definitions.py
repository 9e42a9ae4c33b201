"""What a decorator attaches to a function: plain immutable definitions, with no behaviour of their own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import update_wrapper
from typing import Any, ClassVar, Generic, Literal, TypeVar

from outlast.core.codec import Codec
from outlast.core.retry import RetryPolicy
from outlast.core.schedules import Schedule
from outlast.core.versions import FIRST
from outlast.sdk.auth import AuthMode
from outlast.sdk.environment import Own, current_environment
from outlast.sdk.inputs import Inputs
from outlast.sdk.queues import Limit, Queue
from outlast.sdk.webhooks import Webhook

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, slots=True, eq=False)
class StepDefinition:
    """A step: recorded once, run at least once."""

    name: str
    fn: Callable[..., Any]
    is_async: bool
    retry: RetryPolicy
    timeout_s: float | None
    codec: Codec
    visible: bool = False
    """Whether users see what it returned in their workflows."""
    limit: Limit | None = None
    """Under which it takes a place before it begins."""


@dataclass(frozen=True, slots=True, eq=False)
class TransactionDefinition:
    """A step whose effects and record commit together. Its function's first parameter is the connection."""

    name: str
    fn: Callable[..., Any]
    is_async: bool
    retry: RetryPolicy
    timeout_s: float | None
    isolation: Literal["read committed", "repeatable read", "serializable"] | None
    role: Literal["service", "caller"]
    codec: Codec
    visible: bool = False
    """As of a step."""


@dataclass(frozen=True, slots=True, eq=False)
class WorkflowDefinition:
    """A workflow: run to one end, whatever happens to the instances it runs on."""

    name: str
    fn: Callable[..., Any]
    is_async: bool
    inputs: Inputs
    codec: Codec
    methods: tuple[str, ...]
    idempotency: Literal["optional", "required"]
    duplicates: Literal["attach", "conflict"]
    timeout_s: float | None
    auth: tuple[AuthMode, ...] | None = None
    """Whom it lets in; None leaves that to the gateway."""
    webhook: Webhook | None = None
    queue: Queue | None = None
    """The queue that its workflows wait in; of a Supabase Queue the messages start it, too."""
    schedules: tuple[Schedule, ...] = ()
    """When it starts by itself."""
    steps_visible: bool = False
    """Whether users see what the steps of their workflows returned."""
    headers: frozenset[str] = frozenset()
    """Further header fields of the request that are stored."""
    body_bytes_max: int | None = None
    """How large a body it takes; None for the host's default."""
    retention_s: float | None = None
    """How long its ended workflows are kept; None for the host's default, infinity for ever."""
    version: int | None = None
    """Which of several codes of one name this is; None for a function that has one."""
    aliases: tuple[str, ...] = ()
    """Names that it had before, the first one first."""
    environment: Own | None = field(default_factory=current_environment, repr=False, kw_only=True)
    """What its function sees of the environment as its own: it was made while that was imported."""

    @property
    def number(self) -> int:
        """Its version; who declares none is the first."""
        return FIRST if self.version is None else self.version

    def keyed_as(self, function: str) -> str:
        """The name that keys of its calls belong to: its first one, so that a new name makes no new keys."""
        # guard: renamed-keys-are-new = function
        return self.aliases[0] if self.aliases else function

    @property
    def batches(self) -> bool:
        """Whether its function gets many inputs at once. `inputs` and `codec` are those of one."""
        return self.queue is not None and self.queue.batches


@dataclass(frozen=True, slots=True, eq=False)
class HandlerDefinition:
    """A plain function from request to response; nothing of it is durable."""

    name: str
    fn: Callable[..., Any]
    is_async: bool
    methods: tuple[str, ...]
    auth: tuple[AuthMode, ...] | None = None
    webhook: Webhook | None = None
    body_bytes_max: int | None = None


D = TypeVar("D", StepDefinition, TransactionDefinition, WorkflowDefinition, HandlerDefinition)


class Decorated(Generic[D]):
    """What a decorator gives: it looks like the function. In messages it is told by its kind and name."""

    decorator: ClassVar[str]

    def __init__(self, definition: D) -> None:
        self.definition: D = definition
        update_wrapper(self, definition.fn)  # type: ignore[arg-type]  # each can be called

    def __repr__(self) -> str:
        return f"<{self.decorator} {getattr(self, '__qualname__', '')}>"


def is_async(fn: Callable[..., Any]) -> bool:
    """Whether calling `fn` gives a coroutine."""
    return inspect.iscoroutinefunction(fn)
