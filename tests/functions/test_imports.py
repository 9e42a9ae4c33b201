"""What function files may import, and from whom each gets it."""

from __future__ import annotations

import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.functions.conftest import Project


def flow(name: str, imports: str, value: str, lazy: str = "pass") -> str:
    return (
        "from __future__ import annotations\nfrom outlast import workflow\n"
        f"{textwrap.dedent(imports)}\n@workflow\nasync def {name}():\n    {lazy}\n    return {value}\n"
    )


async def value_of(
    project: Project, imports: str, value: str, *, lazy: bool, file: str = "main/index.py"
) -> object:
    """What a function returns that imports at its top, or not before it runs."""
    at_top, inside = ("", imports) if lazy else (imports, "pass")
    project.write(file, flow("main", at_top, value, inside))
    project.load()
    error = project.file("main").error
    assert error is None, error
    return await project.call("main")


@pytest.fixture(params=["at the top", "in the body"])
def lazy(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "in the body")


@pytest.fixture
def tree(project: Project) -> Project:
    project.write("_shared/db.py", "name = 'db'")
    project.write(
        "_shared/deep/__init__.py", "from . import inner\nfrom .inner import name as again\nname = 'deep'"
    )
    project.write("_shared/deep/inner.py", "from .. import db\nname = 'inner of ' + db.name")
    project.write("_shared/bare/leaf.py", "name = 'leaf'")
    project.write("_tools.py", "name = 'tools'")
    project.write("main/helper.py", "name = 'helper'")
    project.write("main/pack/__init__.py", "name = 'pack'")
    project.write(
        "main/pack/part.py", "import helper\nfrom . import name as above\nname = 'part of ' + above"
    )
    project.write("main/json.py", "name = 'our own json'")
    return project


@pytest.mark.parametrize(
    ("imports", "value", "expected"),
    [
        ("from _shared.db import name", "name", "db"),
        ("from _shared import db", "db.name", "db"),
        ("import _shared.db", "_shared.db.name", "db"),
        ("import _shared.db as database", "database.name", "db"),
        ("import _shared.db, _shared.deep.inner as i", "_shared.db.name, i.name", ("db", "inner of db")),
        ("from _shared.deep import name, again", "name, again", ("deep", "inner of db")),
        ("from _shared.deep import inner", "inner.name", "inner of db"),
        ("from _shared.bare import leaf", "leaf.name", "leaf"),
        ("import _shared.bare.leaf", "_shared.bare.leaf.name", "leaf"),
        ("import _tools", "_tools.name", "tools"),
        ("from .._shared.db import name", "name", "db"),
        ("from .._shared import db", "db.name", "db"),
        ("from .. import _shared, _tools", "_tools.name", "tools"),
        ("from functions._shared.db import name", "name", "db"),
        ("import functions._shared.db, functions._tools", "functions._tools.name", "tools"),
        ("import functions._shared.db, functions._tools", "functions._shared.db.name", "db"),
        ("from functions import _tools", "_tools.name", "tools"),
        ("import helper", "helper.name", "helper"),
        ("from helper import name", "name", "helper"),
        ("from . import helper", "helper.name", "helper"),
        ("from .helper import name", "name", "helper"),
        ("from functions.main.helper import name", "name", "helper"),
        ("import pack.part", "pack.part.name + ' ' + pack.name", "part of pack pack"),
        ("from pack import part", "part.name", "part of pack"),
        ("from .pack.part import name", "name", "part of pack"),
        ("import json", "json.name", "our own json"),
        ("import math", "math.floor(1.5)", 1),
        ("import os.path", "os.path.join('a', 'b')", "a/b"),
        ("from xml.dom import minidom", "minidom.__name__", "xml.dom.minidom"),
    ],
)  # fmt: skip
async def test_every_way_to_import(
    tree: Project, imports: str, value: str, expected: object, lazy: bool
) -> None:
    assert await value_of(tree, imports, value, lazy=lazy) == expected


@pytest.mark.parametrize(
    ("imports", "value", "expected"),
    [
        ("from _shared.db import name", "name", "db"),
        ("from ._shared import db", "db.name", "db"),
        ("from . import _tools", "_tools.name", "tools"),
        ("import _shared.db", "_shared.db.name", "db"),
        ("import json", "json.dumps([])", "[]"),
    ],
)
async def test_from_a_single_file(
    project: Project, imports: str, value: str, expected: object, lazy: bool
) -> None:
    project.write("_shared/db.py", "name = 'db'")
    project.write("_tools.py", "name = 'tools'")
    assert await value_of(project, imports, value, lazy=lazy, file="main.py") == expected


async def test_star_imports(tree: Project) -> None:
    tree.write("_shared/open/__init__.py", "__all__ = ['leaf', 'here']\nhere = 'here'\nhidden = 'hidden'")
    tree.write("_shared/open/leaf.py", "name = 'leaf'")
    tree.write("_shared/plain.py", "one = 1\n_two = 2")
    imports = "from _shared.open import *\nfrom _shared.plain import *"
    value = "leaf.name, here, one, 'hidden' in globals(), '_two' in globals()"
    assert await value_of(tree, imports, value, lazy=False) == ("leaf", "here", 1, False, False)


async def test_each_function_has_its_own_helper(project: Project, lazy: bool) -> None:
    for name in ("one", "two"):
        project.write(f"{name}/helper.py", f"name = 'helper of {name}'")
        at_top, inside = ("", "import helper") if lazy else ("import helper", "pass")
        project.write(f"{name}/index.py", flow(name, at_top, "helper.name, helper.__name__", inside))
    project.load()
    assert await project.call("one") == ("helper of one", "functions.one.helper")
    assert await project.call("two") == ("helper of two", "functions.two.helper")
    assert "helper" not in sys.modules


async def test_a_helper_of_another_function_is_not_reached_by_plain_name(project: Project) -> None:
    project.workflow("one/index.py", "one")
    project.write("one/helper.py", "")
    project.write("two/index.py", "import helper")
    project.write("three.py", "import helper")
    project.load()
    for name, place in (("two", "two/index.py"), ("three", "three.py")):
        told = f"functions/{place}:1: ModuleNotFoundError: No module named 'helper'; if it is a package's, "
        assert project.error(name).startswith(told)


async def test_shared_modules_are_imported_once_for_all(project: Project) -> None:
    project.write("_shared/state.py", "seen = []")
    for name in ("one", "two"):
        project.write(
            f"{name}.py",
            flow(name, "from _shared import state", f"state.seen.append('{name}') or state.seen"),
        )
    project.load()
    await project.call("one")
    assert await project.call("two") == ["one", "two"]


async def test_a_function_may_import_another(project: Project) -> None:
    project.workflow("hello.py", "hello", "hi")
    project.write("main.py", flow("main", "from functions.hello import hello", "await hello()"))
    catalog = project.load()
    assert await project.call("main") == "hi"
    seen_by_main = catalog.workflow("main").fn.__globals__["hello"]  # type: ignore[union-attr]
    assert catalog.name_of(seen_by_main.definition) == "hello"


async def test_a_folder_with_a_hyphen(project: Project) -> None:
    project.write("send-email/helper.py", "from . import part\nname = part.name")
    project.write("send-email/part.py", "name = __name__")
    project.write(
        "send-email/index.py",
        flow("send_email", "import helper\nfrom .part import name", "name + helper.name"),
    )
    project.load()
    assert await project.call("send-email") == "functions.send-email.part" * 2


async def test_a_module_is_imported_once_by_many_threads(project: Project) -> None:
    text = "import time\nfrom _shared import log\ntime.sleep(0.01)\nlog.seen.append(1)\nready = True"
    project.write("_shared/log.py", "seen = []")
    project.write("_shared/slow.py", text)
    lazy = "from _shared import slow, log\n    assert slow.ready"
    project.write("main.py", flow("main", "", "len(log.seen)", lazy).replace("async def", "def"))
    main = project.load().workflow("main")
    assert main is not None
    with ThreadPoolExecutor(8) as threads:
        assert [each.result() for each in [threads.submit(main.fn) for _ in range(16)]] == [1] * 16


async def test_code_made_at_run_time_imports_as_its_maker_does(project: Project) -> None:
    project.write("main/helper.py", "name = 'helper'")
    project.write(
        "main/index.py", flow("main", "", "scope['helper'].name", "scope = {}; exec('import helper', scope)")
    )
    project.load()
    assert await project.call("main") == "helper"


async def test_a_helper_may_import_index(project: Project) -> None:
    project.write(
        "main/helper.py",
        "def name():\n    import index\n    from .index import title\n    return index.title, title",
    )
    project.write("main/index.py", flow("main", "from helper import name\ntitle = 'main'", "name()"))
    project.load()
    assert await project.call("main") == ("main", "main")


async def test_a_submodule_is_set_on_its_package_as_in_python(project: Project) -> None:
    project.write("_shared/__init__.py", "from .db import connect")
    project.write("_shared/db.py", "def connect(): return 'connected'")
    project.write("main.py", flow("main", "import _shared", "_shared.db.connect() + _shared.connect()"))
    project.load()
    assert await project.call("main") == "connectedconnected"


async def test_a_package_keeps_its_state_behind_every_view(project: Project) -> None:
    project.write("_shared/__init__.py", "count = 0")
    project.write("_shared/db.py", "")
    body = "import _shared.db\nimport _shared\nassert dir(_shared)"
    for name in ("one", "two"):
        project.write(f"{name}.py", flow(name, body, "_shared.count", "_shared.count += 1"))
    project.load()
    assert await project.call("one") == 1
    assert await project.call("two") == 2


async def test_data_files_lie_beside_the_code(project: Project) -> None:
    project.write("main/prices.json", "[1]")
    imports = "import json, pathlib\nfrom importlib import resources"
    text = flow(
        "main",
        imports,
        "json.loads((pathlib.Path(__file__).parent / 'prices.json').read_text()),"
        " (resources.files(__name__) / 'prices.json').read_text()",
    )
    project.write("main/index.py", text)
    project.load()
    assert await project.call("main") == ([1], "[1]")


async def test_module_attributes_are_as_python_sets_them(project: Project) -> None:
    text = flow(
        "main",
        "",
        "__name__, __package__, __file__, __spec__.name, __spec__.origin, __loader__ is __spec__.loader",
    )
    file = project.write("one.py", text.replace("main", "one"))
    index = project.write("two/index.py", text.replace("main", "two"))
    project.load()
    assert await project.call("one") == (
        "functions.one",
        "functions",
        str(file),
        "functions.one",
        str(file),
        True,
    )
    assert await project.call("two") == (
        "functions.two",
        "functions.two",
        str(index),
        "functions.two",
        str(index),
        True,
    )


async def test_import_errors_name_the_remedy(project: Project) -> None:
    project.write("_shared/db.py", "")
    project.write("_shared/mail.py", "import db")
    project.workflow("hello.py", "hello")
    project.write("one.py", "import db")
    project.write("two.py", "from hello import hello")
    project.write("three.py", "from _shared import mail")
    project.write("four.py", "\nfrom _shared.nope import x")
    project.write("five.py", "from _shared.db import nope")
    project.write("six.py", "from ... import x")
    project.write("seven.py", "from ._shared import nope")
    project.load()
    hint = "ModuleNotFoundError: No module named 'db'; write `from _shared import db`"
    assert project.error("one") == f"functions/one.py:1: {hint}"
    assert project.error("two").endswith("No module named 'hello'; write `from functions import hello`")
    assert project.error("three") == f"functions/_shared/mail.py:1: {hint} (imported by functions/three.py:1)"
    assert project.error("four") == "functions/four.py:2: ModuleNotFoundError: No module named '_shared.nope'"
    assert "functions/five.py:1: ImportError: cannot import name 'nope'" in project.error("five")
    assert "beyond the functions folder" in project.error("six")
    assert "functions/seven.py:1: ImportError: cannot import name 'nope'" in project.error("seven")


class TestCircles:
    """Modules that import each other end as they do in Python."""

    async def test_a_circle_that_works(self, project: Project) -> None:
        project.write("_shared/a.py", "from _shared import b\nname = 'a'\ndef both(): return name + b.name")
        project.write("_shared/b.py", "from _shared import a\nname = 'b'\ndef both(): return name + a.name")
        project.write("main.py", flow("main", "from _shared import a, b", "a.both() + b.both()"))
        project.load()
        assert await project.call("main") == "abba"

    async def test_a_circle_that_does_not(self, project: Project) -> None:
        project.write("_shared/a.py", "from _shared.b import y\nx = 1")
        project.write("_shared/b.py", "from _shared.a import x\ny = 1")
        project.write("main.py", "from _shared.a import x")
        project.workflow("hello.py", "hello")
        project.load()
        error = project.error("main")
        assert error.startswith(
            "functions/_shared/b.py:1: ImportError: cannot import name 'x' from partially initialized"
        )
        assert error.endswith("(imported by functions/main.py:1)")
        assert project.file("hello").error is None

    async def test_functions_in_a_circle(self, project: Project) -> None:
        project.write("one.py", flow("one", "import functions.two", "functions.two.name") + "\nname = 'one'")
        project.write("two.py", flow("two", "import functions.one", "functions.one.name") + "\nname = 'two'")
        project.load()
        assert await project.call("one") == "two"
        assert await project.call("two") == "one"


async def test_warnings_and_sources_work_from_a_function(project: Project) -> None:
    lines = [
        "import inspect, warnings",
        "with warnings.catch_warnings(record=True) as seen:",
        "    warnings.simplefilter('always')",
        "    warnings.warn('x')",
    ]
    lazy = "\n    ".join(lines)
    project.write(
        "main.py", flow("main", "", "str(seen[0].message), inspect.getsource(main.definition.fn)[:9]", lazy)
    )
    project.load()
    assert await project.call("main") == ("x", "@workflow")
