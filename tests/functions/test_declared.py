"""What is said of functions beside their files: disabled ones, other entrypoints, own environments."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from outlast.core.observations import FunctionDisabled
from outlast.functions.catalog import FunctionMissing
from outlast.functions.declared import Declared
from outlast.sdk.environment import current_environment, install
from tests.functions.conftest import Project

READS = """
    import os
    from outlast import handler, workflow
    COLOUR = os.environ.get("COLOUR_OF_TEST")
    @workflow
    async def {name}():
        return COLOUR
"""


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLOUR_OF_TEST", raising=False)
    install()


# --- disabled -----------------------------------------------------------------------------------------------


def test_a_disabled_function_is_as_if_it_were_not_there(project: Project) -> None:
    project.write("hello.py", "raise SystemExit('it was imported')")
    project.workflow("other.py", "other")
    project.declare(hello=Declared(enabled=False), nowhere=Declared(enabled=False))
    catalog = project.load()
    said = {}
    for name in ("hello", "unknown", "hello/x"):
        with pytest.raises(FunctionMissing) as missing:
            catalog.resolve(name)
        said[name] = str(missing.value)
    assert len(set(said.values())) == 1
    assert (project.file("hello").enabled, project.file("hello").error) == (False, None)
    assert list(catalog.workflow_names()) == ["other"]
    assert [each.function for each in project.seen if isinstance(each, FunctionDisabled)] == ["hello"]
    assert project.broken() == {}


async def test_it_comes_and_goes_with_what_is_said(project: Project) -> None:
    project.workflow("hello.py", "hello", 1)
    catalog = project.load()
    project.declare(hello=Declared(enabled=False))
    assert catalog.redeclared()
    catalog.reload(set())
    assert not catalog.redeclared()
    assert catalog.workflow("hello") is None
    project.declare()
    catalog.reload(set())
    assert await project.call("hello") == 1
    assert project.loaded() == ["hello", "hello"]


# --- entrypoints --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        "./functions/hello/main.py", "functions/hello/main.py", "../functions/hello/main.py",
        "functions/../functions/hello/./main.py",
    ],
)  # fmt: skip
async def test_an_entrypoint_is_served_under_its_name(project: Project, written: str) -> None:
    project.write(
        "hello/main.py",
        """
        from outlast import workflow
        import pricing
        from .pricing import price
        @workflow
        async def hello():
            return (price, pricing.price)
        """,
    )
    project.write("hello/pricing.py", "price = 7")
    project.declare(hello=Declared(entrypoint=written))
    project.load()
    assert project.broken() == {}
    assert await project.call("hello") == (7, 7)
    assert project.file("hello").path == project.folder / "hello" / "main.py"


async def test_it_goes_before_the_usual_files(project: Project) -> None:
    project.workflow("hello.py", "hello", "usual")
    project.workflow("hello/index.py", "hello", "index")
    project.workflow("hello/my-main.py", "hello", "main")
    project.declare(hello=Declared(entrypoint="functions/hello/my-main.py"))
    project.load()
    assert await project.call("hello") == "main"
    project.declare()
    project.catalog.reload(set())
    assert "both" in project.error("hello")


async def test_two_names_may_have_one_file(project: Project) -> None:
    project.workflow("hello.py", "hello", 1)
    project.declare(greet=Declared(entrypoint="functions/hello.py"))
    project.load()
    assert project.served() == {"hello": "WorkflowDefinition", "greet": "WorkflowDefinition"}
    assert await project.call("greet") == 1


async def test_a_nested_one_takes_its_folder_along(project: Project) -> None:
    project.workflow("hello/src/main.py", "hello", 1)
    project.write("hello/src/near.py", "value = 2")
    project.write(
        "hello/src/main.py",
        "from outlast import workflow\nimport near\n@workflow\nasync def f(): return near.value",
    )
    project.declare(hello=Declared(entrypoint="functions/hello/src/main.py"))
    project.load()
    assert await project.call("hello") == 2


async def test_a_change_of_it_is_served(project: Project) -> None:
    project.declare(hello=Declared(entrypoint="functions/hello/main.py"))
    path = project.workflow("hello/main.py", "hello", 1)
    project.load()
    project.workflow("hello/main.py", "hello", 2)
    project.catalog.reload({path})
    assert await project.call("hello") == 2


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("functions/hello/gone.py", "there is no file functions/hello/gone.py"),
        ("../../elsewhere.py", "it lies outside the functions folder"),
        ("/etc/elsewhere.py", "it lies outside the functions folder"),
        ("functions/hello/leads_out.py", "links out of the functions folder"),
    ],
)
async def test_one_that_cannot_be_served_is_broken_for_itself(
    project: Project, written: str, said: str
) -> None:
    project.workflow("hello/index.py", "hello", 1)
    project.workflow("other.py", "other", 1)
    (project.folder.parent.parent / "elsewhere.py").write_text("")
    (project.folder.parent / "beside.py").write_text("raise SystemExit")
    (project.folder / "hello" / "leads_out.py").symlink_to(project.folder.parent / "beside.py")
    project.declare(hello=Declared(entrypoint=written))
    project.load()
    error = project.error("hello")
    assert error.startswith(f"supabase/config.toml: functions.hello.entrypoint={written}: ")
    assert said in error
    assert "\n" not in error
    assert await project.call("other") == 1


def test_a_name_that_cannot_be_one_is_told(project: Project) -> None:
    project.workflow("hello/main.py", "hello", 1)
    project.declare(**{"1x": Declared(entrypoint="functions/hello/main.py")})
    project.load()
    assert "can't be a function's name" in project.broken()["[functions.1x] of supabase/config.toml"]


def test_a_fault_of_what_is_said_breaks_the_function_alone(project: Project) -> None:
    project.workflow("hello.py", "hello", 1)
    project.workflow("other.py", "other", 1)
    project.declare(hello=Declared(fault="functions/hello/.env can't be read"), gone=Declared(fault="x"))
    project.load()
    assert project.broken() == {"hello": "functions/hello/.env can't be read"}


# --- environment --------------------------------------------------------------------------------------------


async def test_imports_see_the_function_s_own(project: Project) -> None:
    for name in ("red", "blue", "none"):
        project.write(f"{name}.py", READS.format(name=name))
    project.declare(
        red=Declared(environment={"COLOUR_OF_TEST": "red"}),
        blue=Declared(environment={"COLOUR_OF_TEST": "blue"}),
    )
    project.load()
    assert [await project.call(name) for name in ("red", "blue", "none")] == ["red", "blue", None]
    definition = project.catalog.workflow("red")
    assert definition is not None
    assert definition.environment == {"COLOUR_OF_TEST": "red"}
    assert project.catalog.resolve("red").environment is definition.environment
    assert project.catalog.resolve("none").environment is None
    assert current_environment() is None


async def test_whose_code_is_imported_decides(project: Project) -> None:
    """Not who imports it: `_shared` sees what all see, and another function's file its own."""
    project.write(
        "_shared/seen.py",
        """
        import os
        COLOUR = os.environ.get("COLOUR_OF_TEST")
        def now():
            return os.environ.get("COLOUR_OF_TEST")
        """,
    )
    project.write("blue.py", READS.format(name="blue"))
    project.write(
        "red.py",
        """
        import os
        from outlast import workflow
        from _shared import seen
        from functions import blue
        AFTER = os.environ.get("COLOUR_OF_TEST")
        @workflow
        async def red():
            from _shared import late
            return [seen.COLOUR, blue.COLOUR, AFTER, late.COLOUR, NOW]
        NOW = seen.now()
        """,
    )
    project.write("_shared/late.py", "import os\nCOLOUR = os.environ.get('COLOUR_OF_TEST')")
    project.declare(
        red=Declared(environment={"COLOUR_OF_TEST": "red"}),
        blue=Declared(environment={"COLOUR_OF_TEST": "blue"}),
    )
    project.load()
    assert await project.call("red") == [None, "blue", "red", None, "red"]


async def test_a_change_reloads_whom_it_concerns(project: Project) -> None:
    for name in ("red", "blue"):
        project.write(f"{name}.py", READS.format(name=name))
    project.declare(red=Declared(environment={"COLOUR_OF_TEST": "1"}))
    catalog = project.load()
    version, blue = catalog.version("red"), catalog.workflow("blue")
    project.seen.clear()
    project.declare(red=Declared(environment={"COLOUR_OF_TEST": "2"}))
    catalog.reload(set())
    assert (await project.call("red"), project.loaded()) == ("2", ["red"])
    assert catalog.version("red") == version, "an environment is no part of a version: it is secret"
    assert catalog.workflow("blue") is blue
    project.said = replace(project.said, common={"X": "1"})
    catalog.reload(set())
    assert catalog.workflow("blue") is not blue, "what all see concerns all"


async def test_what_a_function_wrote_stays_until_something_else_is_said(project: Project) -> None:
    project.write(
        "red.py",
        """
        import os
        from outlast import workflow
        os.environ["COLOUR_OF_TEST"] += "!"
        @workflow
        async def red(): ...
        """,
    )
    project.declare(red=Declared(environment={"COLOUR_OF_TEST": "red"}))
    catalog = project.load()
    catalog.reload(set())
    assert catalog.resolve("red").environment == {"COLOUR_OF_TEST": "red!"}
    assert not catalog.redeclared()


def test_secrets_show_in_no_repr(project: Project, tmp_path: Path) -> None:
    project.write("red.py", READS.format(name="red"))
    project.declare(red=Declared(environment={"COLOUR_OF_TEST": "geheim"}))
    catalog = project.load()
    shown = [catalog.workflow("red"), catalog.files(), catalog.resolve("red"), project.said, project.seen]
    assert "geheim" not in repr(shown)
