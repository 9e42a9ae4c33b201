"""What a module serves, and under which names."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from outlast.core.names import is_function_name
from outlast.functions.advice import advice_on
from outlast.sdk.definitions import HandlerDefinition, WorkflowDefinition
from outlast.sdk.workflows import Handler, Workflow

ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]
Served = WorkflowDefinition | HandlerDefinition | ASGIApp
"""What a name can stand for."""

Definition = WorkflowDefinition | HandlerDefinition

EXAMPLE = """nothing to serve; for example:
    from outlast import workflow
    @workflow
    async def {name}(): return "done\""""


class NothingServed(Exception):
    """A module serves nothing, or something that can't be served; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What one file serves."""

    main: Definition | None = None
    """What answers at the file's own name."""
    others: dict[str, Definition] = field(default_factory=dict)
    """What answers below it, by Python name."""
    private: dict[str, WorkflowDefinition] = field(default_factory=dict)
    """Workflows that begin with `_`: they can be started, and not be called over HTTP."""
    app: ASGIApp | None = None
    advice: tuple[str, ...] = ()
    """What in it is likely to go wrong."""

    @property
    def is_ambiguous(self) -> bool:
        """Whether nothing answers at the file's own name."""
        return self.main is None and self.app is None


def offer_of(function: str, module: ModuleType) -> Offer:
    """What `module`, the file of `function`, serves. Raises NothingServed.

    Only what is written in the function's own files counts, not what it imports from elsewhere; an `app`
    may come from anywhere.
    """
    found = _definitions(module)
    app = vars(module).get("app")
    mounted = None if isinstance(app, Workflow | Handler) or not callable(app) else _check_app(app)
    private = {
        name: definition
        for name, definition in found.items()
        if name.startswith("_") and isinstance(definition, WorkflowDefinition)
    }
    public = {name: definition for name, definition in found.items() if not name.startswith("_")}
    if not public and mounted is None:
        raise NothingServed(EXAMPLE.format(name=function.replace("-", "_")))
    own = function.replace("-", "_")
    main = own if own in public else None
    if main is None and mounted is None and len(public) == 1:
        (main,) = public
    return Offer(
        main=public.pop(main) if main is not None else None,
        others={name: definition for name, definition in public.items() if is_function_name(name)},
        private=private,
        app=mounted,
        advice=advice_on(module),
    )


def _definitions(module: ModuleType) -> dict[str, Definition]:
    """The module's own workflows and handlers by name; one that bears several names counts once."""
    named: dict[str, Definition] = {}
    bindings: dict[Definition, list[str]] = {}
    for name, value in vars(module).items():
        if isinstance(value, Workflow | Handler) and _is_own(value.definition, module):
            bindings.setdefault(value.definition, []).append(name)
    for definition, names in bindings.items():
        named[definition.name if definition.name in names else names[0]] = definition
    return named


def _is_own(definition: Definition, module: ModuleType) -> bool:
    home = definition.fn.__module__
    return home == module.__name__ or (hasattr(module, "__path__") and home.startswith(f"{module.__name__}."))


def _check_app(app: Any) -> ASGIApp:
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):
        return app  # type: ignore[no-any-return]
    try:
        signature.bind(None, None, None)
    except TypeError:
        raise NothingServed(
            "app is no ASGI application: it can't be called as app(scope, receive, send); wrap a WSGI one "
            "(a2wsgi), or name it otherwise"
        ) from None
    return app  # type: ignore[no-any-return]
