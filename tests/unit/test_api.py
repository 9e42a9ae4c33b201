"""What function files import: its names, its types, and how little it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import outlast
from outlast import Limit, UsageError, handler, step, transaction, workflow

ROOT = Path(__file__).parents[2]

SAMPLE = """
from typing import Any

from outlast import (
    Batch, Queue, WorkflowHandle, map_, rows, start, start_all, step, transaction, workflow
)


@step
async def async_step(n: int) -> str:
    return str(n)


@step(max_attempts=3)
def def_step(n: int) -> str:
    return str(n)


@transaction
async def async_transaction(tx: Any, n: int) -> bool:
    return n > 1


@transaction(isolation="serializable")
def def_transaction(tx: Any, n: int) -> bool:
    return n > 1


@workflow
async def flow(n: int, *, loud: bool = False) -> float:
    reveal_type(await async_step(n))
    reveal_type(await def_step.aio(n))
    reveal_type(await async_transaction(n))
    reveal_type(await def_transaction.aio(n))
    return 1.0


@workflow(timeout=5)
def def_flow(n: int) -> float:
    reveal_type(def_step(n))
    reveal_type(def_transaction(n))
    reveal_type([value for value in start(flow, 1).events("n", of=int)])
    reveal_type(start(flow, 1).event("n", of=int))
    return 1.0


@workflow(queue=Queue("embed", batch=Batch(100, wait=0.5)))
async def embed(texts: list[str]) -> list[float]:
    return [1.0 for _ in texts]


@workflow(queue=Queue("def_embed", batch=Batch(100, wait=0.5)))
def def_embed(numbers: list[int]) -> list[float]:
    return [1.0 for _ in numbers]


async def caller() -> None:
    reveal_type(await start(embed, "text"))
    reveal_type(await start(def_embed, 1))
    await start(def_embed, "wrong")
    await start(embed, "wrong", "wrong")
    reveal_type(await start(flow, 1, loud=True))
    reveal_type(await start(def_flow, 1))
    reveal_type(await (await start(flow, 1)).result())
    reveal_type((await start_all(flow, [1, 2]))[0])
    reveal_type((await map_(flow, [1, 2]))[0])
    reveal_type(await map_(def_flow, rows("select 1")))
    reveal_type([value for _, value in (await map_(flow, [1])).ok])
    reveal_type([value async for value in (await start(flow, 1)).events("n", of=str)])
    reveal_type(await (await start(flow, 1)).event("n"))
    await async_step("wrong")
    await async_transaction(None, 1)
    await start(flow, "wrong")
"""

REVEALED = [
    "str",
    "str",
    "bool",
    "bool",
    "str",
    "bool",
    "list[int]",
    "int",
    "outlast.sdk.handles.WorkflowHandle[float]",
    "outlast.sdk.handles.WorkflowHandle[float]",
    "outlast.sdk.handles.WorkflowHandle[float]",
    "outlast.sdk.handles.WorkflowHandle[float]",
    "float",
    "outlast.sdk.handles.WorkflowHandle[float]",
    "float",
    "outlast.sdk.maps.MapResult[float]",
    "list[float]",
    "list[str]",
    "Any",
]


def test_the_public_names_are_these() -> None:
    assert set(outlast.__all__) == {
        "Batch",
        "Caller",
        "CallerTokenGone",
        "CompensationFailed",
        "Context",
        "DatabaseUnavailable",
        "Debounce",
        "HTTPException",
        "Headers",
        "InvalidInput",
        "KeyReused",
        "Limit",
        "MapFailed",
        "MapResult",
        "NonDeterminism",
        "NotSerializable",
        "OutlastError",
        "Overloaded",
        "Queue",
        "QueueBusy",
        "QueueFull",
        "QueueKeyMissing",
        "Rate",
        "RateLimited",
        "RecoveryExhausted",
        "Request",
        "Response",
        "ScheduleNotFound",
        "ShuttingDown",
        "StepFailed",
        "UNKNOWN",
        "Unknown",
        "UsageError",
        "WorkflowCancelled",
        "WorkflowEnded",
        "WorkflowError",
        "WorkflowExpired",
        "WorkflowFailed",
        "WorkflowHandle",
        "WorkflowNotFound",
        "WorkflowTimeout",
        "WrongState",
        "at",
        "callback",
        "context",
        "cron",
        "database_webhook",
        "emit",
        "every",
        "handler",
        "map_",
        "now",
        "patched",
        "publish",
        "random",
        "receive",
        "rows",
        "saga",
        "schedules",
        "send",
        "sleep",
        "sleep_until",
        "standard_webhook",
        "start",
        "start_all",
        "start_once",
        "step",
        "transaction",
        "uuid4",
        "wait_any",
        "workflow",
    }
    for name in outlast.__all__:
        assert getattr(outlast, name).__doc__


def test_importing_it_loads_no_framework_driver_or_client() -> None:
    code = "import sys, outlast; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50
    )
    heavy = {"starlette", "uvicorn", "psycopg", "supabase", "httpx", "jwt", "click"}
    assert not heavy & set(done.stdout.split())


@pytest.mark.timeout(180)
def test_the_types_of_decorated_functions(tmp_path: Path) -> None:
    sample = tmp_path / "sample.py"
    sample.write_text(SAMPLE)
    (tmp_path / "mypy.ini").write_text(f"[mypy]\nstrict = true\nmypy_path = {ROOT / 'runtime'}\n")
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--no-error-summary", "sample.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=170)
    lines = [line.partition("sample.py:")[2] for line in done.stdout.splitlines()]
    revealed = [line.split('"')[1].replace("builtins.", "") for line in lines if "Revealed type" in line]
    assert revealed == REVEALED
    errors = [line for line in lines if " error: " in line]
    assert sorted({int(line.partition(":")[0]) for line in errors}) == [
        number
        for number, line in enumerate(SAMPLE.splitlines(), 1)
        if '("wrong")' in line or "(None, 1)" in line or ', "wrong")' in line
    ], done.stdout


def test_decorators_go_on_plain_functions_alone() -> None:
    class Callable:
        def __call__(self) -> None: ...

    def generator():
        yield 1

    async def async_generator():
        yield 1

    for decorate in (step, workflow, transaction, handler):
        for wrong in (Callable(), 5, "x", print, generator, async_generator):
            if decorate is step and wrong in (generator, async_generator):
                continue  # it gives the items of a map
            with pytest.raises(UsageError):
                decorate(wrong)  # type: ignore[arg-type]
    for generates in (generator, async_generator):
        assert callable(step(generates))
        for options in ({"timeout": 1}, {"limit": Limit("api", concurrency=1)}):
            with pytest.raises(UsageError, match="no timeout and no limit"):
                step(**options)(generates)


def test_a_transaction_needs_a_connection_parameter() -> None:
    def without() -> None: ...

    with pytest.raises(UsageError, match="connection"):
        transaction(without)  # type: ignore[arg-type]


def test_decorated_functions_keep_name_and_doc() -> None:
    @step
    async def charge() -> None:
        """Charges."""

    assert (getattr(charge, "__name__", ""), charge.__doc__) == ("charge", "Charges.")
