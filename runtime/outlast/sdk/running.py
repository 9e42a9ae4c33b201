"""Where a call finds the workflow it belongs to: context variables, and what the engine offers there."""

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
    """The body of one workflow that runs, as the SDK calls it."""

    def call(self, operation: Operation) -> asyncio.Future[Any]:
        """What an operation comes to, to be awaited on the body's own loop."""

    def block(self, operation: Operation) -> Any:
        """What an operation comes to, in the thread of a `def` workflow, which waits for it."""

    @property
    def now_s(self) -> float:
        """The body's time in Unix seconds: as of what it was handed last."""

    def leave(self, why: str) -> NoReturn:
        """End this execution: the workflow goes on later. Raises Stopped."""

    def patched(self, name: str) -> bool:
        """Whether the body goes the new way of a change of its code. Raises Stopped."""

    def draw(self) -> str:
        """A text that no other draw of any workflow has, and that each replay makes again."""

    def tell_unawaited(self, name: str, place: str) -> None:
        """A call of this workflow was made at `place` (file:line) and never awaited."""

    @property
    def goes_on(self) -> bool:
        """Whether what a saga undoes now can be recorded: else it is left to who runs the workflow next."""

    def open_saga(self, saga: OpenSaga) -> None:
        """The body entered a saga."""

    def close_saga(self, saga: OpenSaga) -> None:
        """It has left it, and undone what was to be undone."""

    def stands(self, saga: StandingSaga, error: CompensationFailed, *, again: bool) -> None:
        """Not all of a saga could be undone: it is left by this. `again`: once the body has ended."""


class OpenSaga(Protocol):
    """A saga that a body is in."""

    task: asyncio.Task[Any] | None
    """The one that entered it; None in a `def` body."""

    def standing(self) -> list[dict[str, Any]]:
        """What it has done, as `CompensationFailed.standing` has it."""


class StandingSaga(Protocol):
    """A saga that could not undo all."""

    left_by: BaseException | None
    """What its block was left by."""

    @property
    def undone(self) -> list[str]:
        """The records that note what was undone."""

    def undo_again(self) -> Any:
        """Undo what stands; in an `async def` body to be awaited. As `Saga.undo_again`."""


class NextEvent(Protocol):
    """A reader of events."""

    async def __call__(self, timeout_s: float | None = None) -> Taken:
        """The next one, that the workflow has ended, or that none came in time. Raises WorkflowNotFound."""


class Host(Protocol):
    """What handlers, ASGI apps and steps reach of the engine."""

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
        """What gives the events of one name after a number, one after the other, or the newest one."""

    def read_items(self, map_id: str, ids: Sequence[str] | None, first: int, limit: int) -> list[ItemEnd]:
        """How items of a map ended: see core.ports.MapStore.ends. Raises DatabaseUnavailable."""

    def read_failures(self, map_id: str, after: str, limit: int) -> list[ItemEnd]:
        """The items that failed: see core.ports.MapStore.failures. Raises DatabaseUnavailable."""

    def error_of(self, end: ItemEnd, workflow: WorkflowDefinition) -> Exception:
        """What an item raised that failed."""

    async def first_ended(self, workflow_ids: Sequence[str], timeout_s: float | None) -> str | None:
        """The first of these that has ended; None if none has within `timeout_s`. Raises WorkflowNotFound."""

    async def cancel(
        self, workflow_id: str, by: str | None = None, mode: str = UNDO, why: str | None = None
    ) -> None:
        """Cancel a workflow, if it has not ended. `by`: who does it, if not the function that runs here."""

    async def act(
        self, verb: Verb, workflow_id: str, arguments: Mapping[str, Any], by: str | None = None
    ) -> Mapping[str, Any]:
        """Do a verb to a workflow; what it returns. `by` as for `cancel`.

        Raises WorkflowNotFound, WrongState, UsageError for arguments that it doesn't take, InvalidInput.
        """

    async def send(self, workflow_id: str, body: str, topic: str, key: str | None) -> int:
        """Send a message (JSON text); its id. Under one key once."""

    async def transact(self, transaction: TransactionDefinition, args: Args, kwargs: Kwargs) -> Any:
        """Run a transaction outside a workflow: one commit, no record."""

    async def manage_schedule(
        self,
        verb: Verb,
        name: str | None,
        arguments: Mapping[str, Any],
        workflow: WorkflowDefinition | None = None,
    ) -> Mapping[str, Any]:
        """Do a verb to a schedule; what it returns. `workflow` is what a new one starts."""

    def block(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Run `call` on the loop from another thread, and wait for it."""

    def submit(self, call: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Run `call` on the loop from another thread."""

    def is_here(self) -> bool:
        """Whether this is the thread that the host's loop runs in."""

    def tell_unawaited(self, name: str, place: str) -> None:
        """A call outside of a workflow was made at `place` (file:line) and never awaited."""


@dataclass(frozen=True, slots=True)
class Line:
    """The body of a workflow that the current task or thread belongs to."""

    body: Body
    threaded: bool
    """Whether it is a `def` workflow."""
    thread: int = field(default_factory=get_ident)
    """In which its calls are made: the one it was entered in. What others do has no place in its order."""


_line: ContextVar[Line | None] = ContextVar("outlast_line", default=None)
_undoing: ContextVar[bool] = ContextVar("outlast_undoing", default=False)
_host: ContextVar[Host | None] = ContextVar("outlast_host", default=None)


def current_line() -> Line | None:
    """The workflow's body that runs here; None in a step, a handler and outside."""
    return _line.get()


def line_here(name: str) -> Line | None:
    """`current_line` for a call of `name`. Raises UsageError in a thread that the workflow's body made.

    Such a call would come at no certain place of the body's order, so that it can't be replayed; and a loop
    of such a thread must not enter the engine.
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
    """The same for what bodies alone may call. Elsewhere it raises UsageError, which `otherwise` ends."""
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
    """The host whose handler or step runs here; None outside of one."""
    return _host.get()


def enter_host(host: Host) -> None:
    """Make `host` the current one in this context and all made from it."""
    _host.set(host)


def undoes(context: Context | None = None) -> bool:
    """Whether what runs in this context (None: the current one) belongs to an undo of a saga."""
    return _undoing.get() if context is None else context.get(_undoing, False)


@contextmanager
def undo_here() -> Iterator[None]:
    """What is called in here, and in tasks that are made in here, belongs to an undo: it is not stopped."""
    token = _undoing.set(True)
    try:
        yield
    finally:
        _undoing.reset(token)
