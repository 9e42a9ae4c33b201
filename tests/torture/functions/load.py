"""What the hosts serve under torture: workflows whose results tell which of their steps were recorded.

Each step's body draws a token and tells the witness before all else; each result holds the tokens that the
body saw. So a step that ran twice shows, and so does a result that isn't what its records imply.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import secrets
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg

from outlast import (
    Limit,
    Queue,
    Rate,
    Request,
    callback,
    context,
    every,
    handler,
    map_,
    publish,
    receive,
    saga,
    sleep,
    start,
    start_all,
    step,
    transaction,
    workflow,
)

Part = dict[str, str]
Move = tuple[int, int, int]
"""From, to, how much."""

_FOLDER = Path(os.environ["TORTURE_FOLDER"])
_witness = os.open(_FOLDER / "witness", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
_chance = random.Random()  # steps may be as unpredictable as they like


class Unlucky(Exception):
    """What a shaky step raises now and then."""


class Deliberate(Exception):
    """How a workflow fails that is meant to."""


def _saw(label: str) -> Part:
    """Tell the witness that this body runs: one write, so that lines of several processes don't mix."""
    began = time.monotonic()
    token = secrets.token_hex(6)
    line = f"{context().workflow_id} {label} {os.getpid()} {began:.6f} {token}\n"
    os.write(_witness, line.encode())
    return {"label": label, "token": token}


@step
async def act(label: str, pause_s: float = 0.0) -> Part:
    """An effect outside."""
    part = _saw(label)
    if pause_s:
        await asyncio.sleep(pause_s)
    return part


@step
def act_in_thread(label: str) -> Part:
    """An effect outside, of a blocking function. It doesn't sleep: libfaketime breaks `time.sleep`."""
    return _saw(label)


@step(limit=Limit("narrow", concurrency=2))
async def act_narrowly(label: str, pause_s: float) -> Part:
    """Two at once."""
    part = _saw(label)
    await asyncio.sleep(pause_s)
    return part


@step(limit=Limit("slow", rate=Rate(4, per=1)))
async def act_slowly(label: str) -> Part:
    """So many in any second."""
    return _saw(label)


@step(max_attempts=8, backoff=0.02, backoff_max=0.1, retry_on=(Unlucky,))
async def shaky(label: str, odds: float) -> Part:
    """Fails with these odds at each attempt."""
    part = _saw(label)
    if _chance.random() < odds:
        raise Unlucky(label)
    return part


_MOVE = "update torture.accounts set balance = balance + %s where id = %s"
_NOTE = (
    "insert into torture.transfers (workflow_id, label, token, source, target, amount)"
    " values (%s, %s, %s, %s, %s, %s)"
)


def _changes(move: Move, *, sorted_by_account: bool = True) -> list[tuple[int, int]]:
    source, target, amount = move
    changes = [(-amount, source), (amount, target)]
    return sorted(changes, key=lambda change: change[1]) if sorted_by_account else changes


def _note(label: str, move: Move) -> tuple[Part, tuple[Any, ...]]:
    part = {"label": label, "token": secrets.token_hex(6)}
    return part, (context().workflow_id, label, part["token"], *move)


@transaction(max_attempts=9, backoff=0.02, retry_on=(psycopg.errors.QueryCanceled,))
async def transfer(tx: Any, label: str, move: Move) -> Part:
    """Move money; its locks are taken in any order, so that some of these meet in a deadlock."""
    part, note = _note(label, move)
    in_order = sum(move) % 8 > 0
    for change in _changes(move, sorted_by_account=in_order):
        await tx.execute(_MOVE, change)
    await tx.execute(_NOTE, note)
    if sum(move) % 5 == 0:
        await asyncio.sleep(_chance.uniform(0.0, 0.15))  # so that some are caught with an open transaction
    return part


@transaction(isolation="serializable", max_attempts=9, backoff=0.02, retry_on=(psycopg.errors.QueryCanceled,))
async def transfer_strictly(tx: Any, label: str, move: Move) -> Part:
    """Move money by what was read before."""
    part, note = _note(label, move)
    for amount, account in _changes(move):
        cursor = await tx.execute("select balance from torture.accounts where id = %s", (account,))
        (balance,) = await cursor.fetchone()
        await tx.execute(
            "update torture.accounts set balance = %s where id = %s", (balance + amount, account)
        )
    await tx.execute(_NOTE, note)
    return part


@transaction(max_attempts=9, backoff=0.02, retry_on=(psycopg.errors.QueryCanceled,))
def transfer_in_thread(tx: Any, label: str, move: Move) -> Part:
    """Move money, in a blocking function."""
    part, note = _note(label, move)
    for change in _changes(move):
        tx.execute(_MOVE, change)
    tx.execute(_NOTE, note)
    return part


def _seen(*parts: Part) -> dict[str, str | None]:
    return {part["label"]: part["token"] for part in parts}


@workflow
async def pay(key: str, moves: list[Move]) -> dict[str, Any]:
    """Transactions alone."""
    first, *others = moves
    parts = [await transfer_strictly("move0", first)]
    for number, move in enumerate(others, 1):
        parts.append(await transfer(f"move{number}", move))
    return {"parts": _seen(*parts)}


@workflow
async def order(key: str, move: Move, pause_s: float) -> dict[str, Any]:
    """An effect, money, a sleep, an effect."""
    reserved = await act("reserve", pause_s / 2)
    paid = await transfer("pay", move)
    await sleep(pause_s)
    return {"parts": _seen(reserved, paid, await act("ship", pause_s))}


@workflow
async def nap(key: str, naps: list[float]) -> dict[str, Any]:
    """Sleeps between effects: some are short enough to stay, some are not."""
    return await _naps(naps)


async def _branch(number: int, move: Move, pause_s: float) -> list[Part]:
    done = await act(f"b{number}.act", pause_s)
    if number % 3 == 1:
        await sleep(pause_s)
    return [done, await transfer(f"b{number}.move", move)]


@workflow
async def fan(key: str, form: str, moves: list[Move], pauses: list[float]) -> dict[str, Any]:
    """Concurrent branches; `order` tells in which order the body saw them end."""
    branches = [_branch(n, move, pauses[n]) for n, move in enumerate(moves)]
    ended: list[list[Part]] = []
    if form == "gather":
        ended = list(await asyncio.gather(*branches))
    elif form == "group":
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(branch) for branch in branches]
        ended = [task.result() for task in tasks]
    else:
        for each in asyncio.as_completed(branches):
            ended.append(await each)
    result: dict[str, Any] = {"parts": _seen(*(part for parts in ended for part in parts))}
    if form == "completed":
        result["order"] = [parts[-1]["label"] for parts in ended]
    return result


@workflow
async def shake(key: str, odds: list[float]) -> dict[str, Any]:
    """Steps that are retried; one that failed for good leaves a null."""
    parts: dict[str, str | None] = {}
    for number, each in enumerate(odds):
        try:
            parts |= _seen(await shaky(f"try{number}", each))
        except Unlucky:
            parts[f"try{number}"] = None
    return {"parts": parts}


@workflow
async def leaf(key: str, move: Move) -> dict[str, Any]:
    """A child."""
    return {"parts": _seen(await act("leaf", 0.2), await transfer("leaf.move", move))}


@workflow
async def family(key: str, moves: list[Move]) -> dict[str, Any]:
    """Starts children and waits for them."""
    told = await act("parent", 0.1)
    children = [await start(leaf, f"{key}.{n}", move) for n, move in enumerate(moves)]
    results = await asyncio.gather(*(child.result() for child in children))
    return {"parts": _seen(told), "children": results}


@workflow
async def piece(move: Move) -> dict[str, Any]:
    """An item."""
    return {"parts": _seen(await act("piece", 0.1), await transfer("piece.move", move))}


@workflow
async def mapped(key: str, moves: list[Move], concurrency: int) -> dict[str, Any]:
    """Leaves the memory while its items run, so many at a time."""
    told = await act("parent")
    return {"parts": _seen(told), "mapped": list(await map_(piece, moves, concurrency=concurrency))}


@workflow
async def many(key: str, moves: list[Move]) -> dict[str, Any]:
    """Starts all at once."""
    handles = await start_all(piece, moves)
    return {"parts": {}, "children": [await each.result() for each in handles]}


@workflow
async def undone(key: str, moves: list[Move], pause_s: float, fails: bool) -> dict[str, Any]:
    """Moves money, waits, and has it moved back if it fails, or is cancelled while it waits."""
    async with saga() as s:
        parts = [await s.do(transfer, f"m{n}", move, undo=move_back) for n, move in enumerate(moves)]
        await sleep(pause_s)
        if fails:
            raise Deliberate("undone")
    return {"parts": _seen(*parts)}


async def move_back(part: Part, label: str, move: Move) -> None:
    """Undo a transfer."""
    source, target, amount = move
    await transfer(f"back {label}", (target, source, amount))


@workflow
async def fail(key: str, pause_s: float) -> None:
    """Fails on purpose. What it says holds the tokens, as a result would."""
    one = await act("first")
    await sleep(pause_s)
    raise Deliberate(json.dumps({"parts": _seen(one, await act("second"))}))


@workflow
async def asked(key: str, patience_s: float) -> dict[str, Any]:
    """Asks by a link, and waits for the answer for a while."""
    await publish("link", await callback("verdict", of=str))
    told = await act("asked")
    answer = await receive("verdict", timeout=patience_s, default=None, of=str)
    return {"parts": _seen(told), "answer": answer}


@workflow
async def teller(key: str, naps: list[float]) -> dict[str, Any]:
    """Publishes numbers."""
    for number, nap_s in enumerate(naps):
        await publish("number", number)
        await sleep(nap_s)
    return {"parts": {}, "told": len(naps)}


@workflow
async def listener(key: str, naps: list[float]) -> dict[str, Any]:
    """Reads all that a child publishes, while it does."""
    child = await start(teller, f"{key}.told", naps)
    heard = [number async for number in child.events("number")]
    return {"parts": {}, "heard": heard, "children": [await child.result()]}


async def _naps(naps: list[float]) -> dict[str, Any]:
    parts = []
    for number, nap_s in enumerate(naps):
        parts.append(await act(f"before{number}", 0.05))
        await sleep(nap_s)
    parts.append(await act("after"))
    return {"parts": _seen(*parts)}


@workflow(queue=Queue("lanes", key="lane", concurrency=6, per_key=2))
async def lanes(key: str, lane: str, naps: list[float]) -> dict[str, Any]:
    """So many at once, in all and of a lane."""
    return await _naps(naps)


@workflow(queue=Queue("alone", key="lane", exclusive=True))
async def alone(key: str, lane: str, naps: list[float]) -> dict[str, Any]:
    """One of a lane at a time, sleeps included."""
    return await _naps(naps)


@workflow(queue=Queue("paced", rate=Rate(10, per=1)))
async def paced(key: str, lane: str, naps: list[float]) -> dict[str, Any]:
    """So many in any second."""
    return await _naps(naps)


@workflow
async def limited(key: str, pauses: list[float], patience_s: float) -> dict[str, Any]:
    """Steps under limits; one may be given up while it waits, or while it runs."""
    with suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            await act_narrowly("given_up", pauses[0])
    parts = [await act_narrowly(f"narrow{number}", pause_s) for number, pause_s in enumerate(pauses)]
    return {"parts": _seen(*parts, await act_slowly("slow"))}


@workflow(schedule=every(seconds=2, catchup="all", overlap="allow"))
async def ticking() -> dict[str, Any]:
    """At every time, however late."""
    return {"parts": _seen(await act("tick"))}


@workflow(schedule=every(seconds=1))
async def single() -> dict[str, Any]:
    """One at a time; what comes meanwhile is skipped."""
    return await _naps([0.3, 0.9])


@workflow
def threaded(key: str, move: Move, pause_s: float) -> dict[str, Any]:
    """A blocking workflow."""
    told = act_in_thread("told")
    _ = sleep(pause_s)
    return {"parts": _seen(told, transfer_in_thread("moved", move))}


@handler
async def census(request: Request) -> dict[str, int]:
    """What this process keeps: tasks of its loop, and threads."""
    return {"tasks": len(asyncio.all_tasks()), "threads": threading.active_count()}
