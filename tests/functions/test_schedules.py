"""Schedules in function files: what is declared, and what is refused at load, with file, line and remedy."""

from __future__ import annotations

import re

import pytest

from outlast.core.timetables import Every
from tests.functions.conftest import Project

TWO = """
    from outlast import cron, every, workflow

    @workflow(schedule=[every(minutes=5), cron("@daily", name="nightly", input={"n": 2})])
    async def report(n: int = 1): ...
"""


def test_what_files_declare(project: Project) -> None:
    project.write("report.py", TWO.replace("every(minutes=5)", 'every(minutes=5, name="often")'))
    project.write(
        "mail.py",
        """
        from outlast import every, workflow

        @workflow(schedule=every(hours=1))
        async def digest(): ...

        @workflow(schedule=every(hours=2))
        async def _private(): ...

        @workflow
        async def mail(): ...
        """,
    )
    catalog = project.load()
    found = {each.name: each for each in catalog.schedules()}
    assert {name: each.function for name, each in found.items()} == {
        "often": "report",
        "nightly": "report",
        "mail.digest": "mail/digest",
        "mail._private": "mail/_private",
    }
    assert found["often"].schedule.timetable == Every(300)
    assert (found["nightly"].schedule.input, found["nightly"].version) == (
        '{"n":2}',
        catalog.version("report"),
    )
    assert catalog.broken_files() == []


HEAD = (
    "from outlast import Queue, Request, at, cron, every, workflow\nfrom pydantic import BaseModel, Field\n\n"
)
CASES = {
    "field": ('@workflow(schedule=cron("61 * * * *"))\nasync def bad(): ...', 4, "field minute .* is '61'"),
    "never": ('@workflow(schedule=cron("0 0 30 2 *"))\nasync def bad(): ...', 4, "never comes"),
    "zone": (
        '@workflow(schedule=cron("@daily", tz="Nowhere"))\nasync def bad(): ...',
        4,
        "no time zone 'Nowhere'",
    ),
    "names": (
        "@workflow(schedule=[every(hours=1), every(hours=2)])\nasync def bad(): ...",
        4,
        "names of their own",
    ),
    "input": ("@workflow(schedule=every(hours=1))\nasync def bad(n: int): ...", 4, r"write input=\{…\}"),
    "kind": (
        '@workflow(schedule=every(hours=1, input={"n": "x"}))\nasync def bad(n: int): ...',
        4,
        "doesn't fit",
    ),
    "validator": (
        "class Odd(BaseModel):\n    n: int = Field(default_factory=lambda: exit(1))\n"
        "@workflow(schedule=every(hours=1))\nasync def bad(odd: Odd): ...",
        6,
        "a validator of bad's input raised SystemExit",
    ),
    "request": ("@workflow(schedule=every(hours=1))\nasync def bad(r: Request): ...", 4, "takes a Request"),
    "key": (
        '@workflow(queue=Queue("q", key="n"), schedule=every(hours=1))\nasync def bad(n: int = 1): ...',
        4,
        r"has none at 'n': write it in input=\{…\}",
    ),
    "key by a function": (
        '@workflow(queue=Queue("q", key=str), schedule=every(hours=1))\nasync def bad(n: int = 1): ...',
        4,
        "must be a path",
    ),
    "twice": (
        '@workflow(schedule=every(hours=1, name="a"))\nasync def bad(): ...\n\n'
        '@workflow(schedule=every(hours=1, name="a"))\nasync def other(): ...',
        7,
        "bad and bad/other both have a schedule 'a': give one of them another name=",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_refused_at_load(project: Project, case: str) -> None:
    text, line, said = CASES[case]
    project.folder.joinpath("bad.py").write_text(HEAD + text)
    project.workflow("good.py", "good")
    catalog = project.load()
    error = project.error("bad")
    assert error.startswith(f"functions/bad.py:{line}: "), error
    assert re.search(said, error), error
    assert catalog.schedules() == []
    assert catalog.broken_files() == ["bad"]
    assert list(project.served()) == ["good"]


def test_two_files_with_one_name(project: Project) -> None:
    text = HEAD + '@workflow(schedule=every(hours=1, name="x"))\nasync def {}(): ...'
    for name in ("one", "two"):
        project.folder.joinpath(f"{name}.py").write_text(text.format(name))
    catalog = project.load()
    assert "one and two both have a schedule 'x'" in project.error("two")
    assert [each.function for each in catalog.schedules()] == ["one"]
