"""What a handle does to its workflow as operators do: pause, resume, retry, rewind, fork, settle, delete."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, Literal

from outlast.core.codec import Codec
from outlast.core.resources import Kind
from outlast.core.verbs import DELETE, FORK, PAUSE, RESUME, RETRY, REWIND, SET_WORKFLOW, SETTLE, Verb
from outlast.sdk.calls import do
from outlast.sdk.operations import Act

_PLAIN = Codec()
_MISSING: Any = object()


def act(verb: Verb, workflow_id: str, arguments: Mapping[str, Any]) -> Coroutine[Any, Any, dict[str, Any]]:
    """Do `verb` to a workflow; what it returns. Texts that are None are left out. Bodies record it."""
    given = {
        each.name: arguments[each.name]
        for each in verb.arguments
        if each.name in arguments and (arguments[each.name] is not None or each.kind is Kind.JSON)
    }
    return do(  # type: ignore[no-any-return]
        verb.name, Act(verb, workflow_id, given), lambda host: host.act(verb, workflow_id, given), dict
    )


class Acts:
    """Of a handle. In `def` functions each is called without await; in a workflow it is a recorded step.

    `why` is kept in the table `acts` beside who did it, which is the function. Each raises WorkflowNotFound,
    and WrongState where the workflow stands otherwise than is needed; the text says what can be done then.
    """

    workflow_id: str

    def pause(self, *, why: str | None = None) -> Coroutine[Any, Any, dict[str, Any]]:
        """Let it do nothing until it is resumed: `await handle.pause()`; its `status`, why it is `held`."""
        return act(PAUSE, self.workflow_id, {"why": why})

    def resume(self, *, why: str | None = None) -> Coroutine[Any, Any, dict[str, Any]]:
        """Let it go on: `await handle.resume()`; its `status`."""
        return act(RESUME, self.workflow_id, {"why": why})

    def retry(self, *, why: str | None = None) -> Coroutine[Any, Any, dict[str, Any]]:
        """Let it go on without its last failure, if it has failed: `await handle.retry()`.

        Returns its `status`, its `generation`, and the ids of the steps whose records were `dropped`.
        """
        return act(RETRY, self.workflow_id, {"why": why})

    def rewind(self, to: str, *, why: str | None = None) -> Coroutine[Any, Any, dict[str, Any]]:
        """Let it go on from an earlier step (its id or name), if it has failed: `await handle.rewind("3")`.

        Returns what `retry` does. Raises UsageError for a step that isn't there.
        """
        return act(REWIND, self.workflow_id, {"to": to, "why": why})

    def fork(
        self,
        from_: str = "start",
        *,
        input: Any = _MISSING,
        children: Literal["reuse", "new"] = "reuse",
        why: str | None = None,
    ) -> Coroutine[Any, Any, dict[str, Any]]:
        """Run it again as another workflow: `await handle.fork("failed")`.

        `from_` is `start`, `failed`, or the id or name of a step; `input` (an object of arguments) goes with
        `start` alone. Returns `fork`, the new one's id; `kept`, how many records it begins with; and `again`,
        a list of `{"step_id", "name"}` that it does again. Raises InvalidInput; UsageError for a step that
        isn't there.
        """
        given = {} if input is _MISSING else {"input": _PLAIN.through(input)[1]}
        return act(FORK, self.workflow_id, {"from": from_, "children": children, "why": why, **given})

    def settle(
        self,
        step: str,
        output: Any = _MISSING,
        *,
        error: str | None = None,
        name: str | None = None,
        why: str | None = None,
    ) -> Coroutine[Any, Any, dict[str, Any]]:
        """Record what a step came to: `await handle.settle("3", {"paid": True})`, or `error="declined"`.

        The workflow must be paused, held or failed. A step that isn't recorded yet needs its `name`. Returns
        `step_id` and the workflow's `status`. Raises InvalidInput if the output doesn't fit the step's type
        (where its function is served here); UsageError.
        """
        given: dict[str, Any] = {"step": step, "error": error, "name": name, "why": why}
        if output is not _MISSING:
            given["output"] = _PLAIN.through(output)[1]
        return act(SETTLE, self.workflow_id, given)

    def set_attributes(
        self, attributes: Mapping[str, str | float | bool | None], *, why: str | None = None
    ) -> Coroutine[Any, Any, dict[str, Any]]:
        """Change what it is found by: `await handle.set_attributes({"stage": "done", "vip": None})`.

        None takes one away, others stay. Returns its id as `changed`. Raises UsageError for what can be none.
        """
        return act(SET_WORKFLOW, self.workflow_id, {"attributes": dict(attributes), "why": why})

    def delete(self, *, why: str | None = None) -> Coroutine[Any, Any, dict[str, Any]]:
        """Remove it, its records and what it has started: `await handle.delete()`; how many are `deleted`."""
        return act(DELETE, self.workflow_id, {"why": why})


class SyncActs(Acts):
    """The same of a handle in a `def` function, where each is done at once."""

    def pause(self, *, why: str | None = None) -> dict[str, Any]:  # type: ignore[override]
        return super().pause(why=why)  # type: ignore[return-value]  # it is done by then

    def resume(self, *, why: str | None = None) -> dict[str, Any]:  # type: ignore[override]
        return super().resume(why=why)  # type: ignore[return-value]

    def fork(  # type: ignore[override]
        self,
        from_: str = "start",
        *,
        input: Any = _MISSING,
        children: Literal["reuse", "new"] = "reuse",
        why: str | None = None,
    ) -> dict[str, Any]:
        return super().fork(from_, input=input, children=children, why=why)  # type: ignore[return-value]

    def settle(  # type: ignore[override]
        self,
        step: str,
        output: Any = _MISSING,
        *,
        error: str | None = None,
        name: str | None = None,
        why: str | None = None,
    ) -> dict[str, Any]:
        return super().settle(step, output, error=error, name=name, why=why)  # type: ignore[return-value]

    def set_attributes(  # type: ignore[override]
        self, attributes: Mapping[str, str | float | bool | None], *, why: str | None = None
    ) -> dict[str, Any]:
        return super().set_attributes(attributes, why=why)  # type: ignore[return-value]

    def delete(self, *, why: str | None = None) -> dict[str, Any]:  # type: ignore[override]
        return super().delete(why=why)  # type: ignore[return-value]
