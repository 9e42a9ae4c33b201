"""Taking a guard away by its mark: a comment above the line, in Python and in SQL.

`guard: name` takes away what stands below it. `guard: name = x` puts `x` in place of it, and
`guard: name without 2` drops the second operand of its first `and` or `or`.

Python, where the mark stands above a statement: a condition becomes false, a loop goes over nothing, a
handler catches nothing, a `with` runs its body alone, and any other statement is dropped. SQL, where it
stands above a line: after `where`, `and` and `on` the rest becomes `true`, after `or` `false`, and any other
line is dropped.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_MARK = re.compile(r"^ *(?:#|--) guard: ([a-z0-9-]+)(?: = (.+)| without (\d))?$")
_COMMENT = re.compile(r"^ *(?:#|--|$)")
_CONDITION = re.compile(r"^( *)(where|and|on|or) (.*)$")


class DoesNotApply(Exception):
    """A mark that can't be acted upon, or that isn't there exactly once."""


@dataclass(frozen=True)
class Mark:
    """A guard in the code: its name, its line (from 1), and what is to stand there instead."""

    name: str
    file: Path
    line: int
    instead: str | None
    without: int | None


def marks(package: Path) -> Iterator[Mark]:
    """All marks in the Python and SQL files of the package, and in the migrations beside it."""
    migrations = package.parents[1] / "supabase" / "migrations"
    yield from _marks_in(sorted([*package.rglob("*.py"), *package.rglob("*.sql"), *migrations.glob("*.sql")]))


def _marks_in(files: Iterable[Path]) -> Iterator[Mark]:
    for file in files:
        lines = file.read_text("utf-8").split("\n")
        for number, line in enumerate(lines):
            if (found := _MARK.match(line)) is None:
                if re.search(r"(#|--) guard:", line):
                    raise DoesNotApply(f"{file}:{number + 1} is no mark: {line.strip()}")
                continue
            below = next(at for at in range(number, len(lines)) if not _COMMENT.match(lines[at]))
            yield Mark(found[1], file, below + 1, found[2], int(found[3]) if found[3] else None)


def without(mark: Mark) -> str:
    """The text of the mark's file with the guard taken away. Raises DoesNotApply."""
    text = mark.file.read_text("utf-8")
    return _of_python(mark, text) if mark.file.suffix == ".py" else _of_sql(mark, text)


def _of_sql(mark: Mark, text: str) -> str:
    lines = text.split("\n")
    line = lines[mark.line - 1]
    if mark.without is not None:
        raise DoesNotApply(f"{mark.name}: SQL has no operands that can be counted")
    if mark.instead is not None:
        lines[mark.line - 1] = mark.instead
    elif (found := _CONDITION.match(line)) is not None:
        if found[3].count("(") != found[3].count(")"):
            raise DoesNotApply(f"{mark.name}: the condition does not end in its line")
        lines[mark.line - 1] = f"{found[1]}{found[2]} {'false' if found[2] == 'or' else 'true'}"
    else:
        del lines[mark.line - 1]
    return "\n".join(lines)


def _of_python(mark: Mark, text: str) -> str:
    taker = _Taker(mark)
    tree = ast.fix_missing_locations(taker.visit(ast.parse(text)))
    if taker.taken != 1:
        raise DoesNotApply(f"{mark.name}: {taker.taken} statements begin below the mark in {mark.file.name}")
    return ast.unparse(tree)


class _Taker(ast.NodeTransformer):
    """Takes the statement away that begins at the mark's line."""

    def __init__(self, mark: Mark) -> None:
        self._mark = mark
        self.taken = 0

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.stmt | ast.ExceptHandler) and node.lineno == self._mark.line:
            self.taken += 1
            return self._taken(node)
        return self.generic_visit(node)

    def _taken(self, node: ast.stmt | ast.ExceptHandler) -> ast.AST:
        if self._mark.without is not None:
            return self._operand_dropped(node, self._mark.without)
        if self._mark.instead is not None:
            return self._replaced(node, ast.parse(self._mark.instead, mode="eval").body)
        match node:
            case ast.If() | ast.While():
                node.test = ast.Constant(False)
            case ast.For() | ast.AsyncFor():
                node.iter = ast.Tuple([], ast.Load())
            case ast.ExceptHandler():
                node.type = ast.Tuple([], ast.Load())
            case ast.With() | ast.AsyncWith():
                return ast.If(ast.Constant(True), node.body, [])
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Try():
                raise DoesNotApply(f"{self._mark.name}: too much to take away")
            case _:
                return ast.Pass()
        return node

    def _replaced(self, node: ast.AST, value: ast.expr) -> ast.AST:
        match node:
            case ast.If() | ast.While():
                node.test = value
            case ast.Assign() | ast.AnnAssign() | ast.Return() | ast.Expr():
                node.value = value
            case ast.Raise():
                return ast.Expr(value)
            case _:
                raise DoesNotApply(f"{self._mark.name}: it has no condition or value")
        return node

    def _operand_dropped(self, node: ast.AST, number: int) -> ast.AST:
        found = next((each for each in ast.walk(node) if isinstance(each, ast.BoolOp)), None)
        if found is None or not 1 <= number <= len(found.values):
            raise DoesNotApply(f"{self._mark.name}: it has no such operand")
        del found.values[number - 1]
        if len(found.values) == 1:  # an `and` of one operand is that operand twice
            found.values *= 2
        return node
