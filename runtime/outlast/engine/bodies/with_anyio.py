"""Number what anyio keeps in sets: scopes are cancelled, and who waits is woken, in the same order again.

A task group cancels its tasks in the order of a set of scopes, and a memory stream that is closed wakes those
who wait in the order of a set of events. Both are hashed by address, and no loop is asked for them.
"""

from __future__ import annotations

import sys
from asyncio import events
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import Any

from outlast.engine.bodies.loop import BodyLoop

BACKEND = "anyio._backends._asyncio"
"""anyio loads it when somebody first asks for something of it."""

NUMBERED = ("CancelScope", "Event")


def number_scopes() -> None:
    """Number them, now or when anyio's backend is loaded."""
    if BACKEND in sys.modules:
        _number(sys.modules[BACKEND])
    elif not any(isinstance(each, _WhenLoaded) for each in sys.meta_path):
        sys.meta_path.insert(0, _WhenLoaded())


class _WhenLoaded(MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """See MetaPathFinder."""
        if name != BACKEND:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        loader: Any = spec.loader
        run = loader.exec_module

        def exec_module(module: Any) -> None:
            run(module)
            _number(module)

        loader.exec_module = exec_module
        return spec


def _number(backend: Any) -> None:
    for name in NUMBERED:
        original = getattr(backend, name)
        if not hasattr(original, "_outlast_number"):
            setattr(backend, name, _numbered(original))


def _numbered(original: Any) -> Any:
    def __new__(cls: Any, *args: Any, **options: Any) -> Any:  # noqa: N807
        self = original.__new__(cls, *args, **options)
        loop = events._get_running_loop()
        self._outlast_number = loop.next_number() if isinstance(loop, BodyLoop) else None
        return self

    def __hash__(self: Any) -> int:  # noqa: N807
        # guard: scopes-hashed-by-address = object.__hash__(self)
        return object.__hash__(self) if self._outlast_number is None else int(self._outlast_number)

    names = {
        "__slots__": ("_outlast_number",),
        "__new__": __new__,
        "__hash__": __hash__,
        "__module__": original.__module__,
        "__qualname__": original.__qualname__,
        "__doc__": original.__doc__,
    }
    return type(original)(original.__name__, (original,), names)
