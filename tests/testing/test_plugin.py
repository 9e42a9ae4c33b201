"""The plugin in a user's own project: with each plugin for async tests, without, in parallel."""

from __future__ import annotations

import sys

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(240)  # each starts a pytest of its own, some of them workers

FUNCTIONS = """
from datetime import timedelta
from outlast import receive, sleep, start, step, transaction, workflow

class CardDown(Exception):
    pass

@transaction
async def reserve(tx, sku, quantity):
    await tx.execute("update stock")
    return True

@step(max_attempts=3)
async def charge(card: str) -> str:
    return "real"

@step
def blocking(number: int) -> int:
    return number + 1

@workflow
async def checkout(sku: str, quantity: int = 1) -> dict:
    while not await reserve(sku, quantity):
        await sleep(timedelta(days=1))
    return {"payment": await charge("4242")}

@workflow
def plain(number: int) -> int:
    sleep(timedelta(days=14))
    return blocking(number)

@workflow
async def waits() -> str:
    return await receive("approval")

@workflow
async def parent() -> str:
    return await (await start(waits)).result()
"""

ASYNC = """
from datetime import timedelta
from functions import CardDown, charge, checkout, plain, reserve

{mark}
async def test_checkout(outlast):
    answers = iter([False, True])
    outlast.stub(reserve, by=lambda sku, quantity: next(answers))
    outlast.stub(charge, raises=[CardDown], returns="ch_1")
    run = await outlast.run(checkout, sku="w", quantity=2)
    assert run.result["payment"] == "ch_1" and run.slept == timedelta(days=1)
    assert [each.name for each in run.steps] == ["reserve", "reserve", "charge"]
    assert run.steps[-1].attempts == 2

{mark}
async def test_checkout_survives_anything(outlast):
    outlast.stub(reserve, returns=True)
    report = await outlast.crash_everywhere(checkout, sku="w", quantity=2)
    assert report.crashes > 10

{mark}
async def test_plain(outlast):
    assert (await outlast.run(plain, number=1)).result == 2
"""

DEF = """
import pytest
from functions import *
from outlast.testing import Deadlock

def test_plain(outlast):
    before = outlast.now
    assert outlast.run(plain, 1).result == 2
    assert outlast.now - before >= timedelta(days=14)

def test_crashes_of_a_def_workflow(outlast):
    assert outlast.crash_everywhere(plain, number=1).crashes > 5

def test_deadlock(outlast):
    with pytest.raises(Deadlock, match="functions.py:{line} for a message with topic 'approval'"):
        outlast.run(parent)

def test_messages(outlast):
    run = outlast.start(parent)
    (child,) = run.children
    assert [wait.topic for wait in child.waiting_on] == ["approval"]
    outlast.advance(days=30)
    outlast.send(child, "yes", topic="approval")
    assert outlast.finish(run).result == "yes"

def test_cancel(outlast):
    run = outlast.start(waits)
    outlast.cancel(run)
    assert run.status == "CANCELLED"
""".replace("{line}", str(FUNCTIONS[: FUNCTIONS.index('receive("')].count("\n")))


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A user's folder: functions.py and no configuration."""
    pytester.makepyfile(functions=FUNCTIONS)
    pytester.makeini("[pytest]\npythonpath = .\n")
    return pytester


def passed(project: pytest.Pytester, *options: str) -> int:
    """Run the tests in a process of their own; how many passed, if all did."""
    result = project.runpytest_subprocess(
        "-p", "no:randomly", "-p", "no:schemathesis", "--durations=5", *options, timeout=200
    )
    outcomes = result.parseoutcomes()
    assert result.ret == 0, outcomes
    assert set(outcomes) == {"passed"}, outcomes
    return outcomes["passed"]


@pytest.mark.parametrize(
    ("mark", "options"),
    [
        ("", ["-p", "no:asyncio", "-p", "no:anyio"]),
        pytest.param("", ["-p", "no:asyncio"], marks=pytest.mark.slow),
        pytest.param("", ["-o", "asyncio_mode=strict"], marks=pytest.mark.slow),
        ("", ["-o", "asyncio_mode=auto"]),
        pytest.param(
            "@__import__('pytest').mark.asyncio", ["-o", "asyncio_mode=strict"], marks=pytest.mark.slow
        ),
        pytest.param("@__import__('pytest').mark.anyio", ["-p", "no:asyncio"], marks=pytest.mark.slow),
        pytest.param("", ["-n", "2", "-o", "asyncio_mode=auto"], marks=pytest.mark.slow),
    ],
)
def test_async_tests(project: pytest.Pytester, mark: str, options: list[str]) -> None:
    project.makepyfile(test_them=ASYNC.replace("{mark}", mark))
    if "anyio" in mark:
        project.makeconftest("import pytest\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n")
    assert passed(project, *options) == 3


@pytest.mark.parametrize(
    "options",
    [
        [],
        pytest.param(["-p", "no:asyncio", "-p", "no:anyio"], marks=pytest.mark.slow),
        pytest.param(["-n", "2"], marks=pytest.mark.slow),
    ],
)
def test_def_tests(project: pytest.Pytester, options: list[str]) -> None:
    project.makepyfile(test_them=DEF)
    assert passed(project, *options) == 5


def test_what_is_awaited_in_no_async_test_is_told(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_it="""
        from functions import plain

        async def test_it(outlast):
            run = outlast.run(plain, number=1)
            run.result
        """
    )
    result = project.runpytest_subprocess("-p", "no:schemathesis", timeout=200)
    result.stdout.fnmatch_lines(["*test_it.py:4: outlast.run(…) was not awaited: write `await` before it*"])


def test_a_transaction_that_nothing_stands_in_for_is_told(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_it="""
        from functions import checkout

        def test_it(outlast):
            outlast.run(checkout, sku="w")

        def test_crashes(outlast):
            outlast.crash_everywhere(checkout, sku="w")
        """
    )
    result = project.runpytest_subprocess("-p", "no:schemathesis", timeout=200)
    told = "*functions.py:*: transaction reserve is a conversation*outlast.stub(reserve, returns=…)*"
    result.stdout.fnmatch_lines([told, told])
    assert result.parseoutcomes() == {"failed": 2}


def test_only_stubs(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_it="""
        from functions import plain

        def test_it(outlast):
            outlast.only_stubs = True
            outlast.run(plain, number=1)
        """
    )
    result = project.runpytest_subprocess("-p", "no:schemathesis", timeout=200)
    result.stdout.fnmatch_lines(["*functions.py:*: step blocking runs, and nothing stands in for it*"])


def test_misuse_is_warned_of_with_its_line(project: pytest.Pytester) -> None:
    project.makepyfile(
        bad="""
        import time
        from outlast import workflow

        @workflow
        async def body():
            time.time()
            return 1
        """,
        test_it="""
        from bad import body

        def test_it(outlast):
            assert outlast.run(body).result == 1
        """,
    )
    result = project.runpytest_subprocess("-p", "no:schemathesis", timeout=200)
    result.stdout.fnmatch_lines(["*bad.py:6: Misuse: the workflow's body reads time.time, *outlast.now()"])
    assert result.parseoutcomes() == {"passed": 1, "warnings": 1}


def test_the_fixture_in_a_wider_scope(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_it="""
        import pytest
        from functions import plain

        @pytest.fixture(scope="module")
        def ours(outlast_of_module):
            return outlast_of_module.run(plain, number=1)

        def test_one(ours):
            assert ours.result == 2

        def test_two(ours):
            assert ours.result == 2
        """
    )
    assert passed(project) == 2


CALLED = """
import pytest
from functions.orders import _ship, orders, refund
from functions.hello import hello

def test_names_are_those_of_a_host(outlast):
    assert outlast.call(orders, json={"sku": "w"}).run.workflow_id.startswith("orders:")
    assert outlast.call(refund).json() == "refunded"
    assert outlast.call("/functions/v1/orders/refund").json() == "refunded"
    assert outlast.with_key("k").run(refund).workflow_id == "orders/refund:k"
    assert outlast.call("/functions/v1/orders/_ship").json()["code"] == "NOT_FOUND"
    assert outlast.run(_ship).workflow_id.startswith("orders/_ship:")
    assert len(outlast.call(orders, json={"sku": "w"}).run.children) == 1

def test_what_the_test_does_not_import_is_served_too(outlast):
    assert outlast.call("/functions/v1/parts").json() == "a folder's"
    page = outlast.call("/functions/v1/pages/deep/er", method="GET")
    assert page.text == "/deep/er of an app that has begun"
    assert outlast.call("/functions/v1/_hidden").status == 404
    assert outlast.call("/functions/v1/empty").status == 404

def test_a_function_that_the_gateway_leaves_alone(outlast):
    assert outlast.as_nobody().call(hello).text == "hello"
    assert outlast.as_nobody().call(orders, json={"sku": "w"}).status == 401
"""


def test_functions_of_the_folder_are_called_by_their_names(project: pytest.Pytester) -> None:
    project.makepyfile(
        **{
            "functions/orders": """
                from outlast import start, workflow

                @workflow
                async def _ship() -> None: ...

                @workflow
                async def orders(sku: str) -> str:
                    await (await start(_ship)).result()
                    return sku

                @workflow
                async def refund() -> str:
                    return "refunded"
            """,
            "functions/hello": """
                from outlast import handler

                @handler
                def hello(request):
                    return "hello"
            """,
            "functions/parts/index": """
                from outlast import workflow

                @workflow
                async def parts() -> str:
                    return "a folder's"
            """,
            "functions/pages": """
                async def app(scope, receive, send):
                    if scope["type"] == "lifespan":
                        await receive()
                        scope["state"]["begun"] = " of an app that has begun"
                        await send({"type": "lifespan.startup.complete"})
                        await receive()
                        return
                    await send({"type": "http.response.start", "status": 200, "headers": []})
                    path = scope["path"].removeprefix(scope["root_path"]) + scope["state"]["begun"]
                    await send({"type": "http.response.body", "body": path.encode()})
            """,
            "functions/_hidden": "",
            "functions/empty": "",
            "functions/_orders_test": CALLED,
        }
    )
    project.path.joinpath("functions.py").unlink()
    supabase = project.mkdir("supabase")
    supabase.joinpath("config.toml").write_text("[functions.hello]\nverify_jwt = 'env(T_HELLO_ASKS)'\n")
    project.path.joinpath(".env").write_text("T_HELLO_ASKS=false\n")
    assert passed(project, "functions") == 3


@pytest.mark.parametrize("inside", [".", "supabase", "supabase/functions"])
def test_functions_may_lie_in_supabases_folder(project: pytest.Pytester, inside: str) -> None:
    project.path.joinpath("functions.py").unlink()
    folder = project.mkdir("supabase").joinpath("functions")
    folder.mkdir()
    folder.joinpath("hello.py").write_text(
        "from outlast import workflow\n@workflow\nasync def hello(): return 1"
    )
    test = "from functions.hello import hello\ndef test_it(outlast): assert outlast.run(hello).result == 1"
    folder.joinpath("_hello_test.py").write_text(test)
    project.path.joinpath("tox.ini").unlink()
    project.path.joinpath(inside, "pytest.ini").write_text("[pytest]\n")
    assert passed(project, "supabase/functions") == 1


def test_importing_outlast_brings_neither_kit_nor_pytest() -> None:
    import subprocess

    found = "[each for each in sys.modules if each.startswith(('outlast.testing', 'pytest'))]"
    code = f"import sys, outlast; print({found})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=200
    )
    assert done.stdout == "[]\n"
