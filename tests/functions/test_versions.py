"""Functions of several versions and names in files: which serve what, and what is refused at load."""

from __future__ import annotations

import re

import pytest

from outlast.core.observations import FunctionDoubtful
from tests.functions.conftest import Project

CODE = "from outlast import handler, step, workflow\n"
ONE = "\n@workflow({options})\nasync def {name}() -> str:\n    return {value!r}\n"


def write(project: Project, file: str, name: str, value: str, options: str) -> None:
    project.write(file, CODE + ONE.format(name=name, value=value, options=options))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("checkout.py", "checkout_v1.py"),
        ("checkout.py", "checkout-v1.py"),
        ("checkout.py", "before.py"),
        ("checkout_v2.py", "checkout_v1.py"),
        ("one.py", "two.py"),
    ],
)
async def test_versions_stand_in_files_of_their_own(project: Project, first: str, second: str) -> None:
    write(project, first, "checkout", "new", "version=2")
    write(project, second, "checkout", "old", "version=1")
    catalog = project.load()
    assert project.broken() == {}
    assert project.served() == {"checkout": "WorkflowDefinition"}
    assert await project.call("checkout") == "new"
    numbered = [
        (None, 2),
        ("2", 2),
        ("1", 1),
        ("0123456789ab", 1),
    ]  # who bears a file's began before there were any
    for version, number in numbered:
        definition = catalog.of_version("checkout", version)
        assert definition is not None
        assert definition.number == number
        assert catalog.name_of(definition) == "checkout"
    assert catalog.of_version("checkout", "3") is None
    assert catalog.resolve("checkout").served is catalog.workflow("checkout")


async def test_a_function_without_a_version_is_the_first(project: Project) -> None:
    project.workflow("checkout.py", "checkout", "old")
    write(project, "checkout_v2.py", "checkout", "new", "version=2")
    catalog = project.load()
    assert await project.call("checkout") == "new"
    assert (old := catalog.of_version("checkout", "1")) is not None
    assert await old.fn() == "old"
    project.workflow("other.py", "other", "alone")
    catalog.reload()
    assert catalog.of_version("other", "0123456789ab") is catalog.workflow("other")
    assert catalog.of_version("other", "2") is None


async def test_a_whole_file_of_a_version(project: Project) -> None:
    for number, file in ((1, "shop_v1.py"), (2, "shop.py")):
        parts = [ONE.format(name=name, value=f"{name} {number}", options=f"version={number}")
                 for name in ("shop", "refund", "_ship")]  # fmt: skip
        project.write(file, CODE + "".join(parts))
    catalog = project.load()
    assert project.broken() == {}
    assert set(project.served()) == {"shop", "shop/refund"}
    assert sorted(catalog.workflow_names()) == ["shop", "shop/_ship", "shop/refund"]
    for name in ("shop", "shop/refund", "shop/_ship"):
        assert await project.call(name) == f"{name.removeprefix('shop/')} 2"
        assert (old := catalog.of_version(name, "1")) is not None
        assert await old.fn() == f"{name.removeprefix('shop/')} 1"


async def test_versions_in_one_file(project: Project) -> None:
    write(project, "pay.py", "pay", "new", "version=2")
    path = project.folder / "pay.py"
    path.write_text(CODE + ONE.format(name="pay", value="old", options="version=1") + "\npay_v1 = pay\n"
                    + ONE.format(name="pay", value="new", options="version=2"))  # fmt: skip
    catalog = project.load()
    assert project.served() == {"pay": "WorkflowDefinition"}
    assert await project.call("pay") == "new"
    assert (old := catalog.of_version("pay", "1")) is not None
    assert await old.fn() == "old"


async def test_a_version_that_goes_and_one_that_comes(project: Project) -> None:
    write(project, "pay.py", "pay", "old", "version=1")
    catalog = project.load()
    first = catalog.version("pay")
    write(project, "pay_v2.py", "pay", "new", "version=2")
    catalog.reload()
    assert catalog.version("pay") != first  # what was held for want of it may go on
    assert await project.call("pay") == "new"
    (project.folder / "pay_v2.py").unlink()
    catalog.reload()
    assert catalog.version("pay") == first
    assert await project.call("pay") == "old"
    assert catalog.of_version("pay", "2") is None


async def test_former_names(project: Project) -> None:
    options = 'aliases=["order", "shop/buy"], schedule=__import__("outlast").every(hours=1), retention=60'
    write(project, "checkout.py", "checkout", "done", options)
    catalog = project.load()
    assert project.broken() == {}
    for name in ("checkout", "order", "shop/buy"):
        assert await project.call(name) == "done"
        assert catalog.resolve(name).function == "checkout"
        assert catalog.versions()[name] == catalog.version("checkout")
        assert catalog.retentions()[name] == 60.0
    assert project.served() == {"checkout": "WorkflowDefinition"}
    # A renamed function keeps its schedule.
    assert [(each.name, each.function) for each in catalog.schedules()] == [("order", "checkout")]


@pytest.mark.parametrize("value", ["0", "-1", '"2"', "True", "1.5", "1_000_000", "[1]"])
def test_bad_versions(project: Project, value: str) -> None:
    write(project, "pay.py", "pay", "", f"version={value}")
    project.load()
    assert re.search(r"functions/pay\.py:3: UsageError: workflow\(version\) is a whole number from 1",
                     project.error("pay"))  # fmt: skip


@pytest.mark.parametrize("value", ['"old"', '["a b"]', "[7]", '["a", "a"]', '["a/b/c"]', '["_a"]', "7"])
def test_bad_aliases(project: Project, value: str) -> None:
    write(project, "pay.py", "pay", "", f"aliases={value}")
    project.load()
    assert re.search(r"functions/pay\.py:3: UsageError: workflow\(aliases\) lists", project.error("pay"))


@pytest.mark.parametrize(
    ("files", "broken", "problem"),
    [
        (
            {"pay.py": ("pay", "version=1"), "pay_v1.py": ("pay", "version=1")},
            "pay_v1",
            r"functions/pay_v1\.py:3: functions/pay\.py:3 has version 1 of pay too: give one of them another",
        ),
        (
            {"pay.py": ("pay", ""), "pay_v1.py": ("pay", "version=1")},
            "pay_v1",
            r"functions/pay_v1\.py:3: functions/pay\.py:3 has version 1 of pay too",
        ),
        (
            {"pay.py": ("pay", 'version=2, aliases=["a"]'), "pay_v1.py": ("pay", "version=1")},
            "pay_v1",
            r"pay_v1\.py:3: pay has other aliases at functions/pay\.py:3: write the same list in both",
        ),
        (
            {"buy.py": ("buy", 'aliases=["pay"]'), "pay.py": ("pay", "")},
            "buy",
            r"functions/buy\.py:3: the alias 'pay' of buy is the name of a function, at functions/pay\.py:3",
        ),
        (
            {"buy.py": ("buy", 'aliases=["buy"]')},
            "buy",
            r"functions/buy\.py:3: the alias 'buy' of buy is the name of a function, at functions/buy\.py:3",
        ),
        (
            {"buy.py": ("buy", 'aliases=["order"]'), "pay.py": ("pay", 'aliases=["order"]')},
            "pay",
            r"functions/pay\.py:3: functions/buy\.py:3 has the alias 'order' too: a former",
        ),
    ],
)
def test_what_meets(project: Project, files: dict[str, tuple[str, str]], broken: str, problem: str) -> None:
    for file, (name, options) in files.items():
        write(project, file, name, "", options)
    project.load()
    assert re.search(problem, project.error(broken)), project.error(broken)
    assert set(project.broken()) == {broken}


def test_two_of_one_version_in_one_file(project: Project) -> None:
    part = ONE.format(name="pay", value="", options="version=1")
    project.write("pay.py", CODE + part + "\nbefore = pay\n" + part)
    project.load()
    assert re.search(
        r"functions/pay\.py: lines 3 and 9 both have version 1 of pay: give one", project.error("pay")
    )


def test_a_copied_handler_is_told_of(project: Project) -> None:
    handler = "\n@handler\nasync def ping(request): ...\n"
    for number, file in ((2, "shop.py"), (1, "shop_v1.py")):
        part = ONE.format(name="shop", value="", options=f"version={number}")
        project.write(file, CODE + part + handler)
    project.load()
    assert "functions/shop.py has shop/ping too: take it out of one of them" in project.error("shop_v1")


def test_versions_in_a_queue_of_batches(project: Project) -> None:
    project.write("pay.py", '''
        from outlast import Batch, Queue, workflow

        @workflow(version=2, queue=Queue("q", batch=Batch(5, wait=1)))
        async def pay(many: list[int]) -> list[int]: ...
    ''')  # fmt: skip
    project.load()
    assert re.search(
        r"functions/pay\.py:4: UsageError: workflow\(version\) doesn't go with", project.error("pay")
    )


def test_a_file_whose_name_ended_in_a_version_before_is_told_of(project: Project) -> None:
    write(project, "api_v2.py", "api_v2", "", "")
    project.load()
    assert project.served() == {"api_v2": "WorkflowDefinition"}
    write(project, "api_v2.py", "api_v2", "", "version=1")
    write(project, "pay_v2.py", "pay", "", "version=2")
    project.load()
    assert set(project.served()) == {"api", "pay"}
    told = [each for each in project.seen if isinstance(each, FunctionDoubtful)]
    assert [each.function for each in told] == ["api_v2"]
    assert 'aliases=["api_v2"] keeps the name' in told[0].advice


def test_a_former_name_is_of_the_same_queue(project: Project) -> None:
    write(
        project, "pay.py", "pay", "", 'aliases=["buy"], queue=__import__("outlast").Queue("q", concurrency=1)'
    )
    (queue,) = project.load().queues()
    assert queue.functions == ("pay", "buy")
