"""What decorators attach to functions: plain immutable definitions without behaviour."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import update_wrapper
from typing import Any, ClassVar, Generic, Literal, NamedTuple, TypeVar
from weakref import ref

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
    """A step: it runs at least once, and is recorded once."""

    name: str
    fn: Callable[..., Any]
    is_async: bool
    retry: RetryPolicy
    timeout_s: float | None
    codec: Codec
    visible: bool = False
    """Whether users see its results in their workflows."""
    limit: Limit | None = None
    """The limit under which it takes a place before it begins."""


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
    """As in StepDefinition."""


@dataclass(frozen=True, slots=True, eq=False)
class WorkflowDefinition:
    """A workflow: it runs to one end, whatever happens to the instances that run it."""

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
    """Who may call it; None: as the gateway says."""
    webhook: Webhook | None = None
    queue: Queue | None = None
    """The queue in which its workflows wait. Messages of a Supabase Queue start it, too."""
    schedules: tuple[Schedule, ...] = ()
    """The schedules that start it."""
    steps_visible: bool = False
    """Whether users see the results of its workflows' steps."""
    headers: frozenset[str] = frozenset()
    """More header fields of the request to store."""
    body_bytes_max: int | None = None
    """The largest body; None: the host's default."""
    retention_s: float | None = None
    """How long its ended workflows are kept; None: the host's default; infinity: for ever."""
    version: int | None = None
    """Its declared version; None if it declares none."""
    aliases: tuple[str, ...] = ()
    """Former names, the oldest first."""
    environment: Own | None = field(default_factory=current_environment, repr=False, kw_only=True)
    """Its own environment variables: those that were in effect while its file was imported."""

    @property
    def number(self) -> int:
        """Its version; 1 if it declares none."""
        return FIRST if self.version is None else self.version

    def keyed_as(self, function: str) -> str:
        """The name in the keys of its calls: its oldest name, so that keys stay valid after a renaming."""
        # guard: renamed-keys-are-new = function
        return self.aliases[0] if self.aliases else function

    @property
    def batches(self) -> bool:
        """Whether its function takes many inputs at once. `inputs` and `codec` are those of one."""
        return self.queue is not None and self.queue.batches


@dataclass(frozen=True, slots=True, eq=False)
class HandlerDefinition:
    """A plain function from request to response. Nothing of it is durable."""

    name: str
    fn: Callable[..., Any]
    is_async: bool
    methods: tuple[str, ...]
    auth: tuple[AuthMode, ...] | None = None
    webhook: Webhook | None = None
    body_bytes_max: int | None = None


class Replaced(NamedTuple):
    """A definition above another one of the same name."""

    still_there: ref[Any]
    """None once called means that nothing refers to it: no other name, and no table."""
    line: int


D = TypeVar("D", StepDefinition, TransactionDefinition, WorkflowDefinition, HandlerDefinition)


class Decorated(Generic[D]):
    """The result of a decorator. It looks like the function; its repr tells kind and name."""

    decorator: ClassVar[str]

    def __init__(self, definition: D) -> None:
        self.definition: D = definition
        update_wrapper(self, definition.fn)  # type: ignore[arg-type]  # each of them is callable
        self.replaced = _find_replaced(definition.fn)

    @property
    def line(self) -> int:
        """The line of its file where it begins."""
        return self.definition.fn.__code__.co_firstlineno

    def __repr__(self) -> str:
        return f"<{self.decorator} {getattr(self, '__qualname__', '')}>"


def _find_replaced(fn: Callable[..., Any]) -> Replaced | None:
    """The definition whose name in its file `fn` is about to take.

    A loop that defines one function again and again means to.
    """
    former = getattr(fn, "__globals__", {}).get(fn.__name__) if fn.__qualname__ == fn.__name__ else None
    if not isinstance(former, Decorated):
        return None
    code = former.definition.fn.__code__
    if former.definition.fn.__module__ != fn.__module__ or code is fn.__code__:
        return None
    return Replaced(ref(former), code.co_firstlineno)


def is_async(fn: Callable[..., Any]) -> bool:
    """Whether calling `fn` returns a coroutine."""
    return inspect.iscoroutinefunction(fn)
