"""How a call finds its workflow: context variables, and the protocols that the engine implements."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import Context, ContextVar, Token
from dataclasses import dataclass, field
from threading import get_ident
from typing import Any, NoReturn, Protocol

from outlast.core.errors import CompensationFailed, UsageError
from outlast.core.events import Taken
from outlast.core.maps import ItemEnd
from outlast.core.placement import USUAL, Placement
from outlast.core.verbs import UNDO, Verb
from outlast.sdk.definitions import TransactionDefinition, WorkflowDefinition
from outlast.sdk.operations import Args, Kwargs, Operation


class Body(Protocol):
    """The body of a running workflow, as the SDK calls it."""

    def call(self, operation: Operation) -> asyncio.Future[Any]:
        """The result of an operation, as a future of the body's own loop."""

    def block(self, operation: Operation) -> Any:
        """The result of an operation. Blocks the thread of a `def` workflow."""

    @property
    def now_s(self) -> float:
        """The body's time in Unix seconds: that of the last completion that it was handed."""

    def leave(self, why: str) -> NoReturn:
        """End this execution; the workflow goes on later. Raises Stopped."""

    def patched(self, name: str) -> bool:
        """Whether the body takes the new way of a change of its code. Raises Stopped."""

    def draw(self) -> str:
        """A text that is unique among all draws of all workflows, and the same on each replay."""

    def tell_unawaited(self, name: str, place: str) -> None:
        """Report that a call of this workflow was made at `place` (file:line) and never awaited."""

    @property
    def goes_on(self) -> bool:
        """Whether a saga's undo can be recorded now. Otherwise the next execution of the workflow undoes."""

    def open_saga(self, saga: OpenSaga) -> None:
        """The body entered a saga."""

    def close_saga(self, saga: OpenSaga) -> None:
        """The body has left a saga, and undone what had to be undone."""

    def stands(self, saga: StandingSaga, error: CompensationFailed, *, again: bool) -> None:
        """A saga couldn't undo everything: `error` leaves it.

        `again`: it is tried again once the body has ended.
        """


class OpenSaga(Protocol):
    """A saga that a body has entered."""

    task: asyncio.Task[Any] | None
    """The task that entered it; None in a `def` body."""

    def standing(self) -> list[dict[str, Any]]:
        """What it has done, as in `CompensationFailed.standing`."""


class StandingSaga(Protocol):
    """A saga that couldn't undo everything."""

    left_by: BaseException | None
    """The exception that left its block."""

    @property
    def undone(self) -> list[str]:
        """The ids of the notes of what was undone."""

    def undo_again(self) -> Any:
        """Undo again what stands; in an `async def` body it must be awaited. See `Saga.undo_again`."""


class NextEvent(Protocol):
    """A reader of events."""

    async def __call__(self, timeout_s: float | None = None) -> Taken:
        """The next event; or that the workflow has ended, or the time is over. Raises WorkflowNotFound."""


class Host(Protocol):
    """The part of the engine that handlers, ASGI apps and steps use."""

    async def start(
        self,
        workflow: WorkflowDefinition,
        args: Args,
        kwargs: Kwargs,
        key: str | None,
        placement: Placement = USUAL,
    ) -> str:
        """Start a workflow; its id once its row is durable."""

    async def start_all(
        self, workflow: WorkflowDefinition, items: Sequence[Any], placement: Placement = USUAL
    ) -> list[str]:
        """Start a workflow for each item, its only argument; their ids once all rows are durable."""

    async def result(self, workflow_id: str) -> Any:
        """What the workflow returned. Raises WorkflowError."""

    def events_of(self, workflow_id: str, event: str, after: int = 0, *, newest: bool = False) -> NextEvent:
        """A reader of the events of one name after a number, or of the newest one."""

    def read_items(self, map_id: str, ids: Sequence[str] | None, first: int, limit: int) -> list[ItemEnd]:
        """The results of items of a map: see core.ports.MapStore.ends. Raises DatabaseUnavailable."""

    def read_failures(self, map_id: str, after: str, limit: int) -> list[ItemEnd]:
        """The items that failed: see core.ports.MapStore.failures. Raises DatabaseUnavailable."""

    def error_of(self, end: ItemEnd, workflow: WorkflowDefinition) -> Exception:
        """The exception of an item that failed."""

    async def first_ended(self, workflow_ids: Sequence[str], timeout_s: float | None) -> str | None:
        """The first of these that has ended; None if none ends within `timeout_s`.

        Raises WorkflowNotFound.
        """

    async def cancel(
        self, workflow_id: str, by: str | None = None, mode: str = UNDO, why: str | None = None
    ) -> None:
        """Cancel a workflow, if it has not ended. `by`: who acts, if it isn't the function that runs here."""

    async def act(
        self, verb: Verb, workflow_id: str, arguments: Mapping[str, Any], by: str | None = None
    ) -> Mapping[str, Any]:
        """Apply a verb to a workflow; the verb's result. `by` as in `cancel`.

        Raises WorkflowNotFound, WrongState, UsageError for invalid arguments, InvalidInput.
        """

    async def send(self, workflow_id: str, body: str, topic: str, key: str | None) -> int:
        """Send a message (JSON text); its id. A key sends it once."""

    async def transact(self, transaction: TransactionDefinition, args: Args, kwargs: Kwargs) -> Any:
        """Run a transaction outside a workflow: one commit, no record."""

    async def manage_schedule(
        self,
        verb: Verb,
        name: str | None,
        arguments: Mapping[str, Any],
        workflow: WorkflowDefinition | None = None,
    ) -> Mapping[str, Any]:
        """Apply a verb to a schedule; the verb's result. `workflow` is the one that a new schedule starts."""

    def block(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Run `call` on the loop from another thread, and wait for it."""

    def submit(self, call: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Run `call` on the loop from another thread."""

    def is_here(self) -> bool:
        """Whether this is the thread that the host's loop runs in."""

    def tell_unawaited(self, name: str, place: str) -> None:
        """Report that a call outside of a workflow was made at `place` (file:line) and never awaited."""


@dataclass(frozen=True, slots=True)
class Line:
    """The workflow's body that the current task or thread belongs to."""

    body: Body
    threaded: bool
    """Whether it is a `def` workflow."""
    thread: int = field(default_factory=get_ident)
    """The thread in which its calls are made. Calls of other threads have no place in its order."""


_line: ContextVar[Line | None] = ContextVar("outlast_line", default=None)
_undoing: ContextVar[bool] = ContextVar("outlast_undoing", default=False)
_host: ContextVar[Host | None] = ContextVar("outlast_host", default=None)


def current_line() -> Line | None:
    """The workflow's body that runs here; None in a step, a handler and outside."""
    return _line.get()


def line_here(name: str) -> Line | None:
    """`current_line` for a call of `name`. Raises UsageError in a thread that the workflow's body made.

    Such a call would have no fixed place in the body's order, so it couldn't be replayed. A loop of such a
    thread must not enter the engine either.
    """
    line = _line.get()
    # guard: thread-not-compared
    if line is not None and line.thread != get_ident():
        raise UsageError(
            f"{name} was called in a thread that the workflow's body made: its calls have no certain order, "
            "so they can't be recorded and replayed. Call it in the body itself; for many at once make the "
            "workflow async def and write `await asyncio.gather(…)` (over `….aio(…)` of def steps), or let "
            "one step make the threads"
        )
    return line


def line_in_body(name: str, otherwise: str) -> Line:
    """`current_line`, for calls that only bodies may make.

    Elsewhere it raises UsageError, which ends with `otherwise`.
    """
    line = line_here(name)
    if line is None:
        raise UsageError(f"{name} {otherwise}")
    return line


def enter_line(line: Line | None) -> Token[Line | None]:
    """Make `line` the current one in this context."""
    return _line.set(line)


def leave_line(token: Token[Line | None]) -> None:
    """Undo `enter_line`."""
    _line.reset(token)


def current_host() -> Host | None:
    """The host whose handler or step runs here; None if neither does."""
    return _host.get()


def enter_host(host: Host) -> None:
    """Make `host` the current one in this context and all contexts copied from it."""
    _host.set(host)


def undoes(context: Context | None = None) -> bool:
    """Whether the code of this context (None: the current one) belongs to a saga's undo."""
    return _undoing.get() if context is None else context.get(_undoing, False)


@contextmanager
def undo_here() -> Iterator[None]:
    """Mark what is called in this block, and in tasks made in it, as part of an undo, which isn't stopped."""
    token = _undoing.set(True)
    try:
        yield
    finally:
        _undoing.reset(token)
