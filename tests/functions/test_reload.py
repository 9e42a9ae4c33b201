"""A version is swapped for the next, and lives on as long as something runs in it."""

from __future__ import annotations

import gc
import shutil
import sys
import traceback
import weakref
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from outlast.core import ports
from outlast.core.errors import UsageError
from outlast.core.failures import decode_failure, encode_failure
from outlast.core.observations import FunctionLoaded
from outlast.functions.catalog import FunctionBroken, FunctionMissing
from tests.functions.conftest import Project


def shared_flow(name: str, imports: str, value: str) -> str:
    return f"from outlast import workflow\n{imports}\n@workflow\nasync def {name}(): return {value}\n"


async def test_a_changed_file_is_served_anew(project: Project) -> None:
    file = project.workflow("hello.py", "hello", "one")
    catalog = project.load()
    before = catalog.resolve("hello")
    project.workflow("hello.py", "hello", "two")
    catalog.reload({file})
    after = catalog.resolve("hello")
    assert await project.call("hello") == "two"
    assert before.version != after.version == project.file("hello").version
    assert project.seen[-1] == FunctionLoaded("hello", after.version, reloaded=True)


async def test_same_size_and_time_are_seen_when_told_of(project: Project) -> None:
    import os

    file = project.workflow("hello.py", "hello", "one")
    catalog = project.load()
    status = file.stat()
    project.workflow("hello.py", "hello", "two")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    catalog.reload({file})
    assert await project.call("hello") == "two"


async def test_what_did_not_change_is_kept(project: Project) -> None:
    project.workflow("hello.py", "hello")
    other = project.workflow("other.py", "other")
    catalog = project.load()
    kept = catalog.workflow("hello")
    told = len(project.seen)
    catalog.reload()
    catalog.reload(set())
    assert catalog.workflow("hello") is kept
    assert len(project.seen) == told
    project.workflow("other.py", "other", "changed")
    catalog.reload({other})
    assert catalog.workflow("hello") is kept
    assert len(project.seen) == told + 1


async def test_an_older_edition_never_replaces_a_newer_one(project: Project) -> None:
    project.workflow("hello.py", "hello", 0)
    catalog = project.load()
    project.workflow("hello.py", "hello", 1)
    first = catalog.prepare()
    project.workflow("hello.py", "hello", 2)
    second = catalog.prepare()
    assert await project.call("hello") == 0
    catalog.adopt(second)
    catalog.adopt(first)
    assert await project.call("hello") == 2


async def test_a_folder_that_is_gone_changes_nothing(project: Project) -> None:
    project.workflow("hello.py", "hello")
    catalog = project.load()
    shutil.rmtree(project.folder)
    with pytest.raises(UsageError):
        catalog.reload()
    assert await project.call("hello") == "done"


def test_the_engine_can_use_it(project: Project) -> None:
    port: ports.Catalog = project.catalog
    assert list(port.workflow_names()) == []


async def test_files_come_and_go(project: Project) -> None:
    project.workflow("hello.py", "hello")
    catalog = project.load()
    added = project.workflow("more/index.py", "more")
    catalog.reload({added})
    assert await project.call("more") == "done"
    added.unlink()
    catalog.reload({added})
    with pytest.raises(FunctionMissing):
        catalog.resolve("more")
    assert "functions.more" not in sys.modules
    assert catalog.workflow_names() == ["hello"]


async def test_a_file_that_breaks_is_broken_until_it_is_mended(project: Project) -> None:
    project.workflow("hello.py", "hello", "one")
    catalog = project.load()
    running = catalog.workflow("hello")
    project.write("hello.py", "1 / 0")
    catalog.reload()
    with pytest.raises(FunctionBroken):
        catalog.resolve("hello")
    assert catalog.workflow("hello") is None
    assert running is not None
    assert await running.fn() == "one"
    assert sys.modules["functions.hello"].__dict__ is running.fn.__globals__
    project.workflow("hello.py", "hello", "two")
    catalog.reload()
    assert await project.call("hello") == "two"
    project.write("hello.py", "1 / 0")
    catalog.reload()
    (project.folder / "hello.py").unlink()
    catalog.reload()
    assert "functions.hello" not in sys.modules


async def test_an_old_version_keeps_its_name_and_its_code(project: Project) -> None:
    project.workflow("hello.py", "hello", "one")
    catalog = project.load()
    old = catalog.workflow("hello")
    project.workflow("hello.py", "hello", "two")
    catalog.reload()
    assert old is not None
    assert await old.fn() == "one"
    assert catalog.name_of(old) == "hello"
    assert catalog.name_of(catalog.workflow("hello")) == "hello"


class TestShared:
    """Shared modules reload those who import them, and nobody else."""

    @pytest.fixture
    def tree(self, project: Project) -> Project:
        project.write("_shared/db.py", "value = 'one'")
        project.write("_shared/top.py", "from _shared.db import value")
        project.write("_shared/mail.py", "value = 'mail'")
        project.write("direct.py", shared_flow("direct", "from _shared.db import value", "value"))
        project.write("indirect.py", shared_flow("indirect", "from _shared import top", "top.value"))
        project.write("lazy.py", shared_flow("lazy", "", "__import__('_shared.db').db.value"))
        project.write("folder/index.py", shared_flow("folder", "import helper", "helper.value"))
        project.write("folder/helper.py", "from .._shared.db import value")
        project.write("mailer.py", shared_flow("mailer", "from _shared import mail", "mail.value"))
        project.write("alone.py", shared_flow("alone", "", "'alone'"))
        return project

    async def test_dependants_are_reloaded(self, tree: Project) -> None:
        catalog = tree.load()
        before = {file.name: file.version for file in catalog.files()}
        kept = catalog.workflow("mailer")
        mail = sys.modules["functions._shared.mail"]
        file = tree.write("_shared/db.py", "value = 'two'")
        catalog.reload({file})
        for name in ("direct", "indirect", "folder"):
            assert await tree.call(name) == "two"
        changed = {file.name for file in catalog.files() if before[file.name] != file.version}
        assert changed == {"direct", "indirect", "folder"}
        assert catalog.workflow("mailer") is kept
        assert sys.modules["functions._shared.mail"] is mail

    async def test_an_import_by_name_gets_the_newest(self, tree: Project) -> None:
        catalog = tree.load()
        assert await tree.call("lazy") == "one"
        tree.write("_shared/db.py", "value = 'two'")
        catalog.reload()
        assert await tree.call("lazy") == "two"

    async def test_an_old_version_keeps_its_shared_modules(self, tree: Project) -> None:
        head = "from outlast import workflow\n@workflow\nasync def late():\n"
        tree.write("late.py", head + "    from _shared import db\n    return db.value\n")
        tree.write("view.py", shared_flow("view", "import _shared.db", "_shared.db.value"))
        catalog = tree.load()
        late, view, direct = (catalog.workflow(name) for name in ("late", "view", "direct"))
        tree.write("_shared/db.py", "value = 'two'")
        catalog.reload()
        for old, name in ((late, "late"), (view, "view"), (direct, "direct")):
            assert old is not None
            assert await old.fn() == "one"
            assert await tree.call(name) == "two"

    async def test_a_shared_module_that_appears_or_goes(self, tree: Project) -> None:
        tree.write("new.py", shared_flow("new", "from _shared import fresh", "fresh.value"))
        catalog = tree.load()
        assert "cannot import name 'fresh'" in tree.error("new")
        file = tree.write("_shared/fresh.py", "value = 'fresh'")
        catalog.reload({file})
        assert await tree.call("new") == "fresh"
        file.unlink()
        catalog.reload({file})
        assert "cannot import name 'fresh'" in tree.error("new")
        assert "functions._shared.fresh" not in sys.modules

    async def test_a_module_that_hides_another_is_noticed(self, project: Project) -> None:
        project.write("main/index.py", shared_flow("main", "import json", "json.__name__"))
        catalog = project.load()
        assert await project.call("main") == "json"
        project.write("main/json.py", "")
        catalog.reload()
        assert await project.call("main") == "functions.main.json"


async def test_helpers_reload_with_their_function(project: Project) -> None:
    project.write("main/index.py", shared_flow("main", "import helper", "helper.value"))
    helper = project.write("main/helper.py", "value = 1")
    catalog = project.load()
    old = catalog.workflow("main")
    project.write("main/helper.py", "value = 2")
    catalog.reload({helper})
    assert await project.call("main") == 2
    assert old is not None
    assert await old.fn() == 1


class TestVersions:
    """The version is a hash of what the function is made of."""

    def version(self, project: Project, name: str = "main") -> str:
        project.catalog.reload()
        return project.file(name).version

    def test_it_follows_the_content_alone(self, project: Project, tmp_path: Path) -> None:
        elsewhere = Project(tmp_path / "elsewhere" / "functions")
        for each in (project, elsewhere):
            each.write("_shared/db.py", "x = 1")
            each.write("main/index.py", shared_flow("main", "from _shared import db", "db.x"))
            each.write("main/data.json", "{}")
        assert self.version(project) == self.version(elsewhere)
        first = self.version(project)
        project.write("main/data.json", "[]")
        assert self.version(project) != first
        project.write("main/data.json", "{}")
        assert self.version(project) == first

    def test_what_is_not_imported_does_not_count(self, project: Project) -> None:
        project.write("_shared/db.py", "x = 1")
        project.write("main.py", shared_flow("main", "from _shared import db", "db.x"))
        first = self.version(project)
        project.write("_shared/mail.py", "x = 1")
        project.write("other.py", "x = 1")
        assert self.version(project) == first
        project.write("_shared/db.py", "x = 2")
        assert self.version(project) != first

    def test_secrets_and_caches_do_not_count(self, project: Project) -> None:
        project.workflow("main/index.py", "main")
        first = self.version(project)
        project.write("main/.env", "A=1")
        project.write("main/__pycache__/index.cpython-311.pyc", "")
        assert self.version(project) == first

    def test_a_broken_file_has_one_too(self, project: Project) -> None:
        project.write("main.py", "1 / 0")
        first = self.version(project)
        project.write("main.py", "2 / 0")
        assert self.version(project) != first
        assert project.catalog.version("main") is None


class TestIdentity:
    """What is looked up by module and name is found, whatever the version."""

    MODELS = """
        from __future__ import annotations

        import dataclasses
        import enum
        import typing

        import typing_extensions
        from pydantic import BaseModel
        from outlast import step, workflow

        class Colour(enum.Enum):
            RED = "red"

        @dataclasses.dataclass(slots=True, kw_only=True)
        class Line:
            sku: str
            children: list[Line] = dataclasses.field(default_factory=list)
            limit: typing.ClassVar[int] = 3

        class Point(typing.NamedTuple):
            x: int

        class Extra(typing_extensions.TypedDict, total=False):
            note: Note

        class Note(BaseModel):
            text: str

        class Order(BaseModel):
            line: Line
            colour: Colour
            parent: Order | None = None
            extra: Extra | None = None

        T = typing.TypeVar("T")

        class Page(BaseModel, typing.Generic[T]):
            items: list[T]

        class Declined(Exception):
            def __init__(self, code):
                super().__init__(code)
                self.code = code

        @step
        async def price(order: Order) -> Page[Order]: return Page(items=[order])

        @workflow
        async def main(order: Order) -> Page[Order]:
            return await price(order)

        VERSION = %d
    """
    ORDER = """{
        "line": {"sku": "a", "children": [{"sku": "b"}]}, "colour": "red", "extra": {"note": {"text": "hi"}}
    }"""

    @pytest.fixture(params=["main.py", "main/index.py", "_shared/models.py"])
    def module(self, project: Project, request: pytest.FixtureRequest) -> ModuleType:
        project.write(request.param, self.MODELS % 1)
        if request.param.startswith("_"):
            project.write("main.py", shared_flow("main", "from _shared import models", "1"))
        project.load()
        assert project.file("main").error is None
        return sys.modules["functions._shared.models" if request.param.startswith("_") else "functions.main"]

    async def test_models_with_deferred_annotations(self, module: Any) -> None:
        import typing

        arguments = module.main.definition.inputs.bind_json(self.ORDER)
        page = await module.main(**arguments)
        assert page.items[0].line.children[0].sku == "b"
        assert page.items[0].colour is module.Colour.RED
        assert typing.get_type_hints(module.Line)["children"] == list[module.Line]
        assert typing.get_type_hints(module.Extra) == {"note": module.Note}
        assert module.Point(1)._asdict() == {"x": 1}

    def test_names_are_stable(self, module: Any, project: Project) -> None:
        name = module.__name__
        assert module.Order.__module__ == module.Line.__module__ == module.main.__module__ == name
        again = Path(module.__file__)
        project.write(str(again.relative_to(project.folder)), self.MODELS % 2)
        project.catalog.reload({again})
        assert sys.modules[name] is not module
        assert sys.modules[name].VERSION == 2
        assert sys.modules[name].Order.__module__ == name

    def test_pickle_finds_classes(self, module: Any) -> None:
        import pickle  # noqa: TID251 - a step may hand work to other processes

        assert pickle.loads(pickle.dumps(module.Point(1))) == module.Point(1)  # noqa: S301

    def test_recorded_errors_are_rebuilt_in_their_own_version(self, module: Any, project: Project) -> None:
        record = encode_failure(module.Declined("card"))
        again = Path(module.__file__)
        project.write(str(again.relative_to(project.folder)), self.MODELS % 2)
        project.catalog.reload({again})
        old = decode_failure(record, "price", module.price.definition.fn.__globals__)
        assert type(old) is module.Declined
        newest = decode_failure(record, "price", {})
        assert type(newest) is sys.modules[module.__name__].Declined
        assert vars(newest) == {"code": "card"}


async def test_tracebacks_show_the_new_source(project: Project) -> None:
    def raised() -> str:
        with pytest.raises(ValueError) as error:
            project.catalog.workflow("main").fn()  # type: ignore[union-attr]
        return "".join(traceback.format_exception(error.value))

    text = "from outlast import workflow\n@workflow\ndef main():\n    raise ValueError({!r})  # {}\n"
    file = project.write("main.py", text.format("x", "before"))
    project.load()
    assert "# before" in raised()
    assert f'"{file}", line 4, in main' in raised()
    project.write("main.py", text.format("x", "behind"))
    project.catalog.reload({file})
    assert "# behind" in raised()


class TestMemory:
    """An old version goes when nothing runs in it any more."""

    def rewrite(self, project: Project, number: int) -> None:
        project.write(
            "_shared/db.py", f"from pydantic import BaseModel\nclass Row(BaseModel): number: int = {number}"
        )
        project.write("_shared/__init__.py", "from . import stable")
        project.write("_shared/stable.py", "state = []")
        project.write(
            "main/helper.py", f"import _shared.db\nfrom _shared.stable import state\nnumber = {number}"
        )
        project.write(
            "main/index.py",
            f"""
            from __future__ import annotations
            from pydantic import BaseModel
            from outlast import step, workflow
            import helper, _shared.db
            from functions.other import other

            class Order(BaseModel):
                row: _shared.db.Row
                order: Order | None = None

            @step
            async def price(order: Order) -> Order: return order

            @workflow
            async def main(order: Order) -> Order: return await price(order)

            @workflow
            async def number() -> int: return {number}
            """,
        )
        project.workflow("other.py", "other")
        project.write("broken.py", f"import helper\nfrom _shared import db\n{number} / 0")
        project.write("syntax.py", f"from _shared import db\n = {number}")

    @pytest.mark.slow
    def test_two_hundred_reloads_leak_nothing(self, project: Project) -> None:
        alive: weakref.WeakSet[Any] = weakref.WeakSet()
        self.rewrite(project, 0)
        catalog = project.load()
        stable = sys.modules["functions._shared.stable"]
        for number in range(1, 201):
            alive.add(catalog.workflow("main").fn)  # type: ignore[union-attr]
            alive.update(sys.modules[f"functions.{name}"] for name in ("main", "main.helper", "_shared.db"))
            self.rewrite(project, number)
            catalog.reload()
        gc.collect()
        assert len(alive) == 0
        assert sys.modules["functions._shared.stable"] is stable
        assert len(catalog._names) == 3

    async def test_a_running_workflow_keeps_its_version(self, project: Project) -> None:
        self.rewrite(project, 0)
        catalog = project.load()
        running = catalog.workflow("main/number")
        assert running is not None
        module = weakref.ref(sys.modules["functions.main"])
        self.rewrite(project, 1)
        catalog.reload()
        gc.collect()
        assert module() is not None
        assert await running.fn() == 0
        assert running.fn.__globals__["helper"].number == 0
        assert catalog.name_of(running) == "main/number"
        del running
        gc.collect()
        assert module() is None
