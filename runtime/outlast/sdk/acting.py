"""What a handle does to its workflow as operators do: pause, resume, retry, rewind, fork, settle, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, Literal, TypeVar

from outlast.core.codec import Codec
from outlast.core.resources import Kind
from outlast.core.verbs import DELETE, FORK, PAUSE, RESUME, RETRY, REWIND, SET_WORKFLOW, SETTLE, Verb
from outlast.sdk.calls import do
from outlast.sdk.operations import Act

Acted = TypeVar("Acted")
"""What an act returns, or what is awaited for it."""

_PLAIN = Codec()
_MISSING: Any = object()


class Acts(Generic[Acted]):
    """Of a handle. In `def` functions each is called without await; in a workflow it is a recorded step.

    `why` is kept in the table `acts` beside who did it, which is the function. Each raises WorkflowNotFound,
    and WrongState where the workflow stands otherwise than is needed; the text says what can be done then.
    """

    workflow_id: str

    def pause(self, *, why: str | None = None) -> Acted:
        """Let it do nothing until it is resumed: `await handle.pause()`; its `status`, why it is `held`."""
        return self._do(PAUSE, {"why": why})

    def resume(self, *, why: str | None = None) -> Acted:
        """Let it go on: `await handle.resume()`; its `status`."""
        return self._do(RESUME, {"why": why})

    def retry(self, *, why: str | None = None) -> Acted:
        """Let it go on without its last failure, if it has failed: `await handle.retry()`.

        Returns its `status`, its `generation`, and the ids of the steps whose records were `dropped`.
        """
        return self._do(RETRY, {"why": why})

    def rewind(self, to: str, *, why: str | None = None) -> Acted:
        """Let it go on from an earlier step (its id or name), if it has failed: `await handle.rewind("3")`.

        Returns what `retry` does. Raises UsageError for a step that isn't there.
        """
        return self._do(REWIND, {"to": to, "why": why})

    def fork(
        self,
        from_: str = "start",
        *,
        input: Any = _MISSING,
        children: Literal["reuse", "new"] = "reuse",
        why: str | None = None,
    ) -> Acted:
        """Run it again as another workflow: `await handle.fork("failed")`.

        `from_` is `start`, `failed`, or the id or name of a step; `input` (an object of arguments) goes with
        `start` alone. Returns `fork`, the new one's id; `kept`, how many records it begins with; and `again`,
        a list of `{"step_id", "name"}` that it does again. Raises InvalidInput; UsageError for a step that
        isn't there.
        """
        given = {} if input is _MISSING else {"input": _PLAIN.through(input)[1]}
        return self._do(FORK, {"from": from_, "children": children, "why": why, **given})

    def settle(
        self,
        step: str,
        output: Any = _MISSING,
        *,
        error: str | None = None,
        name: str | None = None,
        why: str | None = None,
    ) -> Acted:
        """Record what a step came to: `await handle.settle("3", {"paid": True})`, or `error="declined"`.

        The workflow must be paused, held or failed. A step that isn't recorded yet needs its `name`. Returns
        `step_id` and the workflow's `status`. Raises InvalidInput if the output doesn't fit the step's type
        (where its function is served here); UsageError.
        """
        given: dict[str, Any] = {"step": step, "error": error, "name": name, "why": why}
        if output is not _MISSING:
            given["output"] = _PLAIN.through(output)[1]
        return self._do(SETTLE, given)

    def set_attributes(
        self, attributes: Mapping[str, str | float | bool | None], *, why: str | None = None
    ) -> Acted:
        """Change what it is found by: `await handle.set_attributes({"stage": "done", "vip": None})`.

        None takes one away, others stay. Returns its id as `changed`. Raises UsageError for what can be none.
        """
        return self._do(SET_WORKFLOW, {"attributes": dict(attributes), "why": why})

    def delete(self, *, why: str | None = None) -> Acted:
        """Remove it, its records and what it has started: `await handle.delete()`; how many are `deleted`."""
        return self._do(DELETE, {"why": why})

    def _do(self, verb: Verb, arguments: Mapping[str, Any]) -> Acted:
        """Do `verb` to it; what that returns. Texts that are None are left out. Bodies record it."""
        workflow_id = self.workflow_id
        given = {
            each.name: arguments[each.name]
            for each in verb.arguments
            if each.name in arguments and (arguments[each.name] is not None or each.kind is Kind.JSON)
        }
        operation = Act(verb, workflow_id, given)
        return do(verb.name, operation, lambda host: host.act(verb, workflow_id, given), dict)  # type: ignore[no-any-return]


class SyncActs(Acts[dict[str, Any]]):
    """Of a handle in a `def` function: each is done by the time that it returns."""
