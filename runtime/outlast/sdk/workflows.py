"""`workflow` and `handler`: the functions that a file serves."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, Literal, ParamSpec, Protocol, TypeVar, get_args, get_origin, overload

from outlast.core.codec import UNTYPED, Codec, return_annotation
from outlast.core.errors import UsageError
from outlast.core.schedules import Schedule
from outlast.core.versions import NUMBER_MAX
from outlast.sdk.auth import Auth, auth_modes
from outlast.sdk.definitions import METHODS, Decorated, HandlerDefinition, WorkflowDefinition, is_async
from outlast.sdk.durations import Duration, positive_seconds_of, seconds_of
from outlast.sdk.http import Response
from outlast.sdk.inputs import Inputs
from outlast.sdk.queues import Queue, declared_queue
from outlast.sdk.requests import asked_headers
from outlast.sdk.steps import refuse_method, refuse_non_function, refuse_unless_bool
from outlast.sdk.timetables import schedules_of
from outlast.sdk.webhooks import Webhook, check_webhook

RETENTION_S_MIN = 60.0
ALIASES_MAX = 20
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(/[A-Za-z_][A-Za-z0-9_-]*)?")

P = ParamSpec("P")
R = TypeVar("R")


class Workflow(Decorated[WorkflowDefinition], Generic[P, R]):
    """A workflow. Called in Python it is the plain function: its steps belong to the calling workflow."""

    decorator = "workflow"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = self.definition.fn(*args, **kwargs)
        return result


class AsyncWorkflow(Workflow[P, R]):
    """An `async def` workflow: called in Python it returns the function's coroutine."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:  # type: ignore[override]
        call: Coroutine[Any, Any, R] = self.definition.fn(*args, **kwargs)
        return call


class Handler(Decorated[HandlerDefinition], Generic[P, R]):
    """A handler. Called in Python it is the plain function."""

    decorator = "handler"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = self.definition.fn(*args, **kwargs)
        return result


class WorkflowDecorator(Protocol):
    """The result of `workflow(…)`: a decorator."""

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncWorkflow[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Workflow[P, R]: ...


@overload
def workflow(fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncWorkflow[P, R]: ...
@overload
def workflow(fn: Callable[P, R], /) -> Workflow[P, R]: ...
@overload
def workflow(
    *,
    auth: Auth | None = None,
    idempotency: Literal["optional", "required"] = "optional",
    duplicates: Literal["attach", "conflict"] = "attach",
    timeout: Duration | None = None,
    methods: Sequence[str] = METHODS,
    webhook: Webhook | None = None,
    queue: Queue | str | None = None,
    schedule: Schedule | Sequence[Schedule] | None = None,
    steps_visible: bool = False,
    headers: Sequence[str] = (),
    body_bytes_max: int | None = None,
    retention: Duration | Literal["forever"] | None = None,
    version: int | None = None,
    aliases: Sequence[str] = (),
) -> WorkflowDecorator: ...
def workflow(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    auth: Auth | None = None,
    idempotency: Literal["optional", "required"] = "optional",
    duplicates: Literal["attach", "conflict"] = "attach",
    timeout: Duration | None = None,
    methods: Sequence[str] = METHODS,
    webhook: Webhook | None = None,
    queue: Queue | str | None = None,
    schedule: Schedule | Sequence[Schedule] | None = None,
    steps_visible: bool = False,
    headers: Sequence[str] = (),
    body_bytes_max: int | None = None,
    retention: Duration | Literal["forever"] | None = None,
    version: int | None = None,
    aliases: Sequence[str] = (),
) -> Any:
    """Make a function a workflow: it survives anything and runs to one end.

    `auth` says who may call: "user", "publishable", "secret", "secret:NAME", "none", or a list of those, of
    which the first that fits counts; without it the gateway's `verify_jwt` decides.
    `idempotency="required"` refuses calls without a key. `duplicates="conflict"` answers 409 to a duplicate
    of a running call instead of waiting with it. `timeout` bounds the whole, sleeps and recoveries included.
    `methods` are the HTTP methods it answers. `webhook` (`standard_webhook`, `database_webhook`) lets in
    verified deliveries alone; such a function answers POST, unless `methods` says otherwise.
    `queue` is the `Queue` in which its workflows wait for their turn; "pgmq:NAME" starts it for each message
    of that Supabase Queue, too. `schedule` starts it by itself: `cron(…)`, `every(…)`, `at(…)`, or a list of
    those. `steps_visible=True` lets users see what the steps of
    their workflows returned; else they see names, times and status. `headers` names further header fields of
    the request that are stored for it. `body_bytes_max` is how large a body it takes, where the host's
    default doesn't suit; the host bounds that, too. `retention` is how long its ended workflows are kept,
    in seconds (60 at least) or as a timedelta, or "forever", where OUTLAST_RETENTION_DAYS doesn't suit.
    `version` (1 to 999,999) tells codes of one name apart: new calls take the highest that is served, open
    workflows their own. `aliases` are names that it had before, the first one first.
    Raises UsageError for options that can't work.
    """
    if idempotency not in ("optional", "required"):
        raise UsageError(f'workflow(idempotency) is "optional" or "required", not {idempotency!r}')
    if duplicates not in ("attach", "conflict"):
        raise UsageError(f'workflow(duplicates) is "attach" or "conflict", not {duplicates!r}')
    refuse_unless_bool(steps_visible, "workflow(steps_visible)")
    timeout_s = positive_seconds_of(timeout, "workflow(timeout)")
    modes = auth_modes(auth, "workflow")
    check_webhook(webhook, "workflow", auth)
    allowed = _methods(methods, "workflow", webhook)
    place = declared_queue(queue)
    schedules = schedules_of(schedule, "workflow(schedule)")
    asked = asked_headers(headers)
    _check_body_bytes_max(body_bytes_max, "workflow")
    retention_s = _retention_s(retention)
    _check_version(version, place)
    former = _aliases(aliases)

    def decorate(wrapped: Callable[..., Any]) -> Workflow[..., Any]:
        refuse_non_function(wrapped, "workflow")
        refuse_method(wrapped, "workflow")
        annotation = return_annotation(wrapped)
        if annotation is Response:
            annotation = UNTYPED
        batches = place is not None and place.batches
        if batches:
            annotation = _annotation_of_one(annotation, wrapped)
        inputs = Inputs(wrapped, batch=batches)
        if place is not None and place.key is None and "key" in place.options:
            inputs.check_queue_key(place.options["key"])
        definition = WorkflowDefinition(
            name=wrapped.__name__,
            fn=wrapped,
            is_async=is_async(wrapped),
            inputs=inputs,
            codec=Codec(annotation, of=f"the result of workflow {wrapped.__name__!r}", by_alias=True),
            methods=allowed,
            idempotency=idempotency,
            duplicates=duplicates,
            timeout_s=timeout_s,
            auth=modes,
            webhook=webhook,
            queue=place,
            schedules=schedules,
            steps_visible=steps_visible,
            headers=asked,
            body_bytes_max=body_bytes_max,
            retention_s=retention_s,
            version=version,
            aliases=former,
        )
        return AsyncWorkflow(definition) if definition.is_async else Workflow(definition)

    return decorate if fn is None else decorate(fn)


@overload
def handler(fn: Callable[P, R], /) -> Handler[P, R]: ...
@overload
def handler(
    *,
    auth: Auth | None = None,
    methods: Sequence[str] = METHODS,
    webhook: Webhook | None = None,
    body_bytes_max: int | None = None,
) -> Callable[[Callable[P, R]], Handler[P, R]]: ...
def handler(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    auth: Auth | None = None,
    methods: Sequence[str] = METHODS,
    webhook: Webhook | None = None,
    body_bytes_max: int | None = None,
) -> Any:
    """Serve a function `(Request) -> Response` (or any JSON value) as it is. Nothing is recorded.

    `auth`, `methods`, `webhook` and `body_bytes_max` are those of `workflow`. Raises UsageError for invalid
    options.
    """
    modes = auth_modes(auth, "handler")
    check_webhook(webhook, "handler", auth)
    _check_body_bytes_max(body_bytes_max, "handler")
    allowed = _methods(methods, "handler", webhook)

    def decorate(wrapped: Callable[..., Any]) -> Handler[..., Any]:
        refuse_non_function(wrapped, "handler")
        if wrapped.__code__.co_argcount != 1:
            raise UsageError(f"@handler: {wrapped.__qualname__} takes exactly one parameter, the request")
        return Handler(
            HandlerDefinition(
                wrapped.__name__, wrapped, is_async(wrapped), allowed, modes, webhook, body_bytes_max
            )
        )

    return decorate if fn is None else decorate(fn)


def _annotation_of_one(annotation: Any, fn: Callable[..., Any]) -> Any:
    """The annotation of one caller's result, for a function that returns a list for many.

    Raises UsageError.
    """
    if annotation in (UNTYPED, Any):
        return UNTYPED
    if annotation is list:
        return UNTYPED
    if get_origin(annotation) is not list:
        raise UsageError(
            f"{fn.__qualname__}: its queue has batch=, so it returns a list with one result for each "
            f"caller, such as list[float]; not {annotation!r}"
        )
    return get_args(annotation)[0]


def _methods(methods: Sequence[str], what: str, webhook: Webhook | None) -> tuple[str, ...]:
    if webhook is not None and methods is METHODS:
        return ("POST",)
    upper = tuple(method.upper() for method in methods) if not isinstance(methods, str) else ()
    if not upper or not set(upper) <= set(METHODS):
        raise UsageError(f"{what}(methods) lists some of {', '.join(METHODS)}, not {methods!r}")
    return upper


def _retention_s(retention: Duration | Literal["forever"] | None) -> float | None:
    if retention is None:
        return None
    if retention == "forever":
        return math.inf
    seconds = seconds_of(retention, 'workflow(retention), if not "forever",')
    if seconds < RETENTION_S_MIN:
        raise UsageError(
            f"workflow(retention) is {RETENTION_S_MIN:.0f} s at least, so that who waits gets the result, "
            f'not {retention!r}; "forever" keeps all'
        )
    return seconds


def _check_version(version: int | None, queue: Queue | None) -> None:
    if version is None:
        return
    # guard: any-version-goes
    if type(version) is not int or not 1 <= version <= NUMBER_MAX:
        raise UsageError(
            f"workflow(version) is a whole number from 1 to {NUMBER_MAX:,}, such as version=2, "
            f"not {version!r:.100}"
        )
    if queue is not None and queue.batches:
        raise UsageError(
            "workflow(version) doesn't go with a queue that has batch=: its members may be of several "
            "versions; give the new code another name"
        )


def _aliases(aliases: Sequence[str]) -> tuple[str, ...]:
    listed = not isinstance(aliases, str) and isinstance(aliases, Sequence)
    # guard: any-alias-goes
    if not listed or not all(isinstance(each, str) and _ALIAS.fullmatch(each) for each in aliases):
        raise UsageError(
            'workflow(aliases) lists the names under which it was served before, such as ["checkout"] or '
            f'["checkout/refund"], not {aliases!r:.100}'
        )
    if len(set(aliases)) < len(aliases) or len(aliases) > ALIASES_MAX:
        raise UsageError(f"workflow(aliases) lists each name once, and at most {ALIASES_MAX} of them")
    return tuple(aliases)


def _check_body_bytes_max(bytes_max: int | None, what: str) -> None:
    fits = bytes_max is None or (type(bytes_max) is int and bytes_max >= 1)
    if not fits:
        raise UsageError(f"{what}(body_bytes_max) is a number of bytes, 1 at least, not {bytes_max!r}")
