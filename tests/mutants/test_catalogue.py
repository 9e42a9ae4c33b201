"""The catalogue is of today's code: each guard is marked once, can be taken away, and has tests."""

from __future__ import annotations

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.mutants.catalogue import MUTANTS
from tests.mutants.marks import DoesNotApply, Mark, marks, without
from tests.mutants.mutant import LAYERS, PACKAGE, ROOT

MARKS = list(marks(PACKAGE))


@cache
def defined_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.names[0].name == "*":
            names |= defined_in(ROOT / f"{node.module.replace('.', '/')}.py")
    return names


@cache
def unchanged(path: Path) -> str:
    """A file of Python as it is written where nothing is taken away."""
    return ast.unparse(ast.parse(path.read_text("utf-8")))


def test_each_mark_has_an_entry_and_each_entry_a_mark() -> None:
    assert Counter(each.name for each in MARKS) == Counter(each.name for each in MUTANTS)
    assert len({each.name for each in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: mark.name)
def test_it_can_be_taken_away(mark: Mark) -> None:
    text = without(mark)
    if mark.file.suffix == ".py":
        compile(text, str(mark.file), "exec")
        assert text != unchanged(mark.file)
    else:
        assert text != mark.file.read_text("utf-8")


def test_somebody_is_expected_to_notice_each() -> None:
    for mutant in MUTANTS:
        assert mutant.noticing, mutant.name
        for test in mutant.noticing:
            file, _, name = test.partition("::")
            assert file.partition("/")[0] in LAYERS, test
            assert name.partition("[")[0] in defined_in(ROOT / "tests" / file), test


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("a.py", "# guard: m\ndef f():\n    pass\n"),
        ("a.py", "# guard: m = True\nimport x\n"),
        ("a.py", "# guard: m without 3\nx = a and b\n"),
        ("a.py", "f(\n    # guard: m\n    x)\n"),
        ("a.py", "# guard: M m\nx = 1\n"),
        ("a.sql", "-- guard: m\nwhere (a\n  and b)\n"),
    ],
)
def test_a_mark_that_marks_nothing_is_an_error(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).write_text(text, "utf-8")
    with pytest.raises(DoesNotApply):
        for mark in marks(tmp_path):
            without(mark)


@pytest.mark.parametrize(
    ("file", "text", "left"),
    [
        ("a.py", "# guard: m\nif x:\n    f()", "if False:\n    f()"),
        ("a.py", "# guard: m = y\nreturn x", "return y"),
        ("a.py", "# guard: m without 1\nx = a and b or c", "x = c or c"),
        ("a.py", "# guard: m = f()\nraise x", "f()"),
        ("a.py", "# guard: m\nwith a:\n    f()", "if True:\n    f()"),
        ("a.py", "# guard: m\nf()\ng()", "pass\ng()"),
        ("a.sql", "-- guard: m\nwhere a = 1", "where true"),
        ("a.sql", "-- guard: m\n-- guard: n\n  or (a)", "  or false"),
        ("a.sql", "-- guard: m\nfor share", ""),
        ("a.sql", "-- guard: m = for update\nfor share", "for update"),
    ],
)
def test_what_is_left(tmp_path: Path, file: str, text: str, left: str) -> None:
    (tmp_path / file).write_text(text, "utf-8")
    changed = without(next(each for each in marks(tmp_path) if each.name == "m"))
    assert "\n".join(line for line in changed.split("\n") if "guard:" not in line) == left
