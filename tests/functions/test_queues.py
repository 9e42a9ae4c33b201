"""Queues that files declare: what can't be is refused when the file is loaded, with file, line and remedy."""

from __future__ import annotations

import re

import pytest

from tests.functions.conftest import Project

HEAD = "from outlast import Batch, Debounce, Limit, Queue, Rate, step, workflow\n"
WORKFLOW = "\n@workflow(queue={queue})\nasync def {name}(key: str) -> None: ...\n"


def file_of(project: Project, name: str, queue: str, head: str = "") -> None:
    project.write(f"{name}.py", HEAD + head + WORKFLOW.format(queue=queue, name=name))


@pytest.mark.parametrize(
    ("queue", "problem"),
    [
        ("Queue('a b')", "a queue's name is a letter"),
        ("Queue('pgmq:A B')", "a Supabase Queue is"),
        ("Queue(7)", "a queue's name"),
        ("7", "takes a Queue, or names a Supabase Queue"),
        ("'mail'", "takes a Queue, or names a Supabase Queue"),
        ("Queue('q', concurrency=0)", "concurrency is a whole number from 1"),
        ("Queue('q', concurrency=2.5)", "concurrency is a whole number"),
        ("Queue('q', concurrency=True)", "concurrency is a whole number"),
        ("Queue('q', per_instance=-1)", "per_instance is a whole number"),
        ("Queue('q', per_key=1)", "per_key needs key"),
        ("Queue('q', rate_per_key=Rate(1, per=1))", "rate_per_key needs key"),
        ("Queue('q', weight={'a': 2})", "weight needs key"),
        ("Queue('q', key='a', weight={'a': 0})", "a weight that is not between"),
        ("Queue('q', key='a', weight=5)", "weight"),
        ("Queue('q', key='a..b')", "key is a dotted path"),
        ("Queue('q', key=5)", "key is a dotted path"),
        ("Queue('q', key='kye.id')", "key 'kye.id' names none of its parameters, which are key: each call"),
        ("Queue('q', on_busy='skip')", "on_busy needs exclusive"),
        ("Queue('q', exclusive=True, on_busy='never')", "on_busy is one of"),
        ("Queue('q', exclusive='yes')", "exclusive is true or false"),
        ("Queue('q', rate=5)", "rate takes a Rate"),
        ("Queue('q', rate=Rate(0, per=1))", "rate has a 'n' that is a whole number"),
        ("Queue('q', rate=Rate(10_001, per=1))", "rate has a 'n' that is a whole number"),
        ("Queue('q', rate=Rate(1, per=0))", "must be longer than 0 s"),
        ("Queue('q', rate=Rate(1, per='1m'))", "seconds or a timedelta"),
        ("Queue('q', rate=Rate(1, per=1), drop=Rate(1, per=1))", "rate and drop don't go together"),
        ("Queue('q', debounce=5)", "debounce takes a Debounce"),
        ("Queue('q', debounce=Debounce(quiet=5, at_most=1))", "no shorter than quiet"),
        ("Queue('q', batch=5)", "batch takes a Batch"),
        ("Queue('q', batch=Batch(0, wait=1))", "batch has a 'n' that is a whole number from 1 to 1,000"),
        ("Queue('q', batch=Batch(1_001, wait=1))", "batch has a 'n' that is a whole number"),
        ("Queue('q', batch=Batch(2, wait=601))", "at most 600"),
        ("Queue('q', batch=Batch(2, wait=0))", "must be longer than 0 s"),
        ("Queue('q', batch=Batch(2, 1), debounce=Debounce(1))", "debounce and batch don't go together"),
        ("Queue('q', batch=Batch(2, 1), key='a', exclusive=True)", "exclusive and batch don't go together"),
        ("Queue('q', batch=Batch(2, 1), key='a', weight={'a': 2})", "weight and batch don't go together"),
        ("Queue('q', batch=Batch(2, 1), start_within=1)", "start_within must be longer than the wait"),
        ("Queue('pgmq:q', batch=Batch(2, 1))", "batch is not for a Supabase Queue"),
        ("Queue('q', max_backlog=0)", "max_backlog is a whole number"),
        ("Queue('q', start_within=0)", "must be longer than 0 s"),
        ("Queue('pgmq:q', drop=Rate(1, per=1))", "drop is not for a Supabase Queue"),
        ("Queue('pgmq:q', key=lambda key: key)", "key is a dotted path into the message"),
    ],
)
def test_what_a_queue_can_not_be(project: Project, queue: str, problem: str) -> None:
    file_of(project, "job", queue)
    project.catalog.load()
    (file,) = project.catalog.files()
    assert file.error is not None
    assert re.match(r"functions/job\.py:\d+: UsageError: ", file.error), file.error
    assert problem in file.error, file.error


@pytest.mark.parametrize(
    ("signature", "problem"),
    [
        ("()", "it takes one parameter"),
        (
            "(key: str)",
            "it takes one parameter, the list of what its callers give, such as items: list[Item]",
        ),
        ("(keys: list)", "it takes one parameter"),
        ("(keys)", "it takes one parameter"),
        ("(keys: list[str], more: int = 1)", "it takes one parameter"),
        ("(keys: list[str], request: Request)", "it takes one parameter"),
        ("(**keys: list[str])", "it takes one parameter"),
        (
            "(keys: list[str]) -> str",
            "it returns a list with one result for each caller, such as list[float]",
        ),
    ],
)
def test_what_a_function_with_batches_can_not_be(project: Project, signature: str, problem: str) -> None:
    head = HEAD + "from outlast import Request\nq = Queue('q', batch=Batch(10, wait=1))\n"
    project.write("job.py", f"{head}\n@workflow(queue=q)\nasync def job{signature}: ...\n")
    project.catalog.load()
    (file,) = project.catalog.files()
    assert file.error is not None
    assert re.match(r"functions/job\.py:\d+: UsageError: ", file.error), file.error
    assert problem in file.error, file.error


def test_a_queue_with_batches_has_one_function(project: Project) -> None:
    one = "\n@workflow(queue=q)\nasync def {name}(keys: list[str]) -> list[str]: ...\n"
    project.write("shared.py", HEAD + "q = Queue('q', batch=Batch(10, wait=1))\n" + one.format(name="shared"))
    project.catalog.load()
    (file,) = project.catalog.files()
    assert file.error is None
    project.write("two.py", HEAD + "from functions.shared import q\n" + one.format(name="two"))
    project.catalog.load()
    errors = [each.error for each in project.catalog.files() if each.error is not None]
    assert len(errors) == 1
    assert "queue 'q' has batch=, and two functions; give each a queue of its own" in errors[0]


@pytest.mark.parametrize(
    ("limit", "problem"),
    [
        ("5", "takes a Limit"),
        ("Limit('a b', concurrency=1)", "a limit's name is a letter"),
        ("Limit('a')", "limits nothing"),
        ("Limit('a', concurrency=0)", "concurrency is a whole number"),
        ("Limit('a', rate=7)", "rate takes a Rate"),
    ],
)
def test_what_a_limit_can_not_be(project: Project, limit: str, problem: str) -> None:
    project.write("job.py", f"{HEAD}\n@step(limit={limit})\nasync def one() -> None: ...\n")
    project.catalog.load()
    (file,) = project.catalog.files()
    assert file.error is not None
    assert re.match(r"functions/job\.py:\d+: UsageError: ", file.error), file.error
    assert problem in file.error, file.error


def test_two_definitions_of_one_name_are_refused(project: Project) -> None:
    file_of(project, "a", "mail", "mail = Queue('mail', concurrency=1)\n")
    file_of(project, "b", "mail", "\nmail = Queue('mail', concurrency=2)\n")
    project.catalog.load()
    good, bad = project.catalog.files()
    assert good.error is None
    assert bad.error == (
        "functions/b.py:3: UsageError: queue 'mail' is defined otherwise at functions/a.py:2; "
        "define it once, and import it from there"
    )
    assert [(each.name, each.options, each.functions) for each in project.catalog.queues()] == [
        ("mail", {"concurrency": 1}, ("a",))
    ]


def test_one_definition_may_be_imported_or_said_twice(project: Project) -> None:
    file_of(project, "a", "mail", "mail = Queue('mail', concurrency=1)\n")
    file_of(project, "b", "mail", "from functions.a import mail\n")
    file_of(project, "c", "Queue('mail', concurrency=1)")
    project.catalog.load()
    assert [file.error for file in project.catalog.files()] == [None] * 3
    (queue,) = project.catalog.queues()
    assert (queue.options, queue.functions) == ({"concurrency": 1}, ("a", "b", "c"))


@pytest.mark.parametrize(
    "parameters",
    [
        "key: dict[str, int]",
        "other: int, **more: Any",
        "order: Order",
        "request: Request",
        "mine: Mine, n: int = 1",
    ],
)
def test_a_key_that_an_input_may_have_is_served(project: Project, parameters: str) -> None:
    head = (
        "from typing import Annotated, Any\nfrom pydantic import BaseModel, Field\n"
        "from outlast import Request\n"
        "class Order(BaseModel, extra='allow'): ...\nMine = Annotated[int, Field(alias='key')]\n"
    )
    text = f"\n@workflow(queue=Queue('q', key='key'))\nasync def job({parameters}) -> None: ...\n"
    project.write("job.py", HEAD + head + text)
    project.load()
    assert project.broken() == {}
