"""FROZEN: the functions whose recorded histories stand beside this file. Never edit one; add others below.

They use what the codec, the failures and the branches can write. Nothing in them depends on chance or on the
clock but by recorded steps, so that one history has one result. A gate lets a recording be cut in the middle.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from outlast import HTTPException, Request, Response, context, sleep, start, step, transaction, workflow
from outlast.core.outcomes import PUBLIC_FAILURE

ran: list[str] = []
"""Bodies of steps that ran in this process: what is recorded must not come up here."""

gates: dict[str, Callable[[], Awaitable[None]]] = {}
"""What a step with a gate awaits; where there is none it goes on."""


async def at_gate(name: str) -> None:
    """Note that a step runs, and wait if the recorder wants it to."""
    ran.append(name)
    if name in gates:
        await gates[name]()


# --- values -------------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Line(BaseModel):
    sku: str
    price: Decimal
    colour: Colour
    at: datetime
    note: str | None = None


@dataclasses.dataclass
class Parcel:
    id: UUID
    day: date
    weight: float
    lines: list[Line]
    took: timedelta = timedelta(hours=1, microseconds=7)


@step
async def price(sku: str) -> Line:
    await at_gate(f"price {sku}")
    at = datetime(2026, 11, 22, 20, 45, 1, 234567, tzinfo=UTC)
    return Line(sku=sku, price=Decimal("9.90"), colour=Colour.RED, at=at)


@step
async def pack(lines: list[Line]) -> Parcel:
    await at_gate("pack")
    return Parcel(UUID(int=7), date(2026, 2, 28), 0.1, lines)


@step
async def raw() -> bytes:
    await at_gate("raw")
    return "bytes ✓".encode()


@step
async def mixed() -> tuple[int, str | None, set[int], dict[int, Colour]]:
    await at_gate("mixed")
    return 2**70, None, {3, 1, 2}, {5: Colour.BLUE}


@step
async def plain(value: Any) -> Any:
    await at_gate("plain")
    return {"text": 'nul \0, quote ", snow ☃, \U0001f600', "none": None, "float": -0.0, "of": value}


@workflow
async def values(sku: str) -> dict[str, Any]:
    parcel = await pack([await price(sku), await price("b")])
    assert isinstance(parcel, Parcel)
    assert isinstance(parcel.lines[0].price, Decimal)
    number, nothing, numbers, colours = await mixed()
    return {
        "sum": str(sum(line.price for line in parcel.lines)),
        "day": (parcel.day + parcel.took * 24).isoformat(),
        "bytes": (await raw()).decode(),
        "mixed": [str(number), nothing, sorted(numbers), colours[5].name],
        "plain": await plain([1, 1.5, True]),
    }


# --- transactions -------------------------------------------------------------------------------------------

LEDGER = "create table if not exists public.ledger (id int primary key, cents bigint not null)"


@transaction
async def move(tx: Any, cents: int) -> int:
    await at_gate(f"move {cents}")
    await tx.execute("insert into public.ledger values (1, 0) on conflict do nothing")
    cursor = await tx.execute(
        "update public.ledger set cents = cents + %s where id = 1 returning cents", (cents,)
    )
    return int((await cursor.fetchone())[0])


@transaction
def move_def(tx: Any, cents: int) -> int:
    ran.append(f"move_def {cents}")
    tx.execute("insert into public.ledger values (1, 0) on conflict do nothing")
    row = tx.execute(
        "update public.ledger set cents = cents + %s where id = 1 returning cents", (cents,)
    ).fetchone()
    return int(row[0])


@transaction
async def refuse(tx: Any) -> None:
    await at_gate("refuse")
    await tx.execute("update public.ledger set cents = 0")
    raise ValueError("no funds", 7)


@workflow
async def transfers() -> list[Any]:
    said: list[Any] = [await move(5), await move_def.aio(7)]
    try:
        await refuse()
    except ValueError as error:
        said.append([type(error).__name__, *error.args])
    said.append(await move(30))
    return said


# --- errors -------------------------------------------------------------------------------------------------


class Declined(Exception):
    def __init__(self, *, code: str, cents: int) -> None:
        super().__init__(f"declined: {code}")
        self.code = code
        self.cents = cents


@step(max_attempts=3, backoff=0.001)
async def flaky() -> int:
    await at_gate("flaky")
    if context().attempt < 3:
        raise ConnectionResetError(104, "reset")
    return context().attempt


@step(max_attempts=2, backoff=0.001)
async def charge(cents: int) -> None:
    await at_gate("charge")
    raise Declined(code="stolen", cents=cents)


@step
async def answer(status: int) -> None:
    await at_gate("answer")
    raise HTTPException(status, {"why": "none left"}, {"retry-after": "5"})


@step
async def both() -> None:
    await at_gate("both")
    raise ExceptionGroup("two", [ValueError("a", 1), ExceptionGroup("in", [Declined(code="b", cents=1)])])


@step
async def missing() -> None:
    await at_gate("missing")
    raise FileNotFoundError(2, "No such file or directory", "/nowhere")


@workflow
async def errors() -> list[Any]:
    said: list[Any] = [await flaky()]
    try:
        await charge(5)
    except Declined as error:
        said.append([str(error), error.code, error.cents])
    try:
        await answer(429)
    except HTTPException as error:
        said.append([error.status, error.detail, error.headers])
    try:
        await both()
    except* ValueError as group:
        said.append(repr(group.exceptions))
    except* Declined:
        said.append("declined")
    try:
        await missing()
    except OSError as error:
        said.append([type(error).__name__, error.errno, error.filename])
    return said


@workflow
async def fails() -> None:
    await charge(9)


@workflow
async def answers_404() -> None:
    await plain(1)
    raise HTTPException(404, "no such order")


# --- branches -----------------------------------------------------------------------------------------------


@step
async def work(label: str, pause_s: float = 0.0) -> str:
    await at_gate(f"work {label}")
    await asyncio.sleep(pause_s)
    return label


async def _deeper(label: str) -> list[str]:
    async with asyncio.TaskGroup() as group:
        inner = [group.create_task(_leaf(f"{label}{n}", 0.02 * (3 - n))) for n in range(3)]
    return [task.result() for task in inner]


async def _leaf(label: str, pause_s: float) -> str:
    first = await work(label, pause_s)
    return first + await work(f"{label}'")


@workflow
async def branches() -> list[Any]:
    first = await work("first")
    gathered = await asyncio.gather(_deeper("x"), _leaf("y", 0.01), work("z"))
    order = [
        await each for each in asyncio.as_completed([work("slow", 0.05), work("fast"), work("mid", 0.02)])
    ]
    return [first, gathered, order, await work("last")]


@workflow
async def races() -> list[Any]:
    tasks = [
        asyncio.create_task(_leaf(label, pause_s)) for label, pause_s in (("a", 5.0), ("b", 0.01), ("c", 5.0))
    ]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    winners = sorted(task.result() for task in done)
    for task in pending:
        task.cancel()
    await asyncio.wait(pending)
    try:
        async with asyncio.timeout(0.05):
            await work("too slow", 5.0)
    except TimeoutError:
        winners.append("timeout")
    try:
        await asyncio.gather(work("fine"), charge(1))
    except Declined as error:
        winners.append(error.code)
    return [winners, [task.cancelled() for task in tasks], await work("end")]


# --- sleeps -------------------------------------------------------------------------------------------------


@workflow
async def sleeps() -> list[str]:
    await sleep(0.01)
    first = await work("after a short one")
    await sleep(0.5)  # longer than the recorder's moment: it leaves the memory
    second = await work("after a long one")
    await asyncio.gather(sleep(0.01), _leaf("beside", 0.0))
    return [first, second]


@workflow
async def sleeps_on() -> str:
    before = await work("before")
    await sleep(timedelta(seconds=1))
    return before + await work("after")


@workflow
async def naps() -> list[Any]:
    _, leaf = await asyncio.gather(sleep(0.6), _leaf("while it sleeps", 0.05))
    return [leaf, await work("awake")]


# --- children -----------------------------------------------------------------------------------------------


@workflow
async def child(number: int) -> Line:
    return (await price(f"child {number}")).model_copy(update={"note": str(number)})


@workflow
async def broken_child() -> None:
    raise LookupError("lost")


@workflow
async def parents() -> list[Any]:
    handles = [await start(child, number) for number in range(2)]
    lines = await asyncio.gather(*[handle.result() for handle in handles])
    broken = await start(broken_child)
    try:
        await broken.result()
        said = "no error"
    except LookupError:
        # What a child raises is raised as such since; histories from before recorded it as this.
        said = f"WorkflowFailed: {PUBLIC_FAILURE}"
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    return [[line.note for line in lines], said, await work("together")]


# --- requests, threads --------------------------------------------------------------------------------------


@workflow
async def serves(request: Request) -> Response:
    said = await plain([request.method, request.path, request.query, request.headers.get_all("x-twice")])
    body = {"said": said, "body": request.body.decode("latin-1")}
    return Response(body, status=201, headers={"x-made": "here"})


@workflow
async def serves_bytes() -> Response:
    return Response(bytes(range(256)), headers={"content-type": "image/gif"})


@step
def count_def(up_to: int) -> int:
    ran.append("count_def")
    return sum(range(up_to))


@workflow
def threaded(up_to: int) -> list[int]:
    first = count_def(up_to)
    sleep(0.01)  # type: ignore[unused-awaitable]  # a def workflow's sleep is over when it returns
    return [first, move_def(first), count_def(first)]


ALL = (
    values,
    transfers,
    errors,
    fails,
    answers_404,
    branches,
    races,
    sleeps,
    sleeps_on,
    naps,
    child,
    broken_child,
    parents,
    serves,
    serves_bytes,
    threaded,
)
