"""Workflows whose effects are seen from outside: in an append-only file, and in a table.

`saw` writes down that a step's body ran. `held` waits until the test lets go.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

from outlast import (
    WorkflowHandle,
    context,
    map_,
    receive,
    rows,
    saga,
    sleep,
    start,
    step,
    transaction,
    workflow,
)

_OUTSIDE = Path(os.environ["PROOF_FOLDER"])


def saw(what: str) -> None:
    """Add a line to the witness: one write, so that lines of several processes don't mix."""
    file = os.open(_OUTSIDE / "witness", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{what}\n".encode())
    finally:
        os.close(file)


async def held(gate: str) -> None:
    """Wait for a file of that name."""
    while not (_OUTSIDE / gate).exists():
        await asyncio.sleep(0.01)


@step
async def first(key: str) -> str:
    saw(f"first {key} {context().workflow_id}")
    return "a"


@transaction
async def pay(tx: Any, key: str) -> int:
    saw(f"pay {key}")
    await tx.execute("insert into effects (key) values (%s)", (key,))
    return 7


@step
async def last(key: str) -> str:
    saw(f"last {key}")
    return "c"


@workflow
async def story(key: str, pause_s: float = 0.3) -> dict[str, Any]:
    """A step, a transaction, a suspension, a step."""
    one = await first(key)
    two = await pay(key)
    await sleep(pause_s)
    return {"key": key, "parts": [one, two, await last(key)]}


@transaction
async def pay_as_itself(tx: Any) -> int:
    await tx.execute("select pg_sleep(0.2)")  # who pauses it meanwhile may settle it
    await tx.execute("insert into effects (key) values (%s)", (context().workflow_id,))
    return 7


@step
async def third(key: str) -> str:
    saw(f"third {key} {context().workflow_id}")
    return "c"


@workflow
async def operated(key: str, pause_s: float) -> list[Any]:
    """As the story, but its effects bear the workflow's own id, which a fork has, too."""
    one = await first(key)
    two = await pay_as_itself()
    await sleep(pause_s)
    return [one, two, await third(key)]


@workflow
async def single(key: str) -> str:
    """One step."""
    return await first(key)


@step
async def hold(key: str, gate: str) -> int:
    saw(f"hold {key} {os.getpid()}")
    await held(gate)
    return os.getpid()


@workflow
async def holding(key: str, gate: str) -> int:
    """A step that ends when the test says so, and one after it; which process ran the first."""
    process = await hold(key, gate)
    await last(key)
    return process


@workflow
async def pausing(key: str, pause_s: float) -> str:
    """A step, a long sleep, a step."""
    await first(key)
    await sleep(pause_s)
    return await last(key)


@transaction
async def pay_slowly(tx: Any, key: str, gate: str) -> int:
    await tx.execute("insert into effects (key) values (%s)", (key,))
    saw(f"paying {key} {os.getpid()}")
    await held(gate)
    return os.getpid()


@workflow
async def paying(key: str, gate: str) -> int:
    """A transaction that stays open until the test says so; which process ran it."""
    return await pay_slowly(key, gate)


@step
async def fall(key: str) -> None:
    saw(f"fall {key}")
    os.kill(os.getpid(), signal.SIGKILL)


@workflow
async def falling(key: str) -> None:
    """Kills its process each time."""
    await fall(key)


@workflow
async def parent(key: str, gate: str) -> int:
    """Waits for a child."""
    child = await start(holding, key, gate)
    return await child.result()


@step
async def needs(key: str) -> str:
    saw(f"needs {key}")
    if not (_OUTSIDE / "mended").exists():
        raise ValueError("it is broken")
    return "b"


@workflow
async def mended(key: str) -> list[str]:
    """A step, one that fails until the test says so, a step."""
    return [await first(key), await needs(key), await last(key)]


@workflow
async def told(key: str) -> str:
    """Sleeps until it is told something, and does a step then."""
    word = str(await receive("go"))
    await first(key)
    return word


@workflow
async def patient(key: str) -> str:
    """Waits for a child that takes long: both leave the memory."""
    child = await start(told, key)
    word = await child.result()
    await last(key)
    return word


@workflow
async def waiting(key: str, workflow_id: str) -> int:
    """Waits for a workflow that somebody else started."""
    result: int = await WorkflowHandle[int](workflow_id).result()
    return result


@workflow
async def hearing(key: str, count: int) -> list[Any]:
    """Receives messages, a step after each."""
    heard = []
    for _ in range(count):
        heard.append(await receive("news"))
        await last(key)
    return heard


@transaction
async def pay_and_look(tx: Any, key: str, gate: str) -> int:
    await tx.execute("insert into effects (key) values (%s)", (key,))
    saw(f"blocked {key}")
    while not (_OUTSIDE / gate).exists():
        await tx.execute("select pg_sleep(0.2)")
    return os.getpid()


@workflow
async def blocked(key: str, gate: str) -> int:
    """A transaction that keeps the server busy until the test says so."""
    return await pay_and_look(key, gate)


@step
def grind(key: str) -> None:
    saw(f"grind {key}")
    while True:
        time.sleep(0.05)


@workflow
async def endless(key: str) -> None:
    """A thread that never returns, in a body that won't hear of cancellation."""
    while True:
        try:
            await grind.aio(key)
        except BaseException:
            saw(f"undeterred {key}")


@workflow
async def weighs(text: str) -> int:
    """How much it was given."""
    await first("weighs")
    return len(text)


@step
async def ponder() -> None:
    await asyncio.sleep(0.7)


@workflow
async def dozes(key: str, data: list[Any], pause_s: float) -> int:
    """Out of the memory and back into it, with all it was given; a step is at work meanwhile."""
    await sleep(pause_s)
    await ponder()
    return len(data)


@step
async def tick(number: int) -> int:
    return number


@workflow
async def ticks(steps: int) -> int:
    """So many steps, and the sum of what they returned."""
    return sum([await tick(number) for number in range(steps)])


@step
async def book(what: str) -> str:
    saw(f"book {what}")
    return what


@step
async def take_back(booking: Any, what: str) -> None:
    saw(f"undo {what}")


@workflow
async def trip(key: str) -> None:
    """What it books it takes back, as it is refused in the end."""
    async with saga() as s:
        await s.do(book, "hotel", undo=take_back)
        await s.do(book, "car", undo=take_back)
        raise ValueError(key)


@workflow
async def piece(n: int) -> int:
    """An item of a map."""
    return n


@workflow
async def mapped(key: str) -> list[int]:
    """A map of two blocks."""
    result = await map_(piece, rows("select n from numbers order by n"), concurrency=400)
    return [len(result), sum(result)]
