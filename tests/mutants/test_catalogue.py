"""The catalogue is of today's code: each mutant applies to it, and the tests that it names exist."""

from __future__ import annotations

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.mutants.catalogue import EQUIVALENTS, MUTANTS
from tests.mutants.mutant import ROOT, DoesNotApply, Equivalent, Mutant, mutated


@cache
def defined_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


ALL: list[Mutant | Equivalent] = [*MUTANTS, *EQUIVALENTS]


def test_each_applies_once() -> None:
    said = []
    for each in ALL:
        try:
            mutated(each)
        except DoesNotApply as error:
            said.append(f"{each.name}: {error}")
    assert said == []


def test_somebody_is_expected_to_catch_each() -> None:
    assert [mutant.name for mutant in MUTANTS if not mutant.layers] == []
    missing = []
    for mutant in MUTANTS:
        for test in (test for layer in mutant.layers for test in mutant.tests(layer)):
            file, _, name = test.partition("::")
            if name.partition("[")[0] not in defined_in(ROOT / file):
                missing.append(f"{mutant.name}: {test}")
    assert missing == []


def test_names_are_different() -> None:
    counts = Counter(each.name for each in ALL)
    assert [name for name, count in counts.items() if count > 1] == []


def test_one_that_no_longer_applies_is_an_error() -> None:
    for old in ("no such text", "import", "yield"):
        with pytest.raises(DoesNotApply):
            mutated(Mutant("m", "g", "engine/lease.py", old, "x"))
