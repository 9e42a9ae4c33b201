"""`start`: begin a workflow from a handler, an ASGI app, a step or another workflow."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Generic, ParamSpec, TypeVar, overload

from outlast.core.answers import decode_answer
from outlast.core.codec import Codec
from outlast.core.errors import UsageError
from outlast.core.names import check_key
from outlast.sdk.running import current_host, current_line
from outlast.sdk.workflows import Workflow

P = ParamSpec("P")
R = TypeVar("R")

_PLAIN = Codec()


class WorkflowHandle(Generic[R]):
    """A workflow that was started. `workflow_id` names it everywhere."""

    def __init__(self, workflow_id: str, codec: Codec = _PLAIN) -> None:
        self.workflow_id = workflow_id
        self._codec = codec

    def __repr__(self) -> str:
        return f"WorkflowHandle({self.workflow_id!r})"

    async def result(self) -> R:
        """Wait for what the workflow returns. Raises WorkflowError for another end.

        In a workflow the wait is a recorded step. A `Response` comes as the plain value of its body.
        """
        line = current_line()
        if line is not None:
            plain = await line.runner.call_result(line.branch, self.workflow_id)
        else:
            host = current_host()
            if host is None:
                raise UsageError("a WorkflowHandle can be waited for only inside the host")
            plain = await host.result(self.workflow_id)
        result: R = decode_answer(self._codec, _PLAIN.encode(plain))
        return result


@overload
async def start(
    workflow: Workflow[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
) -> WorkflowHandle[R]: ...
@overload
async def start(workflow: Workflow[P, R], /, *args: P.args, **kwargs: P.kwargs) -> WorkflowHandle[R]: ...
async def start(workflow: Callable[..., Any], /, *args: Any, **kwargs: Any) -> WorkflowHandle[Any]:
    """Start `workflow` with these arguments; returns once its row is durable.

    In a workflow the start is a recorded step and the child's id follows from the parent's, so that it is
    started once. Elsewhere each call starts another; `start_once` takes a key. Raises UsageError for
    arguments that don't fit, Overloaded, ShuttingDown and DatabaseUnavailable.
    """
    return await _start(workflow, None, args, kwargs)


async def start_once(
    key: str, workflow: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> WorkflowHandle[Any]:
    """As `start`, under an idempotency key: the same key is the same workflow. Raises KeyReused too."""
    return await _start(workflow, key, args, kwargs)


async def _start(
    workflow: Callable[..., Any], key: str | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> WorkflowHandle[Any]:
    if not isinstance(workflow, Workflow):
        raise UsageError(f"start takes a function decorated with @workflow, not {workflow!r}")
    line = current_line()
    if line is not None and key is None:
        child_id = await line.runner.call_start(line.branch, workflow.definition, args, kwargs)
        return WorkflowHandle(child_id, workflow.definition.codec)
    host = current_host()
    if host is None or line is not None:
        raise UsageError(
            "start is called in a handler, an ASGI app, a step or a workflow (there without a key)"
        )
    if key is not None:
        check_key(key)
    workflow_id = await host.start(workflow.definition, args, kwargs, key)
    return WorkflowHandle(workflow_id, workflow.definition.codec)
