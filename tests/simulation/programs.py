"""Random programs: what asyncio and anyio offer over steps, sleeps, children, messages and events."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any

from outlast import (
    WorkflowEnded,
    context,
    now,
    publish,
    receive,
    send,
    sleep,
    start,
    start_once,
    uuid4,
    workflow,
)
from outlast import random as drawn
from tests.simulation.steps import Refused, blocking, failing, fickle, pay, work
from tests.simulation.traces import Life, current_traces
from tests.simulation.with_anyio import WITH_ANYIO
from tests.simulation.with_asyncio import WITH_ASYNCIO
from tests.simulation.with_sagas import WITH_SAGAS

Node = list[Any]
"""`[kind, label, children, number]`: a number is seconds, or failures. Of messages the topic stands first."""

LEAVES = (
    "step",
    "step",
    "step",
    "pay",
    "thread",
    "fails",
    "retried",
    "sleep",
    "pause",
    "draws",
    "child",
    "once",
)
MAIL_LEAVES = ("step", "pay", "thread", "sleep", "receive", "receive", "receive", "receive", "send")
EVENT_LEAVES = ("step", "sleep", "thread", "reads", "reads", "reads", "newest")
TELLING_LEAVES = ("publish", "publish", "publish", "step", "sleep", "sleep", "pause")
TOGETHER = {**WITH_ASYNCIO, **WITH_ANYIO, **WITH_SAGAS}
BRANCHES = ("row", "row", "late", "timeout", "for", *WITH_ASYNCIO, *WITH_ANYIO)
SAGA_BRANCHES = ("row", "late", "timeout", "gather", "group", "deep", *WITH_SAGAS, *WITH_SAGAS, *WITH_SAGAS)
TOPICS = ("a", "b")
PATIENT_S = 10_000.0
"""Of a receive whose message comes: without one it is a wake-up that was lost."""

RECEIVES_S = (0.0, 0.05, 0.5, PATIENT_S, PATIENT_S)
SLEEPS_S = (0.01, 0.15, 0.5, 3.0)
TIMEOUTS_S = (0.001, 0.02, 0.4)


@workflow
async def interpret(plan: Node) -> list[str]:
    """Run a program; its notes: each result and each decision, in the order in which they came."""
    life = current_traces().begin_life(context().workflow_id)
    await run(life, plan)
    return life.notes


async def run(life: Life, node: Node) -> str:
    """Run one node; what those above it see of it."""
    kind, label, children, number = node
    if kind in (*LEAVES, *MAIL_LEAVES, *EVENT_LEAVES, *TELLING_LEAVES):
        try:
            return await _leaf(life, kind, label, children, number)
        except asyncio.CancelledError:
            life.decide(f"{label} cancelled")
            raise
    if kind in ("row", "late"):
        for child in children:
            await run(life, child)
            for _ in range(20 if kind == "late" else 0):
                await asyncio.sleep(0)
    elif kind == "timeout":
        try:
            async with asyncio.timeout(number):
                await run(life, ["row", label, children, 0])
            life.decide(f"{label} in time")
        except TimeoutError:
            life.decide(f"{label} too late")
    elif kind == "for":
        try:
            await asyncio.wait_for(run(life, ["row", label, children, 0]), number)
            life.decide(f"{label} in time")
        except TimeoutError:
            life.decide(f"{label} too late")
    else:
        await TOGETHER[kind](life, label, [run(life, child) for child in children], number)
    return str(label)


async def _leaf(life: Life, kind: str, label: str, children: list[Any], number: float) -> str:
    if kind == "sleep":
        await sleep(number)
        life.decide(f"{label} slept")
        return label
    if kind == "pause":
        await asyncio.sleep(number)
        life.decide(f"{label} paused")
        return label
    if kind == "draws":
        life.decide(f"{label} {now()} {uuid4()} {drawn()} {asyncio.get_running_loop().time()}")
        return label
    if kind == "receive":
        message = await receive(children[0], timeout=number, default=None)
        if message is None:
            life.decide(f"{label} nothing")
            if number == PATIENT_S:
                current_traces().violation(f"{life.workflow_id}: nothing woke {label}")
        else:
            life.result(message)
        return label
    if kind == "send":
        life.result(str(await send(life.workflow_id, label, children[0])))
        return label
    if kind == "publish":
        await publish("e", label)
        return label
    seen = len(life.notes)
    try:
        if kind in ("reads", "newest"):
            return await _read(life, kind, label, children[0])
        if kind == "step":
            value = await work(life, label, seen)
        elif kind == "pay":
            value = await pay(life, label, seen)
        elif kind == "thread":
            value = await blocking.aio(life, label, seen)
        elif kind == "fails":
            value = await failing(life, label, seen)
        elif kind == "retried":
            value = await fickle(life, label, seen, int(number))
        elif kind == "once":
            key = f"{context().root_id}/{label}"  # a fork shares it
            child = await start_once(key, interpret, children[0])
            if (await start_once(key, interpret, children[0])).workflow_id != child.workflow_id:
                current_traces().violation(f"{life.workflow_id}: two workflows of one key at {label}")
            value = f"{label} child of {len(await child.result())}"
            life.decide(value)
            return value
        else:
            child = await start(interpret, children[0])
            value = f"{label} child of {len(await child.result())}"
            life.decide(value)
            return value
    except Refused as error:
        value = str(error)
    life.result(value)
    return label


async def _read(life: Life, kind: str, label: str, program: Node) -> str:
    """Read what a child publishes, to its end; or the newest of it."""
    began = now()
    child = await start(interpret, program)
    if kind == "newest":
        read = await child.event("e", default=None)
    else:
        read = []
        async for value in child.events("e", of=str):
            read.append(value)
            life.decide(f"{label} {value}")
            if len(read) == _publishes(program):  # it waits for that
                await _let_go(child.workflow_id)
    if (now() - began).total_seconds() > PATIENT_S:
        current_traces().violation(f"{life.workflow_id}: nothing woke {label}")
    life.decide(f"{label} read {read}")
    return label


def _publishes(node: Node) -> int:
    return (node[0] == "publish") + sum(map(_publishes, node[2])) if node[0] != "receive" else 0


async def _let_go(workflow_id: str) -> None:
    with suppress(WorkflowEnded):
        await send(workflow_id, "read", "done")


def a_program(
    chance: random.Random,
    size: int,
    depth: int = 0,
    label: str = "r",
    kinds: tuple[str, ...] = BRANCHES,
    leaves: tuple[str, ...] = LEAVES,
) -> Node:
    """A program of about `size` leaves."""
    if size <= 1 or depth > 4:
        kind = chance.choice(leaves)
        if kind in ("receive", "send"):
            return [kind, label, [chance.choice(TOPICS)], chance.choice(RECEIVES_S)]
        if kind in ("child", "once") and depth < 3:
            return [kind, label, [a_program(chance, chance.randint(1, 3), depth + 2, f"{label}c")], 0]
        if kind in ("reads", "newest"):
            told = a_program(chance, chance.randint(1, 6), depth + 2, f"{label}t", ("row",), TELLING_LEAVES)
            if kind == "reads" and _publishes(told):
                told = ["row", f"{label}r", [told, ["receive", f"{label}d", ["done"], PATIENT_S]], 0]
            return [kind, label, [told], 0]
        if kind in ("sleep", "pause"):
            return [kind, label, [], chance.choice(SLEEPS_S)]
        return ["step" if kind in ("child", "once") else kind, label, [], chance.randint(0, 3)]
    kind = chance.choice(kinds)
    width = chance.randint(2, 4)
    share = max(1, size // width)
    children = [
        a_program(chance, share, depth + 1, f"{label}.{number}", kinds, leaves) for number in range(width)
    ]
    return [kind, label, children, chance.choice(TIMEOUTS_S)]


def receives_of(node: Node) -> list[str]:
    """The topics of all receives in a program."""
    kind, _, children, _ = node
    if kind in ("receive", "send"):
        return [children[0]] if kind == "receive" else []
    if kind in ("reads", "newest"):
        return []
    return [topic for child in children for topic in receives_of(child)]
