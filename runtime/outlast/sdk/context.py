"""`context()`: what a running function can ask about itself."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from outlast.core.attributes import attributes_json
from outlast.core.callers import NOBODY, Caller, CallerToken
from outlast.core.errors import UsageError
from outlast.core.names import actor_of
from outlast.sdk.calls import ask, ask_done
from outlast.sdk.loops import on_a_loop
from outlast.sdk.operations import ReadAttributes, SetAttributes
from outlast.sdk.requests import Request
from outlast.sdk.running import current_host, current_line, line_in_body


class Clients(Protocol):
    """The clients behind `context().supabase`. They belong to one running function, and close with it."""

    @property
    def token(self) -> CallerToken | None:
        """The caller's token, if this process has it."""

    def of_caller(self, *, blocking: bool) -> Any:
        """A client that acts for the caller. Raises UsageError, CallerTokenGone."""

    def of_service(self, *, blocking: bool) -> Any:
        """A client with the project's secret key. Raises UsageError."""

    async def close(self) -> None:
        """Close the clients that were made. Idempotent; never raises."""


MakeClients = Callable[[Caller, CallerToken | None], Clients]
"""The clients for one caller."""


class WorkflowLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger that adds the workflow's id, and is silent while recorded steps are replayed."""

    def __init__(self, logger: logging.Logger, workflow_id: str, replaying: Callable[[], bool]) -> None:
        super().__init__(logger, {"workflow_id": workflow_id})
        self._replaying = replaying

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name
        """Whether a record of `level` would be kept now."""
        return not self._replaying() and super().isEnabledFor(level)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Put the workflow's id before the text, and into `extra` beside what the caller gave."""
        own = dict(self.extra or {})
        return f"[{own.get('workflow_id')}] {msg}", {
            **kwargs,
            "extra": {**own, **(kwargs.get("extra") or {})},
        }


@dataclass(frozen=True, slots=True)
class Tick:
    """The tick of a schedule that a workflow was started for. The times are aware, in UTC."""

    schedule: str
    nominal: datetime
    """The time in the schedule's timetable."""
    actual: datetime
    """When the workflow was started."""
    previous: datetime | None
    """The nominal time of the tick that ran before this one; None for the first one."""

    @staticmethod
    def from_record(record: str) -> Tick:
        """The tick in the column `tick`."""
        times = json.loads(record)
        schedule = times.pop("schedule")
        return Tick(schedule, **{each: at and datetime.fromisoformat(at) for each, at in times.items()})


@dataclass(frozen=True, slots=True)
class Context:
    """What is known about the running function."""

    function: str
    workflow_id: str
    """Empty in handlers and ASGI apps, which aren't workflows."""
    logger: logging.LoggerAdapter[logging.Logger]
    request: Request | None = None
    caller: Caller = NOBODY
    recovery_attempt: int = 0
    """How often the workflow was taken over from a lost instance. A replay may see a higher number."""
    attempt: int = 1
    """In a step: the number of this attempt, from 1."""
    max_attempts: int = 1
    """In a step: how many attempts there may be."""
    step_id: str | None = None
    """In a step or a transaction: its id in the workflow, the same on each attempt and after a crash."""
    root_id: str = ""
    """The id of the first workflow of a line of forks: for keys that are given to other systems."""
    tick: Tick | None = None
    """For a workflow that a schedule started."""
    step: str | None = None
    """In a step or a transaction: its name."""
    trace_id: str | None = None
    """The workflow's trace id, 32 digits; None if traces are off.

    Use it in logs and steps only. A body must not return it or decide by it: a replay may be in another
    trace.
    """
    clients: Clients | None = field(default=None, repr=False)
    """The clients behind `supabase` and `supabase_admin`."""

    @property
    def supabase(self) -> Any:
        """A Supabase client that acts for the caller, under row-level security.

        A `supabase.AsyncClient` in `async def` code, a `supabase.Client` in a `def` function's thread. It is
        made at first use and closed with the workflow. Raises UsageError in a workflow's body, where a replay
        would repeat its calls, and if SUPABASE_URL or a key isn't set. Raises CallerTokenGone if the caller's
        token is no longer known (after a recovery or a long sleep), or has expired.
        """
        return self._clients("supabase").of_caller(blocking=not on_a_loop())

    @property
    def supabase_admin(self) -> Any:
        """A client with the project's secret key, which bypasses row-level security. Raises UsageError."""
        return self._clients("supabase_admin").of_service(blocking=not on_a_loop())

    def attributes(self) -> Any:
        """This workflow's attributes now: `stage = (await context().attributes()).get("stage")`.

        In a `def` workflow without `await`. A dict with those that it was started with, and all changes by
        its body and by operators. The call is recorded: a replay gets the same attributes. Raises UsageError
        outside a workflow's body.
        """
        otherwise = "are read in a workflow's body: hand a step those that it needs"
        return ask(ReadAttributes(), line_in_body("attributes", otherwise), "attributes")

    def set_attributes(self, changes: Mapping[str, str | int | float | bool | None]) -> Awaitable[None]:
        """Change this workflow's attributes: `await context().set_attributes({"stage": "paid"})`.

        In a `def` workflow without `await`. None removes an attribute; others stay. The call is recorded: a
        replay sets nothing again. Others see the change once it is durable; the call doesn't wait for that.
        Raises UsageError outside a workflow's body, for more than 32 attributes, for a key that isn't a
        letter followed by letters, digits, "_", "." and "-" (64 at most), and for a value that isn't a text
        of at most 256 characters, a number or a boolean.
        """
        try:
            body = attributes_json(changes, nulls=True) or "{}"
        except ValueError as error:
            raise UsageError(f"set_attributes: {error}") from None
        otherwise = "belongs in a workflow's body: a step returns what is to be set"
        return ask_done(SetAttributes(body), line_in_body("set_attributes", otherwise), "set_attributes")

    def _clients(self, name: str) -> Clients:
        if current_line() is not None:
            raise UsageError(
                f"context().{name} reaches out, and a workflow's body may run again: use it in a @step"
            )
        if self.clients is None:
            raise UsageError(f"context().{name} is known only in a host: start one with `outlast serve`")
        host = current_host()
        if host is not None and on_a_loop() and not host.is_here():
            raise UsageError(
                f"context().{name} was asked for on an event loop that isn't the host's, where its client "
                "can't be closed: make the function async def, or use the client that a def function gets"
            )
        return self.clients


_context: ContextVar[Callable[[], Context] | None] = ContextVar("outlast_context", default=None)


def context() -> Context:
    """The context of the workflow, step or handler that runs here. Raises UsageError elsewhere."""
    found = _context.get()
    if found is None:
        raise UsageError("context() is known only while a workflow, one of its steps or a handler runs")
    return found()


def known_context() -> Context | None:
    """The context of what runs here; None if nothing of a function runs here."""
    found = _context.get()
    return None if found is None else found()


def who_acts() -> str:
    """The function that runs here, as recorded for what it does to others."""
    here = known_context()
    if here is None:
        return "a function"
    return actor_of(here.workflow_id) if here.workflow_id else f"function {here.function}"


def current_caller() -> tuple[Caller, CallerToken | None]:
    """The caller for whom the running function acts, and the caller's token; NOBODY outside of functions."""
    found = _context.get()
    if found is None:
        return NOBODY, None
    here = found()
    return here.caller, None if here.clients is None else here.clients.token


def enter_context(entered: Callable[[], Context]) -> None:
    """Make the result of `entered` the current context. It is called when somebody asks for it."""
    _context.set(entered)


def enter_attempt(step_id: str, attempt: int, max_attempts: int, step: str = "") -> None:
    """Make the context of an attempt of a step the current one."""
    found = _context.get()
    if found is not None:
        _context.set(
            lambda: replace(
                found(), step_id=step_id, attempt=attempt, max_attempts=max_attempts, step=step or None
            )
        )
