"""Which files become functions, and what is told of those that can't."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from outlast.core.errors import UsageError
from outlast.core.observations import ignore
from outlast.functions.catalog import Catalog, FunctionBroken, FunctionMissing
from outlast.functions.folder import FILES_MAX, SOURCE_BYTES_MAX
from tests.functions.conftest import Project


def test_files_and_folders_are_functions(project: Project) -> None:
    project.workflow("hello.py", "hello")
    project.workflow("checkout/index.py", "checkout")
    project.load()
    assert project.served() == {"hello": "WorkflowDefinition", "checkout": "WorkflowDefinition"}
    assert sorted(project.loaded()) == ["checkout", "hello"]
    assert project.broken() == {}


def test_what_begins_with_an_underscore_or_a_dot_is_no_function(project: Project) -> None:
    for name in (
        "_draft.py",
        "_draft/index.py",
        "__init__.py",
        ".hidden.py",
        ".hidden/index.py",
        "__pycache__/x.py",
    ):
        project.workflow(name, "draft")
    catalog = project.load()
    assert catalog.files() == []
    assert project.seen == []


def test_other_files_and_folders_are_no_functions(project: Project) -> None:
    project.write("README.md", "# hi")
    project.write(".env", "A=1")
    project.write("requirements.txt", "")
    project.write("webhook/index.ts", "Deno.serve(() => new Response())")
    project.write("data/prices.json", "{}")
    catalog = project.load()
    assert catalog.files() == []
    assert project.seen == []


@pytest.mark.parametrize(
    "name", ["1st.py", "my function.py", "a.b.py", "größe.py", "-x.py", "2go/index.py", "a.b/index.py"]
)
def test_a_bad_name_is_told_once_with_the_remedy(project: Project, name: str) -> None:
    project.workflow(name, "whatever")
    catalog = project.load()
    catalog.reload()
    assert catalog.files() == []
    (told,) = project.seen
    assert name.split("/")[0] in str(told)
    assert "use a letter, then letters, digits, _ and -" in str(told)


@pytest.mark.parametrize("name", ["__init__.py", "main.py", "checkout.py"])
def test_a_folder_of_python_files_without_an_index_is_told_once_with_the_remedy(
    project: Project, name: str
) -> None:
    project.workflow(f"checkout/{name}", "checkout")
    project.write("edge/index.ts", "")
    project.write("edge/make_types.py", "")
    project.workflow("_lib/main.py", "main")
    catalog = project.load()
    catalog.reload()
    assert catalog.files() == []
    (told,) = project.seen
    assert "functions/checkout" in str(told)
    assert "it has no index.py" in str(told)


def test_hyphens_in_file_names_stand_for_underscores(project: Project) -> None:
    project.write(
        "send-email.py",
        """
        from outlast import workflow
        @workflow
        async def other(): ...
        @workflow
        async def send_email(): ...
        """,
    )
    project.load()
    assert project.served() == {"send-email": "WorkflowDefinition", "send-email/other": "WorkflowDefinition"}


def test_a_name_that_is_no_utf_8_can_be_told(project: Project) -> None:
    Path(os.fsdecode(os.fsencode(project.folder) + b"/caf\xe9.py")).write_text("")
    project.load()
    ((path, remedy),) = project.broken().items()
    assert path == "functions/caf\\udce9.py"
    assert "can't be a function's name" in remedy
    (path + remedy).encode()


def test_a_file_and_a_folder_of_one_name_are_refused(project: Project) -> None:
    project.workflow("checkout.py", "checkout")
    project.workflow("checkout/index.py", "checkout")
    catalog = project.load()
    assert (
        project.error("checkout")
        == "both functions/checkout and functions/checkout.py are there; keep one of them"
    )
    with pytest.raises(FunctionBroken):
        catalog.resolve("checkout")
    (project.folder / "checkout.py").unlink()
    catalog.reload()
    assert catalog.resolve("checkout").function == "checkout"


def test_a_folder_without_index_beside_a_file_is_just_a_folder(project: Project) -> None:
    project.workflow("checkout.py", "checkout")
    project.write("checkout/prices.json", "{}")
    project.load()
    assert project.served() == {"checkout": "WorkflowDefinition"}


def test_the_folder_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="create it, or name another with --functions; `outlast new hello`"):
        Catalog(tmp_path / "nowhere", ignore).load()


def test_the_folder_must_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "functions").write_text("")
    with pytest.raises(UsageError, match="can't be read"):
        Catalog(tmp_path / "functions", ignore).load()


def test_an_empty_folder_serves_nothing(project: Project) -> None:
    catalog = project.load()
    assert catalog.files() == []
    assert catalog.workflow_names() == []
    with pytest.raises(FunctionMissing):
        catalog.resolve("hello")


def test_files_are_utf_8(project: Project) -> None:
    project.write(
        "hello.py", 'from outlast import workflow\n@workflow\nasync def hello(): return "Grüße, 世界"\n'
    )
    (project.folder / "latin.py").write_bytes(b'from outlast import workflow\nx = "gr\xfc\xdfe"\n')
    (project.folder / "bom.py").write_bytes(
        b"\xef\xbb\xbffrom outlast import workflow\n@workflow\nasync def bom(): ...\n"
    )
    (project.folder / "nul.py").write_bytes(b"x = 1\n\0\n")
    catalog = project.load()
    assert {"hello", "bom"} == set(catalog.workflow_names())
    assert "functions/latin.py:2: SyntaxError" in project.error("latin") or "utf-8" in project.error("latin")
    assert "null bytes" in project.error("nul")


class TestLinks:
    """Nothing outside the folder is read, whichever way a link leads there."""

    @pytest.fixture
    def outside(self, tmp_path: Path) -> Path:
        folder = tmp_path / "outside"
        folder.mkdir()
        text = (
            "from outlast import workflow\nsecret = 'swordfish'\n@workflow\nasync def leak(): return secret\n"
        )
        (folder / "index.py").write_text(text)
        (folder / "leak.py").write_text(text)
        return folder

    def test_a_linked_file_from_outside_is_refused(self, project: Project, outside: Path) -> None:
        (project.folder / "leak.py").symlink_to(outside / "leak.py")
        project.load()
        assert (
            project.error("leak")
            == "functions/leak.py links out of the functions folder; copy the file into it"
        )

    def test_a_linked_folder_from_outside_is_refused(self, project: Project, outside: Path) -> None:
        (project.folder / "leak").symlink_to(outside)
        project.load()
        assert "links out of the functions folder" in project.error("leak")

    def test_a_linked_index_from_outside_is_refused(self, project: Project, outside: Path) -> None:
        (project.folder / "leak").mkdir()
        (project.folder / "leak" / "index.py").symlink_to(outside / "index.py")
        project.load()
        assert "links out of the functions folder" in project.error("leak")

    def test_a_linked_module_from_outside_is_refused(self, project: Project, outside: Path) -> None:
        (project.folder / "_shared").mkdir()
        (project.folder / "_shared" / "leak.py").symlink_to(outside / "leak.py")
        (project.folder / "_lib").symlink_to(outside)
        (project.folder / "own").mkdir()
        (project.folder / "own" / "inner").symlink_to(outside)
        project.write("one.py", "from _shared.leak import secret")
        project.write("two.py", "from _shared import leak")
        project.write("three.py", "from _lib.leak import secret")
        project.write("own/index.py", "from .inner.leak import secret")
        project.load()
        assert "functions/_shared/leak.py links out of the functions folder" in project.error("one")
        assert "functions/_shared/leak.py links out of the functions folder" in project.error("two")
        assert "functions/_lib links out of the functions folder" in project.error("three")
        assert "No module named" in project.error("own")

    def test_a_link_within_the_folder_is_followed(self, project: Project) -> None:
        project.workflow("..2024/hello.py", "hello")
        (project.folder / "..data").symlink_to("..2024")
        (project.folder / "hello.py").symlink_to("..data/hello.py")
        project.load()
        assert project.served() == {"hello": "WorkflowDefinition"}

    def test_links_that_lead_nowhere_or_in_circles_break_nothing_else(self, project: Project) -> None:
        (project.folder / "lost.py").symlink_to("nowhere.py")
        (project.folder / "round.py").symlink_to("round.py")
        project.workflow("hello/index.py", "hello")
        (project.folder / "hello" / "loop").symlink_to("..")
        (project.folder / "hello" / "self").symlink_to("self")
        project.load()
        assert "leads nowhere" in project.error("lost")
        assert "leads nowhere" in project.error("round")
        assert project.file("hello").error is None


def test_what_is_no_plain_file_is_refused(project: Project) -> None:
    (project.folder / "folder.py").mkdir()
    os.mkfifo(project.folder / "pipe.py")
    project.workflow("hello.py", "hello")
    project.load()
    assert "no plain file" in project.error("folder")
    assert "no plain file" in project.error("pipe")
    assert project.file("hello").error is None


def test_a_huge_file_is_refused(project: Project) -> None:
    with (project.folder / "huge.py").open("wb") as file:
        file.truncate(SOURCE_BYTES_MAX + 1)
    project.load()
    assert f"larger than {SOURCE_BYTES_MAX} bytes" in project.error("huge")


def test_a_folder_of_too_many_files_is_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert FILES_MAX > 1000
    monkeypatch.setattr("outlast.functions.folder.FILES_MAX", 3)
    project.workflow("hello/index.py", "hello")
    for number in range(3):
        project.write(f"hello/{number}.txt", "")
    project.load()
    assert project.error("hello") == "functions/hello holds more than 3 files"
