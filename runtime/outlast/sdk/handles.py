"""Handles of workflows: to wait for one, or for the first of several, to read events, and to cancel."""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Iterable
from typing import Any, Generic, Literal, TypeVar, overload

from outlast.core.codec import Codec, decode_answer
from outlast.core.errors import UsageError
from outlast.core.storable import check_text
from outlast.core.values import read_value
from outlast.core.verbs import WHY
from outlast.sdk.acting import Acts, SyncActs
from outlast.sdk.calls import do
from outlast.sdk.context import known_context
from outlast.sdk.definitions import WorkflowDefinition
from outlast.sdk.durations import Duration, seconds_of
from outlast.sdk.operations import Cancel, Result, WaitAny
from outlast.sdk.reading import RAISE, Events, newest_event

R = TypeVar("R")
T = TypeVar("T")

HANDLES_MAX = 10_000
"""The most handles that `wait_any` takes."""

_PLAIN = Codec()


class WorkflowHandle(Acts[Coroutine[Any, Any, dict[str, Any]]], Generic[R]):
    """A workflow that was started, or one of that id. `workflow_id` names it everywhere."""

    def __init__(self, workflow_id: str, workflow: WorkflowDefinition | None = None) -> None:
        """Raises UsageError for an invalid workflow id."""
        # One query asks for all workflows that are waited for. An id that Postgres can't read would fail it
        # for all.
        if not isinstance(workflow_id, str):
            raise UsageError(f"WorkflowHandle takes the id of a workflow, not {workflow_id!r:.100}")
        # guard: ids-that-no-text-holds
        check_text(workflow_id, "WorkflowHandle: the workflow's id")
        self.workflow_id = workflow_id
        self._workflow = workflow

    def __repr__(self) -> str:
        return f"WorkflowHandle({self.workflow_id!r})"

    def result(self) -> Coroutine[Any, Any, R]:
        """Wait for the workflow's result: `await handle.result()`, in `def` functions `handle.result()`.

        Raises what the workflow raised; WorkflowFailed if that can't be rebuilt; another WorkflowError for
        another end; WorkflowNotFound. In a workflow the wait is a recorded step. A `Response` comes as the
        plain value of its body.
        """
        here = known_context()
        if here is not None and here.workflow_id == self.workflow_id:
            raise UsageError(f"{self.workflow_id} waits for its own result, which would never come")
        operation = Result(self.workflow_id, self._workflow)
        return do("result", operation, lambda host: host.result(self.workflow_id), self._value)  # type: ignore[no-any-return]

    def cancel(
        self, *, mode: Literal["undo", "kill"] = "undo", why: str | None = None
    ) -> Coroutine[Any, Any, None]:
        """Cancel the workflow and its children that aren't detached: `await handle.cancel()`.

        In `def` functions `handle.cancel()`. If the workflow has ended, nothing happens. In a workflow it is
        a recorded step. With `mode="kill"` they end at once, and sagas undo nothing. `why` (up to 1,000
        characters) is stored in the table `acts`. Raises UsageError.
        """
        if why is not None:
            try:
                read_value(WHY, why)
            except ValueError as error:
                raise UsageError(f"cancel: {error}") from None
        operation = Cancel(self.workflow_id, mode, why)
        return do("cancel", operation, lambda host: host.cancel(self.workflow_id, mode=mode, why=why))  # type: ignore[no-any-return]

    @overload
    def events(self, event: str, *, of: type[T]) -> Events[T]: ...
    @overload
    def events(self, event: str) -> Events[Any]: ...
    def events(self, event: str, *, of: Any = Any) -> Events[Any]:
        """All events of this name that the workflow publishes: their values, in order.

        `async for value in handle.events("progress")`, in `def` functions `for value in …`. It waits for each
        event, and stops when the workflow has ended and all were read. In a workflow each event is recorded
        as it is taken, so that reading goes on after a crash; a long wait holds no memory. `of` is the type
        of the values; a value that doesn't fit raises InvalidInput. Raises WorkflowNotFound.
        """
        return Events(self.workflow_id, event, of)

    @overload
    def event(
        self, event: str, *, timeout: Duration | None = None, default: Any = RAISE, of: type[T]
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def event(
        self, event: str, *, timeout: Duration | None = None, default: Any = RAISE
    ) -> Coroutine[Any, Any, Any]: ...
    def event(
        self, event: str, *, timeout: Duration | None = None, default: Any = RAISE, of: Any = Any
    ) -> Coroutine[Any, Any, Any]:
        """The value of the newest event of this name: `await handle.event("progress")`.

        In `def` functions `handle.event("progress")`. If there is no event yet, it waits for the first one.
        It raises TimeoutError after `timeout` (seconds or a timedelta), and WorkflowEnded if the workflow
        ends without one; or returns `default` in both cases, if it is given. In a workflow it is a recorded
        step. `of` as in `events`. Raises WorkflowNotFound.
        """
        return newest_event(self.workflow_id, event, timeout, default, of)  # type: ignore[no-any-return]

    def _value(self, plain: Any) -> R:
        codec = _PLAIN if self._workflow is None else self._workflow.codec
        value: R = decode_answer(codec, _PLAIN.encode(plain))
        return value


class Started(SyncActs, WorkflowHandle[R], Coroutine[Any, Any, WorkflowHandle[R]]):
    """The result of `start`: the handle itself in a `def` function, an awaitable elsewhere."""

    def result(self) -> R:  # type: ignore[override]  # where a handle isn't awaited its result isn't either
        """Like `WorkflowHandle.result` in a `def` function."""
        return super().result()  # type: ignore[return-value]

    def cancel(  # type: ignore[override]
        self, *, mode: Literal["undo", "kill"] = "undo", why: str | None = None
    ) -> None:
        """Like `WorkflowHandle.cancel` in a `def` function."""
        super().cancel(mode=mode, why=why)  # type: ignore[unused-coroutine]  # it is done by then

    @overload  # type: ignore[override]
    def event(
        self, event: str, *, timeout: Duration | None = None, default: Any = RAISE, of: type[T]
    ) -> T: ...
    @overload
    def event(self, event: str, *, timeout: Duration | None = None, default: Any = RAISE) -> Any: ...
    def event(
        self, event: str, *, timeout: Duration | None = None, default: Any = RAISE, of: Any = Any
    ) -> Any:
        """Like `WorkflowHandle.event` in a `def` function."""
        return super().event(event, timeout=timeout, default=default, of=of)

    def send(self, value: Any) -> Any:
        raise StopIteration(self)

    def throw(self, *error: Any) -> Any:
        raise error[0]

    def close(self) -> None:
        """See Coroutine."""

    def __await__(self) -> Generator[Any, Any, WorkflowHandle[R]]:
        yield from ()
        return self


@overload
def wait_any(handles: Iterable[Started[R]], /, *, timeout: Duration | None = None) -> Started[R]: ...
@overload
def wait_any(
    handles: Iterable[WorkflowHandle[R]], /, *, timeout: Duration | None = None
) -> Coroutine[Any, Any, WorkflowHandle[R]]: ...
def wait_any(handles: Iterable[WorkflowHandle[Any]], /, *, timeout: Duration | None = None) -> Any:
    """Wait until the first of these workflows has ended, in any way; its handle.

    `await wait_any(handles)`, in `def` functions `wait_any(handles)`. If several have ended, it is the first
    in the given order. In a workflow this is a recorded step, and a replay gets the same handle. Raises
    TimeoutError after `timeout` (seconds or a timedelta), WorkflowNotFound.
    """
    given = list(handles)
    for each in given:
        if not isinstance(each, WorkflowHandle):
            raise UsageError(
                f"wait_any takes handles, not {each!r:.100}: of `start(…)`, or WorkflowHandle(ID)"
            )
    by_id = {each.workflow_id: each for each in given}
    if not by_id:
        raise UsageError("wait_any takes at least one handle")
    if len(by_id) > HANDLES_MAX:
        raise UsageError(f"wait_any takes at most {HANDLES_MAX:,} handles; map_ has its own wait")
    timeout_s = None if timeout is None else seconds_of(timeout, "wait_any(timeout)")
    ids = tuple(by_id)

    def first(found: Any) -> WorkflowHandle[Any]:
        if found is None:
            raise TimeoutError(f"none of {len(ids)} workflows ended within {timeout_s:g} s")
        return by_id[found]

    return do("wait_any", WaitAny(ids, timeout_s), lambda host: host.first_ended(ids, timeout_s), first)
