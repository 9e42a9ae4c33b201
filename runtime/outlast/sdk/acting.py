"""Verbs of a workflow handle: pause, resume, retry, rewind, fork, settle, delete and setting attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, Literal, TypeVar

from outlast.core.codec import Codec
from outlast.core.resources import Kind
from outlast.core.verbs import DELETE, FORK, PAUSE, RESUME, RETRY, REWIND, SET_WORKFLOW, SETTLE, Verb
from outlast.sdk.calls import do
from outlast.sdk.operations import Act

Acted = TypeVar("Acted")
"""What an act returns, or its awaitable."""

_PLAIN = Codec()
_MISSING: Any = object()


class Acts(Generic[Acted]):
    """The verbs of a handle. In `def` functions they are called without await; in a workflow each is a
    recorded step.

    `why` is stored in the table `acts`, with who acted: the function. Each raises WorkflowNotFound, and
    WrongState if the workflow's state doesn't allow it; the text says what does.
    """

    workflow_id: str

    def pause(self, *, why: str | None = None) -> Acted:
        """Pause it until it is resumed: `await handle.pause()`.

        Returns its `status`, and why it is `held`.
        """
        return self._do(PAUSE, {"why": why})

    def resume(self, *, why: str | None = None) -> Acted:
        """Resume it: `await handle.resume()`. Returns its `status`."""
        return self._do(RESUME, {"why": why})

    def retry(self, *, why: str | None = None) -> Acted:
        """Let a failed workflow go on without its last failure: `await handle.retry()`.

        Returns its `status`, its `generation`, and the ids of the steps whose records were `dropped`.
        """
        return self._do(RETRY, {"why": why})

    def rewind(self, to: str, *, why: str | None = None) -> Acted:
        """Let a failed workflow go on from an earlier step (its id or name): `await handle.rewind("3")`.

        Returns the same as `retry`. Raises UsageError if there is no such step.
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

        `from_` is `start`, `failed`, or the id or name of a step. `input` (an object of arguments) is allowed
        with `start` only. Returns `fork`, the new workflow's id; `kept`, how many records it begins with; and
        `again`, a list of `{"step_id", "name"}` of the steps that run again. Raises InvalidInput; UsageError
        if there is no such step.
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
        """Record a step's result by hand: `await handle.settle("3", {"paid": True})`, or `error="declined"`.

        The workflow must be paused, held or failed. A step that isn't recorded yet needs its `name`. Returns
        `step_id` and the workflow's `status`. Raises InvalidInput if the output doesn't fit the step's type
        (if its function is served here); UsageError.
        """
        given: dict[str, Any] = {"step": step, "error": error, "name": name, "why": why}
        if output is not _MISSING:
            given["output"] = _PLAIN.through(output)[1]
        return self._do(SETTLE, given)

    def set_attributes(
        self, attributes: Mapping[str, str | float | bool | None], *, why: str | None = None
    ) -> Acted:
        """Change its attributes: `await handle.set_attributes({"stage": "done", "vip": None})`.

        None removes an attribute; others stay. Returns its id as `changed`. Raises UsageError for invalid
        attributes.
        """
        return self._do(SET_WORKFLOW, {"attributes": dict(attributes), "why": why})

    def delete(self, *, why: str | None = None) -> Acted:
        """Delete it, its records and its children: `await handle.delete()`.

        Returns how many were `deleted`.
        """
        return self._do(DELETE, {"why": why})

    def _do(self, verb: Verb, arguments: Mapping[str, Any]) -> Acted:
        """Apply `verb` to it; the verb's result.

        Texts that are None are left out. In a body it is recorded.
        """
        workflow_id = self.workflow_id
        given = {
            each.name: arguments[each.name]
            for each in verb.arguments
            if each.name in arguments and (arguments[each.name] is not None or each.kind is Kind.JSON)
        }
        operation = Act(verb, workflow_id, given)
        return do(verb.name, operation, lambda host: host.act(verb, workflow_id, given), dict)  # type: ignore[no-any-return]


class SyncActs(Acts[dict[str, Any]]):
    """The verbs of a handle in a `def` function: each returns when it is done."""
