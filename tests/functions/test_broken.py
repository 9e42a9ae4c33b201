"""A file that can't be imported is broken for itself alone, and the log says where."""

from __future__ import annotations

import re
import sys

import pytest

from outlast.functions.catalog import FunctionBroken
from tests.functions.conftest import Project

CASES = {
    "name": ("x = 1\n\ny = z", "functions/bad.py:3: NameError: name 'z' is not defined"),
    "syntax": ("x = 1\ndef f(:\n", "functions/bad.py:2: SyntaxError: invalid syntax"),
    "indent": ("def f():\nreturn 1", "functions/bad.py:2: IndentationError: expected an indented block"),
    "import": ("import nope_nope", "functions/bad.py:1: ModuleNotFoundError: No module named 'nope_nope'"),
    "exit": (
        "import sys\nsys.exit('bye')",
        "functions/bad.py:2: it ends the program while being imported (SystemExit: 'bye')",
    ),
    "base": ("class Stop(BaseException): ...\nraise Stop('now')", "functions/bad.py:2: Stop: now"),
    "depth": ("def f(): f()\nf()", "functions/bad.py:1: RecursionError: maximum recursion depth exceeded"),
    "library": (
        "import json\n\njson.loads('{')",
        "functions/bad.py:3: JSONDecodeError: Expecting property name",
    ),
    "lines": ("raise ValueError('''one\ntwo''')", "functions/bad.py:1: ValueError: one"),
    "silent": ("raise ValueError", "functions/bad.py:1: ValueError"),
    "mute": (
        "class Mute(Exception):\n    def __str__(self): raise ValueError\nraise Mute",
        "functions/bad.py:3: Mute",
    ),
    "no syntax": ("\nraise SyntaxError", "functions/bad.py:2: SyntaxError"),
    "no message": (
        "class Mute(SyntaxError):\n    msg = property(lambda _: 1 / 0)\nraise Mute",
        "functions/bad.py: Mute",
    ),
    "no status": (
        "class Mute:\n    def __repr__(self): raise ValueError\nraise SystemExit(Mute())",
        "functions/bad.py: SystemExit",
    ),
    "no file": ("raise SyntaxError('x', (5, 1, 2, ''))", "functions/bad.py: SyntaxError"),
    "no module": ("raise ModuleNotFoundError('x', name=5)", "functions/bad.py: ModuleNotFoundError"),
    "decorator": (
        "from outlast import step\n\n@step(max_attempts=0)\ndef f(): ...",
        "functions/bad.py:3: UsageError: step(max_attempts) is a whole number from 1, not 0",
    ),
    "annotation": (
        "from outlast import workflow\n@workflow\ndef f(x: Nope): ...".replace("Nope", "'Nope'"),
        "functions/bad.py:2: UsageError: f: an annotation can't be resolved: name 'Nope' is not defined",
    ),
    "odd": ("raise SyntaxError(5)", "functions/bad.py: SyntaxError"),
    "unnamed": ("raise ModuleNotFoundError('gone', name=5)", "functions/bad.py: ModuleNotFoundError"),
    "deep": ("x = " + "(" * 500 + ")" * 500, "functions/bad.py:1: "),
}


REMEDIES = {
    "option": ("from outlast import step\n@step(max_atempts=3)\ndef f(): ...", "did you mean max_attempts?"),
    "option of a class": (
        "from outlast import Queue\nQueue('q', concurency=3)",
        "did you mean concurrency?",
    ),
    "unlike any option": (
        "from outlast import Rate\nRate(3, hours=1)",
        "it takes n, per, smooth",
    ),
    "another's option": ("def f(): ...\nf(concurency=3)", ""),
    "name": ("from outlast import worklfow", "did you mean workflow?"),
    "unlike any name": ("from outlast import zebra", ""),
    "variable": (
        "import os\nos.environ['NOT_SET_ANYWHERE']",
        "set this variable in functions/.env, or where the host is started",
    ),
    "another's key": ("{}['x']", ""),
    "package": ("import nope_nope.sub", f"if it is a package's, install that into {sys.prefix}"),
    "circle": (
        "from functions.worse import x",
        "put what both need into functions/_shared, or import it in the function that uses it",
    ),
}


@pytest.mark.parametrize("case", REMEDIES)
def test_the_remedy_is_told(project: Project, case: str) -> None:
    text, remedy = REMEDIES[case]
    project.write("bad.py", text)
    project.write("worse.py", "from functions.bad import y\nx = 1")
    project.load()
    told = re.sub(r" \(imported by .*", "", project.error("bad"))
    told = re.sub(r"\. Did you mean '(\w+)'\?", r"; did you mean \1?", told)  # from Python 3.13 on its own
    assert told.partition("; ")[2] == remedy


@pytest.mark.parametrize("text", [b"x = 'caf\xe9'", "x = 1".encode("utf-16")])
def test_a_file_in_another_encoding_is_told(project: Project, text: bytes) -> None:
    (project.write("bad.py", "")).write_bytes(text)
    project.load()
    assert project.error("bad").endswith("; save it as UTF-8")


@pytest.mark.parametrize("case", CASES)
def test_the_place_and_the_error_are_told(project: Project, case: str) -> None:
    text, expected = CASES[case]
    project.write("bad.py", text)
    project.workflow("hello.py", "hello")
    catalog = project.load()
    assert project.error("bad").startswith(expected)
    assert len(project.error("bad").splitlines()) == 1
    assert project.broken() == {"bad": project.error("bad")}
    assert project.loaded() == ["hello"]
    assert catalog.resolve("hello").function == "hello"
    assert catalog.workflow_names() == ["hello"]
    with pytest.raises(FunctionBroken):
        catalog.resolve("bad")


def test_a_long_error_is_cut(project: Project) -> None:
    project.write("bad.py", "raise ValueError('x' * 100_000)")
    project.load()
    assert len(project.error("bad")) < 600


def test_a_broken_shared_module_breaks_those_who_import_it(project: Project) -> None:
    project.write("_shared/db.py", "\n\n1 / 0")
    project.write("one.py", "\nfrom _shared import db")
    project.write("two/index.py", "import helper")
    project.write("two/helper.py", "from _shared.db import x")
    project.workflow("hello.py", "hello")
    project.load()
    fault = "functions/_shared/db.py:3: ZeroDivisionError: division by zero"
    assert project.error("one") == f"{fault} (imported by functions/one.py:2)"
    assert project.error("two") == f"{fault} (imported by functions/two/index.py:1)"
    assert project.file("hello").error is None


def test_a_shared_module_with_a_syntax_error(project: Project) -> None:
    project.write("_shared/db.py", "x = 1\nx = = 2")
    project.write("one.py", "from _shared import db")
    project.load()
    assert project.error("one") == (
        "functions/_shared/db.py:2: SyntaxError: invalid syntax (imported by functions/one.py:1)"
    )


def test_a_failing_import_may_be_caught(project: Project) -> None:
    project.write("_shared/db.py", "1 / 0")
    project.write(
        "hello.py",
        """
        from outlast import workflow
        try:
            from _shared import db
        except ZeroDivisionError:
            db = None
        @workflow
        async def hello(): return db
        """,
    )
    project.load()
    assert project.file("hello").error is None


def test_a_failing_shared_module_runs_once_in_a_load(project: Project) -> None:
    project.write("_shared/db.py", "import sys\nsys.tries = getattr(sys, 'tries', 0) + 1\n1 / 0")
    for name in ("one", "two", "three"):
        project.write(f"{name}.py", "from _shared import db")
    project.load()
    import sys

    assert sys.__dict__.pop("tries") == 1


def test_ctrl_c_during_an_import_ends_the_load(project: Project) -> None:
    project.write("hello.py", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        project.load()


def test_what_failed_is_tried_again(project: Project) -> None:
    flag = project.folder.parent / "flag"
    project.write(
        "hello.py",
        f"""
        from outlast import workflow
        open({str(flag)!r}).close()
        @workflow
        async def hello(): ...
        """,
    )
    catalog = project.load()
    assert "FileNotFoundError" in project.error("hello")
    flag.touch()
    catalog.reload()
    assert project.file("hello").error is None
    assert project.loaded() == ["hello"]


def test_running_a_workflow_at_import_is_refused(project: Project) -> None:
    project.write(
        "hello.py",
        """
        import asyncio
        from outlast import start, workflow
        @workflow
        async def hello(): ...
        asyncio.run(start(hello))
        """,
    )
    project.load()
    assert "functions/hello.py:6: UsageError: start is called in" in project.error("hello")
