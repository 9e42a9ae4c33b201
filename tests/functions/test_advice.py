"""What is told of a file at loading: refused with the way to write it, or served with a warning."""

from __future__ import annotations

import pytest

from outlast.core.observations import FunctionDoubtful
from tests.functions.conftest import Project

REFUSED = {
    "method": (
        "class A:\n    @step\n    def charge(self, n: int): ...",
        "can't go on the method A.charge: write a",
    ),
    "transaction": ("class A:\n    @transaction\n    def pay(self, tx): ...", "can't go on the method A.pay"),
    "workflow": ("class A:\n    @workflow\n    def run(self): ...", "can't go on the method A.run"),
    "class": ("class A:\n    @step\n    def charge(cls): ...", "can't go on the method A.charge"),
    "infinite": (
        "@step(timeout=float('inf'))\ndef f(): ...",
        "step(timeout) is a number of seconds; for no bound",
    ),
    "predicate": (
        "async def worth(error): return True\n@step(max_attempts=2, retry_on=worth)\nasync def f(): ...",
        "step(retry_on) takes a plain function",
    ),
    "object": (
        "class Worth:\n    async def __call__(self, error): return True\n"
        "@step(max_attempts=2, retry_on=Worth())\ndef f(): ...",
        "step(retry_on) takes a plain function",
    ),
    "name": ("@step(name='a\\0b')\ndef f(): ...", "step(name) holds a NUL character"),
}
IMPORTS = """
import dataclasses
from pydantic import BaseModel, Field, SecretStr
from outlast import step, transaction, workflow

class Key(BaseModel):
    secret: SecretStr
class Partial(BaseModel):
    kept: int
    left: int = Field(0, exclude=True)
@dataclasses.dataclass
class Held:
    keys: list[Key]
class Tree(BaseModel):
    below: "list[Tree]" = []

@workflow
async def f(): ...
"""
DOUBTFUL = {
    "names": (
        "@step(name='pay')\ndef a(): ...\n@step(name='pay')\ndef b(): ...",
        "a and b are steps of one name, 'pay'",
    ),
    "kinds": (
        "@step(name='pay')\ndef a(): ...\n@transaction(name='pay')\ndef b(tx): ...",
        "a and b are steps of one",
    ),
    "secret": ("@step\ndef a() -> SecretStr: ...", "a SecretStr is written as asterisks"),
    "field": ("@step\ndef a() -> list[Key]: ...", "secret: a SecretStr is written"),
    "excluded": ("@transaction\ndef a(tx) -> Partial | None: ...", "left: the field is left out of JSON"),
    "workflows of one name": (
        "@workflow\nasync def g(): ...\n@workflow\nasync def g(n: int): ...",
        "both define g: the first can't be reached",
    ),
    "a step and a transaction of one name": (
        "@step\ndef a(): ...\n@transaction\ndef a(tx): ...",
        "both define a: the first can't be reached",
    ),
    "deep": (
        "@workflow\ndef a() -> dict[str, Tree]: ...\n@step\ndef b() -> Tree | Partial: ...",
        "what b returns",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused_with_the_way_to_write_it(project: Project, case: str) -> None:
    text, expected = REFUSED[case]
    project.write("bad.py", f"from outlast import *\n{text}\n")
    project.load()
    assert expected in project.error("bad")


@pytest.mark.parametrize("case", DOUBTFUL)
def test_what_is_likely_to_go_wrong_is_served_and_told_once(project: Project, case: str) -> None:
    text, expected = DOUBTFUL[case]
    project.write("f.py", IMPORTS + text)
    project.load()
    assert project.broken() == {}
    told = [each for each in project.seen if isinstance(each, FunctionDoubtful)]
    assert [each.function for each in told] == ["f"]
    assert expected in told[0].advice
    project.load()
    assert len([each for each in project.seen if isinstance(each, FunctionDoubtful)]) == 1


@pytest.mark.parametrize(
    "text",
    [
        "@step(name='a1')\ndef a(): ...\na_v1 = a\n@step\ndef a(): ...",
        "table = {}\nfor each in 'xy':\n  @step(name=each)\n  def a(): ...\n  table[each] = a",
        "@step(name='a1')\ndef a(): ...\ntable = [a]\n@step\ndef a(): ...",
        "if IMPORTED:\n  @step\n  def a(): ...\nelse:\n  @step\n  def a(): ...",
    ],
)
def test_a_name_that_is_given_again_on_purpose_is_no_doubt(project: Project, text: str) -> None:
    project.write("f.py", f"{IMPORTS}IMPORTED = True\n{text}")
    project.load()
    project.write("f.py", f"{IMPORTS}IMPORTED = False\n{text}")
    project.load()
    assert project.broken() == {}
    assert not [each for each in project.seen if isinstance(each, FunctionDoubtful)]


def test_steps_beside_a_class_and_of_other_names_are_no_doubt(project: Project) -> None:
    project.write(
        "f.py",
        IMPORTS
        + """
def worth(error): return True
@step(retry_on=worth, timeout=5)
def a(self: int) -> Tree: ...
same = a
class A:
    @staticmethod
    @step
    def b(number: int) -> int: ...
""",
    )
    project.load()
    assert project.broken() == {}
    assert not [each for each in project.seen if isinstance(each, FunctionDoubtful)]
