"""One version of one module: imported once, and seen only by the modules of its own version.

Each module gets an `__import__` of its own. So what it imports, now or later in a function's body, comes from
its own version, whatever has been reloaded since. `sys.modules` has the newest version of each name, for code
that looks up a class's module there (dataclasses, typing, pydantic); imports between functions never use it.
An old version lives as long as something runs in it.
"""

from __future__ import annotations

import builtins
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import decode_source
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from outlast.functions.folder import ROOT, Source
from outlast.functions.imports import Outline, ancestry, canonical, locate, package_of
from outlast.functions.patience import IMPORT_S_MAX, patience
from outlast.sdk.environment import Own, environment

IMPORTS_MAX = 256
"""How many import statements a module remembers."""


@dataclass(slots=True)
class Shelf:
    """The newest version of every module, and the lock under which modules are imported."""

    folder: Path
    import_s_max: float = IMPORT_S_MAX
    nodes: dict[str, Node] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def replace(self, nodes: dict[str, Node]) -> None:
        """Put newer versions on the shelf. Removed modules can no longer be found by name."""
        for name in self.nodes.keys() - nodes.keys():
            if _shelf_of(name) is self:
                del sys.modules[name]
        self.nodes = nodes
        if ROOT not in sys.modules or _shelf_of(ROOT) not in (None, self):
            sys.modules[ROOT] = self._root()

    def _root(self) -> ModuleType:
        """The package that contains all modules. pickle, for example, needs it."""
        spec = ModuleSpec(ROOT, None, loader_state=self, is_package=True)
        root = ModuleType(ROOT)
        root.__spec__ = spec
        root.__path__ = spec.submodule_search_locations = [str(self.folder)]
        return root


def _shelf_of(name: str) -> Shelf | None:
    """The shelf for which the module of that name in `sys.modules` was imported; None if there is none."""
    state = getattr(getattr(sys.modules.get(name), "__spec__", None), "loader_state", None)
    return state if isinstance(state, Shelf) else None


class Node:
    """A version of a module. Its code runs when it is first imported."""

    __slots__ = (
        "__weakref__", "_failed_at", "_known", "_locate", "_module", "_own", "_ready", "_refused", "_shelf",
        "_views", "failed", "failure", "fingerprint", "needs", "outline", "source", "surroundings",
    )  # fmt: skip

    def __init__(
        self,
        source: Source,
        outline: Outline,
        fingerprint: str,
        known: frozenset[str],
        refused: Mapping[str, str],
        shelf: Shelf,
        surroundings: object,
        own: Own | None,
    ) -> None:
        self.source = source
        self.outline = outline
        self.fingerprint = fingerprint
        """Of this module and of everything that it may import."""
        self.surroundings = surroundings
        """The environment that they see. If it changes, they are imported again."""
        self._own = own
        self.needs: dict[str, Node] = {}
        self.failed = False
        self.failure: BaseException | None = None
        self._failed_at: TracebackType | None = None
        """The traceback of the failure. When the failure has been told, it is forgotten."""
        self._known = known
        self._locate = lru_cache(IMPORTS_MAX)(lambda name, level: locate(source, name, level, known))
        self._refused = refused
        self._shelf = shelf
        self._module: ModuleType | None = None
        self._ready = False
        self._views: dict[str, PackageView] = {}

    def load(self) -> ModuleType:
        """The module; it is imported now if it wasn't. Raises what its code raises, also SystemExit."""
        if self._ready and self._module is not None:
            return self._module
        with self._shelf.lock:
            if self._module is not None:
                return self._module  # imported meanwhile; or in a circle: half done, as in Python
            if self.failure is not None:
                raise self.failure.with_traceback(self._failed_at)
            return self._run()

    def _run(self) -> ModuleType:
        name = self.source.name
        module = self._make()
        former = sys.modules.get(name)
        sys.modules[name] = self._module = module
        try:
            if self.outline.error is not None:
                raise self.outline.error
            assert self.outline.code is not None
            with patience(self._shelf.import_s_max), environment(self._own):
                exec(self.outline.code, module.__dict__)  # noqa: S102 - running the user's code is our purpose
        except BaseException as error:
            self._module = None
            self.failed = True
            self.failure = None if isinstance(error, KeyboardInterrupt) else error
            self._failed_at = error.__traceback__
            if former is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = former
            raise
        finally:
            assert module.__spec__ is not None
            module.__spec__._initializing = False  # type: ignore[attr-defined]
        self._ready = True
        self._tell_parent(module)
        return module

    def _tell_parent(self, module: ModuleType) -> None:
        """Set a submodule on its package, as Python does, if both always have the same version."""
        above, _, tail = self.source.name.rpartition(".")
        parent = self.needs.get(above)
        if parent is None or parent._module is None:
            return
        if not self.source.unit.startswith("_") or self.source.name in parent.needs:
            setattr(parent._module, tail, module)

    def forget_failure(self) -> None:
        """Forget the error, and the frames that it refers to. The next import tries again."""
        self.failure = self._failed_at = None
        if self.outline.error is not None:
            self.outline.error.__traceback__ = self.outline.error.__context__ = None

    @property
    def module(self) -> ModuleType | None:
        """The module, if it was imported."""
        return self._module

    def _make(self) -> ModuleType:
        source = self.source
        module = ModuleType(source.name)
        spec = ModuleSpec(
            source.name,
            SourceLoader(source),
            origin=str(source.path),
            loader_state=self._shelf,
            is_package=source.package,
        )
        # Python's own message for a name that a circle of imports hasn't reached yet depends on this.
        spec._initializing = True  # type: ignore[attr-defined]
        spec.has_location = bool(source.text)
        module.__spec__ = spec
        module.__loader__ = spec.loader
        module.__package__ = package_of(source)
        if source.path.suffix == ".py":
            module.__file__ = str(source.path)
        if source.package:
            folder = source.path.parent if source.path.suffix == ".py" else source.path
            module.__path__ = spec.submodule_search_locations = [str(folder)]
        module.__dict__["__builtins__"] = {**builtins.__dict__, "__import__": self._importer()}
        return module

    def _importer(self) -> Callable[..., Any]:
        """What an import statement of this module calls."""

        def import_module(
            name: str,
            globals: Mapping[str, object] | None = None,
            locals: Mapping[str, object] | None = None,
            fromlist: Sequence[str] | None = (),
            level: int = 0,
        ) -> Any:
            target = self._locate(name, level)
            if target == ROOT and not level:  # a package of that name may be installed
                ours = any(f"{ROOT}.{each}" in self._known for each in fromlist or ())
                target = ROOT if ours else None
            if target is None:
                return builtins.__import__(name, globals, locals, fromlist or (), level)
            if fromlist:
                return self._import_from(target, target if level else name, fromlist)
            return self._import_whole(target, name)

        return import_module

    def _import_from(self, target: str, written: str, names: Sequence[str]) -> ModuleType:
        """For `from target import names`: the module, or a view of it that has the submodules asked for."""
        module = self._import(target, written)
        if module is not None and not hasattr(module, "__path__"):
            return module
        wanted = list(getattr(module, "__all__", ())) if "*" in names else list(names)
        submodules = [
            name for name in wanted
            if not hasattr(module, name) and canonical(f"{target}.{name}") in self._known
        ]  # fmt: skip
        if module is not None and not submodules:
            return module
        view = self._view(target, module)
        for name in submodules:
            view.__dict__[name] = self._import(canonical(f"{target}.{name}"), f"{written}.{name}")
        return view

    def _import_whole(self, target: str, written: str) -> ModuleType:
        """For `import a.b.c`: `a`, through which `b` and `c` are reached."""
        module = self._import(target, written)
        depth = written.count(".")
        if depth == 0 and module is not None:
            return self._views.get(target, module)
        if module is None or target.rpartition(".")[2] != written.rpartition(".")[2]:
            raise ImportError(f"write `from {target} import …`", name=written)
        for _ in range(depth):
            target, _, tail = target.rpartition(".")
            view = self._view(target, self._import(target, written))
            view.__dict__[tail] = module
            module = view
        return module

    def _view(self, name: str, behind: ModuleType | None) -> PackageView:
        view = self._views.get(name)
        if view is None:
            view = self._views[name] = PackageView(name, behind)
        return view

    def _import(self, target: str, written: str) -> ModuleType | None:
        """Import `target` after the packages it lies in. None for the root, which is no module."""
        module: ModuleType | None = None
        for name in ancestry(target):
            module = self._find(name, written).load()
        return module

    def _find(self, name: str, written: str) -> Node:
        """This version's module of that name; the newest, if no statement of this module names it."""
        node = self if name == self.source.name else self.needs.get(name) or self._shelf.nodes.get(name)
        if node is not None:
            return node
        if name in self._refused:
            raise ImportError(self._refused[name], name=written)
        raise ModuleNotFoundError(f"No module named {written!r}", name=written)


class SourceLoader(SourceFileLoader):
    """What warnings, `inspect` and `importlib.resources` ask about a module; it imports nothing."""

    def __init__(self, source: Source) -> None:
        super().__init__(source.name, str(source.path))
        self._source = source

    def is_package(self, fullname: str) -> bool:
        """Whether it is a package: a function's `index.py` is one, as `__init__.py` is elsewhere."""
        return self._source.package

    def get_source(self, fullname: str) -> str:
        """The text of this version, whatever the file holds by now."""
        return decode_source(self._source.text)


class PackageView(ModuleType):
    """A package as one importer sees it: with the submodules of that importer's version.

    Set on the package itself, a submodule would be seen by all versions that share the package.
    """

    def __init__(self, name: str, behind: ModuleType | None) -> None:
        super().__init__(name)
        shown = ("__doc__", "__loader__", "__package__", "__spec__")
        self.__dict__.update({each: getattr(behind, each, None) for each in shown})
        self.__dict__["_behind"] = behind

    def __getattr__(self, name: str) -> Any:
        behind = self.__dict__.get("_behind")
        if behind is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(behind, name)

    def __setattr__(self, name: str, value: Any) -> None:
        behind = self.__dict__.get("_behind")
        if behind is None:
            super().__setattr__(name, value)
        else:
            setattr(behind, name, value)

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *dir(self.__dict__.get("_behind"))} - {"_behind"})
