"""Where a call finds the workflow it belongs to: context variables, and what the engine offers there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from threading import get_ident
from typing import Any, Protocol

from outlast.core.errors import UsageError
from outlast.core.paths import Branch
from outlast.sdk.definitions import StepDefinition, TransactionDefinition, WorkflowDefinition

Args = tuple[Any, ...]
Kwargs = dict[str, Any]


class Runner(Protocol):
    """One execution of one workflow, as the SDK calls it. Coroutines run on the host's event loop."""

    def call_step(
        self, branch: Branch, step: StepDefinition, args: Args, kwargs: Kwargs
    ) -> Coroutine[Any, Any, Any]:
        """Replay or run the branch's next step."""
        ...

    def call_transaction(
        self, branch: Branch, transaction: TransactionDefinition, args: Args, kwargs: Kwargs
    ) -> Coroutine[Any, Any, Any]:
        """Replay or run the branch's next transaction."""
        ...

    def call_sleep(
        self, branch: Branch, duration_s: float | None, until_s: float | None
    ) -> Coroutine[Any, Any, None]:
        """Sleep for a duration, or until a Unix time."""
        ...

    def call_receive(
        self, branch: Branch, topic: str, timeout_s: float | None
    ) -> Coroutine[Any, Any, str | None]:
        """Wait for the next message of a topic (empty: the one without a name); None if the time is over."""
        ...

    def call_send(
        self, branch: Branch, workflow_id: str, body: str, topic: str, key: str | None
    ) -> Coroutine[Any, Any, int]:
        """Send a message once; its id."""
        ...

    def call_publish(self, branch: Branch, event: str, body: str) -> Coroutine[Any, Any, None]:
        """Publish an event (JSON text) once."""
        ...

    def call_start(
        self,
        branch: Branch,
        workflow: WorkflowDefinition,
        args: Args,
        kwargs: Kwargs,
        key: str | None,
        detached: bool,
    ) -> Coroutine[Any, Any, str]:
        """Start a child once, under a key of its own if there is one; its id.

        Unless `detached` it must end when this workflow must.
        """
        ...

    def call_result(
        self, branch: Branch, workflow_id: str, workflow: WorkflowDefinition | None
    ) -> Coroutine[Any, Any, Any]:
        """Wait for another workflow as a recorded step; what it raised is looked for where it is defined."""
        ...

    def tell_unawaited(self, name: str, place: str) -> None:
        """A call of this workflow was made at `place` (file:line) and never awaited."""
        ...

    def block(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Run `call` on the loop from the thread of a `def` workflow, and wait for it."""
        ...


class Host(Protocol):
    """What handlers, ASGI apps and steps reach of the engine."""

    async def start(self, workflow: WorkflowDefinition, args: Args, kwargs: Kwargs, key: str | None) -> str:
        """Start a workflow; its id once its row is durable."""
        ...

    async def result(self, workflow_id: str) -> Any:
        """What the workflow returned. Raises WorkflowError."""
        ...

    async def send(self, workflow_id: str, body: str, topic: str, key: str | None) -> int:
        """Send a message (JSON text); its id. Under one key once."""
        ...

    async def transact(self, transaction: TransactionDefinition, args: Args, kwargs: Kwargs) -> Any:
        """Run a transaction outside a workflow: one commit, no record."""
        ...

    def block(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Run `call` on the loop from another thread, and wait for it."""
        ...

    def submit(self, call: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Run `call` on the loop from another thread."""
        ...

    def is_here(self) -> bool:
        """Whether this is the thread that the host's loop runs in."""
        ...

    def tell_unawaited(self, name: str, place: str) -> None:
        """A call outside of a workflow was made at `place` (file:line) and never awaited."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """The branch of a workflow that the current task or thread is."""

    runner: Runner
    branch: Branch
    threaded: bool
    thread: int = field(default_factory=get_ident)
    """In which its calls are made: the one it was entered in. What others do has no place in its order."""


_line: ContextVar[Line | None] = ContextVar("outlast_line", default=None)
_host: ContextVar[Host | None] = ContextVar("outlast_host", default=None)


def on_a_loop() -> bool:
    """Whether an event loop runs in this thread: then blocking would stop it, and things can be awaited."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def current_line() -> Line | None:
    """The workflow branch that runs here; None in a step, a handler and outside."""
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


def line_of_await(name: str) -> Line:
    """The branch that awaits a call, which needn't be the one that made it: `gather(charge(), ship())`.

    Raises UsageError where the call was made in a workflow and is awaited outside of it or in another
    thread.
    """
    line = line_here(name)
    if line is None:
        raise UsageError("a call made in a workflow's body must be awaited there, not in a step")
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
