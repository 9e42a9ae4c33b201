"""What a module serves, and under which names."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from outlast.core.names import is_function_name
from outlast.core.versions import FIRST
from outlast.functions.advice import advice_on
from outlast.sdk.definitions import HandlerDefinition, WorkflowDefinition
from outlast.sdk.workflows import Handler, Workflow

ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]
Served = WorkflowDefinition | HandlerDefinition | ASGIApp
"""What a name can stand for."""

Definition = WorkflowDefinition | HandlerDefinition

_OF_VERSION = re.compile(r"(.+)[_-]v[0-9]+")
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
    older: tuple[tuple[str, WorkflowDefinition], ...] = ()
    """Lower versions of these in the same file, with the Python name of what they are versions of."""
    advice: tuple[str, ...] = ()
    """What in it is likely to go wrong."""

    @property
    def is_ambiguous(self) -> bool:
        """Whether nothing answers at the file's own name."""
        return self.main is None and self.app is None

    @property
    def has_versions(self) -> bool:
        """Whether anything in it declares a version."""
        return _any_version([self.main, *self.others.values(), *self.private.values()])

    @property
    def number(self) -> int:
        """The version of what answers at the file's own name."""
        return self.main.number if isinstance(self.main, WorkflowDefinition) else FIRST


def _any_version(definitions: Iterable[Definition | None]) -> bool:
    return any(isinstance(each, WorkflowDefinition) and each.version is not None for each in definitions)


def home_of(file: str) -> str:
    """The name of a file without the version at its end: `checkout` of `checkout_v1`."""
    found = _OF_VERSION.fullmatch(file)
    return found[1] if found else file


def offer_of(function: str, module: ModuleType) -> Offer:
    """What `module`, the file of `function` or of a version of it, serves. Raises NothingServed.

    Only what is written in the function's own files counts, not what it imports from elsewhere; an `app`
    may come from anywhere.
    """
    found, older = _definitions(module)
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
    own = (home_of(function) if _any_version(found.values()) else function).replace("-", "_")
    main = own if own in public else None
    if main is None and mounted is None and len(public) == 1:
        (main,) = public
    return Offer(
        main=public.pop(main) if main is not None else None,
        others={name: definition for name, definition in public.items() if is_function_name(name)},
        private=private,
        app=mounted,
        older=tuple(older),
        advice=advice_on(module),
    )


def _definitions(module: ModuleType) -> tuple[dict[str, Definition], list[tuple[str, WorkflowDefinition]]]:
    """The module's own workflows and handlers by name; one that bears several names counts once.

    And lower versions of these. Raises NothingServed for two of one version.
    """
    named: dict[str, Definition] = {}
    older: list[tuple[str, WorkflowDefinition]] = []
    bindings: dict[Definition, list[str]] = {}
    for name, value in vars(module).items():
        if isinstance(value, Workflow | Handler) and _is_own(value.definition, module):
            bindings.setdefault(value.definition, []).append(name)
    for definition, names in bindings.items():
        name = definition.name if definition.name in names else names[0]
        if isinstance(definition, WorkflowDefinition) and definition.version is not None:
            name = definition.name  # whatever the module calls it beside its other versions
        _put(named, older, name, definition)
    return named, older


def _put(
    named: dict[str, Definition],
    older: list[tuple[str, WorkflowDefinition]],
    name: str,
    definition: Definition,
) -> None:
    other = named.get(name)
    if isinstance(other, WorkflowDefinition) and isinstance(definition, WorkflowDefinition):
        both = [other, *(each for of, each in older if of == name)]
        for each in both:
            if each.number == definition.number:
                lines = sorted((each.fn.__code__.co_firstlineno, definition.fn.__code__.co_firstlineno))
                raise NothingServed(
                    f"lines {lines[0]} and {lines[1]} both have version {each.number} of {name}: give one of "
                    "them another version: @workflow(version=…), or take it away"
                )
        other, definition = sorted((other, definition), key=lambda each: each.number)
        older.append((name, other))
    named[name] = definition


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
