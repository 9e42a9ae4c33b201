"""`start`: start a workflow from a handler, an ASGI app, a step or another workflow."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from datetime import timedelta
from itertools import islice
from typing import Any, Generic, ParamSpec, TypeVar, overload

from outlast.core.attributes import attributes_json
from outlast.core.errors import UsageError
from outlast.core.maps import LIST_MAX
from outlast.core.names import check_key
from outlast.core.placement import USUAL, Placement, check_delay, check_priority
from outlast.sdk.calls import ANYWHERE, ask, do, do_with_host, is_awaited, said
from outlast.sdk.definitions import WorkflowDefinition
from outlast.sdk.durations import Duration
from outlast.sdk.handles import Started, WorkflowHandle
from outlast.sdk.operations import Args, Kwargs, Start, StartAll
from outlast.sdk.queues import Queue, queue_of
from outlast.sdk.running import line_here
from outlast.sdk.steps import refuse_unless_bool
from outlast.sdk.workflows import Workflow

P = ParamSpec("P")
R = TypeVar("R")
Item = TypeVar("Item")


@overload
def start(workflow: Workflow[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Started[R]: ...
@overload
def start(workflow: Workflow[..., R], /, *args: Any, detached: bool, **kwargs: Any) -> Started[R]: ...
@overload
def start(workflow: Workflow[..., R], /, *args: Any, queue: Queue | str, **kwargs: Any) -> Started[R]: ...
@overload
def start(workflow: Workflow[..., R], /, *args: Any, priority: int, **kwargs: Any) -> Started[R]: ...
@overload
def start(workflow: Workflow[..., R], /, *args: Any, delay: Duration, **kwargs: Any) -> Started[R]: ...
@overload
def start(
    workflow: Workflow[..., R], /, *args: Any, attributes: Mapping[str, Any], **kwargs: Any
) -> Started[R]: ...
# A workflow in a queue with batches takes a list, but a caller gives one item and gets its result. No type
# can tell these workflows apart.
@overload
def start(workflow: Workflow[[list[Item]], list[R]], item: Item, /) -> Started[R]: ...
def start(workflow: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Start `workflow` with these arguments; its handle, once its row is durable.

    `await start(…)`, in `def` functions `start(…)`. In a workflow the start is a recorded step, and the
    child's id follows from the parent's, so the child is started once. A child must end by its parent's
    deadline, unless it is started with `detached=True`. Elsewhere each call starts another workflow;
    `start_once` takes a key.

    `queue` (a `Queue` or its name) replaces the workflow's own queue. `priority` is a head start within the
    queue, in seconds (-86,400 to 86,400). `delay` (seconds or a timedelta) lets it begin later. `attributes`
    are its attributes: `{"customer": "42"}`, at most 32 texts, numbers and booleans. If the workflow has
    parameters of these names, the values are passed to it instead.

    Raises UsageError for arguments that don't fit, Overloaded, ShuttingDown and DatabaseUnavailable; for a
    queue QueueFull, RateLimited, QueueBusy, QueueKeyMissing.
    """
    return _start("start", workflow, None, args, kwargs)


def start_once(key: str, workflow: Workflow[..., R], /, *args: Any, **kwargs: Any) -> Started[R]:
    """Like `start`, with an idempotency key: the same key of one caller is the same workflow.

    Others may use the key, too, so the workflow is always detached. Also raises KeyReused, if the arguments
    differ from those of the key's first call.
    """
    return _start("start_once", workflow, key, args, kwargs)  # type: ignore[no-any-return]


class StartedAll(list[Started[R]], Generic[R]):
    """The result of `start_all`: the handles themselves in a `def` function, an awaitable elsewhere."""

    def __await__(self) -> Generator[Any, Any, list[WorkflowHandle[R]]]:
        yield from ()
        return list(self)


def start_all(
    workflow: Workflow[..., R],
    items: Iterable[Any],
    /,
    *,
    queue: Queue | str | None = None,
    priority: int = 0,
    delay: Duration | None = None,
    attributes: Mapping[str, Any] | None = None,
    detached: bool = False,
) -> StartedAll[R]:
    """Start `workflow` for each of `items`, its only argument; a handle for each, in their order.

    `await start_all(…)`, in `def` functions `start_all(…)`. They start in blocks of 1,000. In a workflow all
    of it is one recorded step, and the children's ids follow from the parent's, so a crash neither repeats
    nor skips one. All inputs are checked before the first one starts. `queue`, `priority`, `delay`,
    `attributes` and `detached` are those of `start`. At most 10,000 items. Raises what `start` does.
    """
    definition = definition_of("start_all", workflow)
    given = list_of("start_all", items)
    refuse_unless_bool(detached, "start_all(detached)")
    placement = _placement_of(
        "start_all",
        definition,
        {"queue": queue, "priority": priority, "delay": delay, "attributes": attributes},
    )
    awaited = is_awaited("start_all")

    def read(ids: list[str]) -> list[Any]:
        if awaited:
            return [WorkflowHandle(each, definition) for each in ids]
        return StartedAll(Started(each, definition) for each in ids)

    def read_record(started: dict[str, Any]) -> list[Any]:
        return read([started["others"].get(str(n), f"{started['of']}/{n}") for n in range(started["count"])])

    line = line_here("start_all")
    if line is not None:
        started = ask(StartAll(definition, given, detached, placement), line, "start_all", read_record)
    else:
        started = do_with_host(
            "start_all", lambda host: host.start_all(definition, given, placement), read, ANYWHERE
        )
    return started  # type: ignore[no-any-return]


def definition_of(name: str, workflow: Any) -> WorkflowDefinition:
    """The definition of a decorated function. Raises UsageError."""
    if not isinstance(workflow, Workflow):
        raise UsageError(f"{name} takes a function decorated with @workflow, not {said(workflow)}")
    return workflow.definition


def list_of(name: str, items: Any) -> list[Any]:
    """Items as a list, with no more than a body may hold. Raises UsageError."""
    if isinstance(items, str | bytes | dict) or not isinstance(items, Iterable):
        raise UsageError(f"{name} takes a list of items, not {items!r:.100}")
    given = list(islice(items, LIST_MAX + 1))
    # guard: lists-without-bound
    if len(given) > LIST_MAX:
        raise UsageError(
            f"{name} takes a list of at most {LIST_MAX:,} items, since a body makes it anew on each replay. "
            'For more use map_ over what isn\'t held in memory: rows("select …")'
        )
    return given


def _start(name: str, workflow: Callable[..., Any], key: str | None, args: Args, kwargs: Kwargs) -> Any:
    definition = definition_of(name, workflow)
    if key is not None:
        key = check_key(key)
    detached = _take_detached(name, definition, kwargs)
    placement = _take_placement(name, definition, kwargs)
    handle = WorkflowHandle if is_awaited(name) else Started
    return do(
        name,
        Start(definition, args, kwargs, key, detached, placement),
        lambda host: host.start(definition, args, kwargs, key, placement),
        lambda workflow_id: handle(workflow_id, definition),
        ANYWHERE,
    )


def _take_placement(name: str, workflow: WorkflowDefinition, kwargs: Kwargs) -> Placement:
    own = workflow.inputs.signature.parameters
    given: Kwargs = {
        each: kwargs.pop(each)
        for each in ("queue", "priority", "delay", "attributes")
        if each in kwargs and each not in own
    }
    return _placement_of(name, workflow, given)


def _placement_of(name: str, workflow: WorkflowDefinition, given: Kwargs) -> Placement:
    if all(each is None or (type(each) is int and each == 0) for each in given.values()):
        return USUAL
    queue = queue_of(given.get("queue"))
    delay, priority = given.get("delay"), given.get("priority", 0)
    try:
        attributes = attributes_json(given.get("attributes"))
        check_priority(priority)
        delay_s = 0.0 if delay is None else check_delay(_seconds(delay, name))
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None
    if priority and queue is None and workflow.queue is None:
        raise UsageError(
            f"{name}(priority) counts within a queue, and {workflow.name!r} is in none: name one"
        )
    return Placement(queue, priority, delay_s, attributes)


def _seconds(delay: Duration, name: str) -> float:
    if isinstance(delay, timedelta):
        return delay.total_seconds()
    if isinstance(delay, bool) or not isinstance(delay, int | float):
        raise UsageError(f"{name}(delay) takes seconds or a timedelta, not {delay!r:.100}")
    return float(delay)


def _take_detached(name: str, workflow: WorkflowDefinition, kwargs: Kwargs) -> bool:
    """`detached` of the call.

    If the workflow has a parameter of that name, the value is passed to it instead.
    """
    if "detached" not in kwargs or "detached" in workflow.inputs.signature.parameters:
        return False
    detached: bool = kwargs.pop("detached")
    refuse_unless_bool(detached, f"{name}(detached)")
    return detached
