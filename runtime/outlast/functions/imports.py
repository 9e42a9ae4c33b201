"""The folder's modules that an import statement refers to. They follow from the text, before any code runs.

`import helper` in a function's folder is that folder's `helper.py`, for its own files only. `_shared`, and
any other top-level name that begins with `_`, can be imported by all. `functions.NAME` and relative imports
reach every module by its path. Any other name is left to Python.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from types import CodeType

from outlast.functions.folder import ROOT, Source


@dataclass(frozen=True, slots=True)
class Statement:
    """`from NAME import NAMES` or, without names, `import NAME`."""

    name: str
    names: tuple[str, ...]
    level: int


@dataclass(frozen=True, slots=True)
class Outline:
    """A parsed module: its code, or the error that parsing met; and all its import statements."""

    code: CodeType | None
    error: Exception | None
    statements: tuple[Statement, ...]


def outline_of(source: Source) -> Outline:
    """Parse a module. Never raises, whatever it contains."""
    if not source.text:
        return Outline(compile("", str(source.path), "exec", dont_inherit=True), None, ())
    try:
        tree = ast.parse(source.text, str(source.path))
        code = compile(tree, str(source.path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        return Outline(None, error.with_traceback(None), ())
    return Outline(code, None, tuple(_statements(tree.body)))


def _statements(body: list[ast.stmt]) -> Iterator[Statement]:
    """Import statements at any depth. Those in functions run later, but belong to the same version."""
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Statement(alias.name, (), 0)
        elif isinstance(node, ast.ImportFrom):
            yield Statement(node.module or "", tuple(alias.name for alias in node.names), node.level)
        else:
            for block in ("body", "orelse", "finalbody", "handlers", "cases"):
                inner = getattr(node, block, None)
                if isinstance(inner, list):
                    waiting.extend(inner)


def package_of(source: Source) -> str:
    """The package that relative imports in this module start from."""
    return source.name if source.package else source.name.rpartition(".")[0]


def lies_in_function(source: Source) -> bool:
    """Whether the module is part of a function's folder, whose modules it may import by plain name."""
    return not source.unit.startswith("_") and (source.package or source.name.count(".") > 1)


def locate(source: Source, name: str, level: int, known: Collection[str]) -> str | None:
    """The module of the folder that `name` refers to in `source`; None if Python has to find it.

    It says where the module must be, not that it exists. Raises ImportError for a relative import that leaves
    the folder.
    """
    if level:
        package = package_of(source).split(".")
        if level > len(package):
            raise ImportError("attempted relative import beyond the functions folder")
        return canonical(".".join([*package[: len(package) - level + 1], *([name] if name else [])]))
    first, _, _ = name.partition(".")
    if first == ROOT:
        second = ".".join(name.split(".")[:2])
        return canonical(name) if second in known or name == ROOT else None
    if lies_in_function(source) and canonical(f"{ROOT}.{source.unit}.{first}") in known:
        return canonical(f"{ROOT}.{source.unit}.{name}")
    if first.startswith("_") and f"{ROOT}.{first}" in known:
        return f"{ROOT}.{name}"
    return None


def canonical(name: str) -> str:
    """The canonical name of a module: `functions.checkout.index` is `functions.checkout`."""
    parts = name.split(".")
    if len(parts) == 3 and parts[2] == "index" and not parts[1].startswith("_"):
        return ".".join(parts[:2])
    return name


def ancestry(name: str) -> list[str]:
    """The packages that contain `name`, without the root, and `name`: what importing it imports."""
    parts = name.split(".")
    return [".".join(parts[:depth]) for depth in range(2, len(parts) + 1)]


def dependencies(source: Source, outline: Outline, known: Collection[str]) -> set[str]:
    """Every module of the folder that `source` may import by a statement."""
    found: set[str] = set(ancestry(source.name))
    for statement in outline.statements:
        try:
            target = locate(source, statement.name, statement.level, known)
        except ImportError:
            continue
        if target is None:
            continue
        found.update(ancestry(target))
        for name in statement.names:
            found.add(canonical(f"{target}.{name}"))
            if name == "*":
                found.update(each for each in known if each.rpartition(".")[0] == target)
    found.discard(source.name)
    return {name for name in found if name in known}
