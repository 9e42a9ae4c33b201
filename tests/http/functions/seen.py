"""Workflows whose steps handle what their callers must not see, and one that shows it."""

import os
import subprocess
import sys
from typing import Any

from outlast import Request, callback, handler, publish, start, step, transaction, workflow


@step
async def read_all_rows() -> str:
    return "confidential-rows"


@workflow
async def child(rows: str) -> str:
    return rows + "!"


async def _work() -> str:
    rows = await read_all_rows()
    await publish("progress", 1)
    begun = await start(child, rows)
    await begun.result()
    return begun.workflow_id


@workflow
async def hidden() -> str:
    return await _work()


@workflow(steps_visible=True)
async def shown() -> str:
    return await _work()


@workflow(steps_visible=True)
async def asked() -> None:
    await callback("verdict", expires=60)


@step(visible=True)
async def quote() -> str:
    return "a-quote"


@step(name="lookup", visible=True)
async def look_up_price() -> str:
    return "a-price"


@step(name="lookup")
async def look_up_rows() -> str:
    return "confidential-rows"


@transaction(visible=True)
async def book(tx: Any) -> str:
    return "a-booking"


@transaction
async def count(tx: Any) -> str:
    return "confidential-count"


@workflow
async def partly() -> str:
    await quote()
    await look_up_price()
    await look_up_rows()
    await book()
    await count()
    return await _work()


@workflow
async def large(text: str) -> str:
    return text


@handler(auth="none")
def environment(request: Request) -> list[str]:
    """The names that a function and a process of its own find."""
    names = "import os; print(*os.environ)"
    child = subprocess.run([sys.executable, "-c", names], capture_output=True, check=True, text=True)
    return [*os.environ, *child.stdout.split()]
