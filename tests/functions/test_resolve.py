"""No path reaches anything but what is served, however it is written."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.functions.catalog import Catalog, FunctionBroken, FunctionMissing, Target
from tests.functions.conftest import Project, project_in

SERVED = {"hello", "checkout", "checkout/refund", "hook", "site", "several/a", "several/b"}
MOUNTS = {"hook", "site"}

NAMES = (
    "hello",
    "checkout",
    "refund",
    "hook",
    "site",
    "several",
    "a",
    "broken",
    "_shared",
    "db",
    "_draft",
    "index",
)
ESCAPES = (
    "/",
    "//",
    ".",
    "..",
    "../",
    "/..",
    "%2e%2e",
    "%2f",
    "\\",
    "\0",
    ".py",
    "/etc/passwd",
    "C:",
    " ",
    "\n",
    "*",
)
ODDITIES = ("functions", "__class__", "HELLO", "hell\u043e", "\ud800", "\ufb00", "?", "#", ";", "~", "\u202e")
PIECES = st.sampled_from((*NAMES, *ESCAPES, *ODDITIES))
PATHS = st.one_of(st.lists(PIECES, max_size=8).map("".join), st.text(max_size=60))


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    with project_in(tmp_path_factory.mktemp("resolve")) as project:
        yield written(project)


def written(project: Project) -> Catalog:
    """The catalog of a project with something of each kind."""
    flow = "\n    @workflow\n    async def {}(): ...\n"
    head = "\n    from outlast import handler, workflow\n"
    project.write("hello.py", head + flow.format("hello"))
    project.write("checkout/index.py", head + flow.format("checkout") + flow.format("refund"))
    project.write("checkout/secret.py", head + flow.format("secret"))
    project.write("hook.py", head + "\n    @handler\n    async def hook(request): ...\n")
    project.write("site.py", "async def app(scope, receive, send): ...")
    project.write("several.py", head + flow.format("a") + flow.format("b"))
    project.write("broken.py", "1 / 0")
    project.write("_shared/db.py", head + flow.format("db"))
    project.write("_draft.py", head + flow.format("_draft"))
    return project.load()


@given(path=PATHS)
def test_hostile_paths_reach_only_what_is_served(catalog: Catalog, path: str) -> None:
    try:
        target = catalog.resolve(path)
    except FunctionMissing:
        assert path not in SERVED
    except FunctionBroken:
        assert path.split("/")[0] == "broken"
    else:
        assert_fits(path, target)


def assert_fits(path: str, target: Target) -> None:
    """The answer is a served name that `path` begins with, and the rest of `path` as it was written."""
    assert target.function in SERVED
    assert target.subpath.startswith("/")
    if path.rstrip("/") != target.function:
        assert target.function in MOUNTS
        assert path == target.function + target.subpath


@pytest.mark.parametrize("name", sorted(SERVED))
def test_what_is_served_is_reached(catalog: Catalog, name: str) -> None:
    assert catalog.resolve(name).function == name
    assert catalog.resolve(f"{name}/").function == name


OTHERS = """
 / /hello //hello hello.py hello%00 hello\0 ./hello ../hello checkout/index checkout/secret _shared _shared/db
 _draft several HELLO checkout\\refund hello/..
"""


@pytest.mark.parametrize("path", ["", *OTHERS.split()])
def test_everything_else_is_missing(catalog: Catalog, path: str) -> None:
    with pytest.raises(FunctionMissing) as error:
        catalog.resolve(path)
    assert error.value.code == "NOT_FOUND"


@pytest.mark.parametrize("path", ["broken", "broken/", "broken/x"])
def test_a_broken_function_tells_nothing_of_its_source(catalog: Catalog, path: str) -> None:
    with pytest.raises(FunctionBroken) as error:
        catalog.resolve(path)
    assert error.value.code == "BOOT_ERROR"
    assert str(error.value) == "the function broken could not be loaded; the log says why"
