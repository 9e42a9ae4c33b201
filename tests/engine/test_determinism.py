"""Replay: whatever a body does with asyncio, a crash changes neither its results nor its decisions."""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outlast import step, workflow
from tests.engine.harness import Bench, engine_on

_numbers = itertools.count(1)


@dataclass
class Crash:
    """How things stood at a crash: the lives so far, what of the last one holds, and what was recorded."""

    lives: int
    seen: list[str]
    handed: list[str]


class Trace:
    """What one test's body and steps did, in all its lives."""

    def __init__(self) -> None:
        self.lives: list[list[str]] = []
        self.started: list[tuple[int, str]] = []
        self.completed = asyncio.Event()
        self.left = 0
        self.random = random.Random()
        self.crashes: list[Crash] = []

    def note(self, text: str) -> None:
        self.lives[-1].append(text)


traces: dict[int, Trace] = {}


@step
async def work(trace_id: int, label: str) -> str:
    trace = traces[trace_id]
    life = len(trace.lives)
    trace.started.append((life, label))
    await asyncio.sleep(trace.random.choice([0, 0, 0.0005, 0.001, 0.003]))
    trace.left -= 1
    if trace.left == 0:
        trace.completed.set()
    return f"{label}#{next(_numbers)}"


@workflow
async def interpret(trace_id: int, plan: list[Any]) -> list[str]:
    traces[trace_id].lives.append([])
    await _run(trace_id, plan)
    return traces[trace_id].lives[-1]


async def _run(trace_id: int, node: list[Any]) -> str:
    kind, label, children = node
    trace = traces[trace_id]
    runs = [_run(trace_id, child) for child in children] if kind not in ("step", "row", "late") else []
    if kind == "step":
        value = await work(trace_id, label)
        trace.note(f"step {value}")
    elif kind == "row":
        for child in children:
            await _run(trace_id, child)
    elif kind == "late":
        for child in children:
            await _run(trace_id, child)
            for _ in range(20):
                await asyncio.sleep(0)
        trace.note(f"late {label}")
    elif kind == "gather":
        await asyncio.gather(*runs)
    elif kind == "group":
        async with asyncio.TaskGroup() as group:
            for run in runs:
                group.create_task(run)
    elif kind == "completed":
        for each in asyncio.as_completed(runs):
            trace.note(f"{label} next {await each}")
    elif kind == "first":
        tasks = [asyncio.create_task(run) for run in runs]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        trace.note(f"{label} first {[task.result() for task in done]}")
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending)
    elif kind == "all":
        done, _ = await asyncio.wait([asyncio.create_task(run) for run in runs])
        for index, task in enumerate(done):
            value = await work(trace_id, f"{label}.{index} of {task.result()}")
            trace.note(f"step {value}")
    return str(label)


def a_plan(chance: random.Random, steps: int, depth: int = 0, label: str = "r") -> list[Any]:
    """A program of about so many steps."""
    if steps <= 1 or depth > 4:
        return ["step", label, []]
    kind = chance.choice(["row", "late", "gather", "group", "completed", "first", "all"])
    width = chance.randint(2, 5)
    share = max(1, steps // width)
    return [kind, label, [a_plan(chance, share, depth + 1, f"{label}.{n}") for n in range(width)]]


def up_to_step(notes: list[str], count: int) -> list[str]:
    """Notes before the one of step number `count` (from 0)."""
    seen = 0
    for index, note in enumerate(notes):
        if note.startswith("step "):
            if seen == count:
                return notes[:index]
            seen += 1
    return notes


async def crash_and_go_on(database: str, plan: list[Any], chance: random.Random, crashes: int) -> None:
    trace_id = next(_numbers)
    trace = traces[trace_id] = Trace()
    workflow_id = f"interpret:{trace_id}"
    durable: dict[str, str] = {}
    for life in range(crashes + 1):
        trace.random = random.Random(chance.random())
        trace.left = chance.randint(1, 40) if life < crashes else 0
        trace.completed.clear()
        async with engine_on(database, interpret) as bench:
            if life == 0:
                await bench.start(interpret, trace_id, plan, workflow_id=workflow_id)
            result = asyncio.create_task(bench.result(workflow_id))
            crash = asyncio.create_task(trace.completed.wait())
            await asyncio.wait([result, crash], return_when=asyncio.FIRST_COMPLETED)
            crash.cancel()
            if result.done():
                assert result.result() == trace.lives[-1]
                await verify_records(bench, workflow_id, durable)
                check_lives(trace)
                return
            result.cancel()
            await bench.abandon()
            records = await bench.steps(workflow_id)
            durable = await verify_records(bench, workflow_id, durable)
            handed = [f"step {record['output']}" for record in records if record["output"] is not None]
            kept = sum(note in handed for note in trace.lives[-1])
            trace.crashes.append(Crash(len(trace.lives), up_to_step(trace.lives[-1], kept), handed))
    raise AssertionError("the last life did not end")


async def verify_records(bench: Bench, workflow_id: str, durable: dict[str, str]) -> dict[str, str]:
    """What was recorded once stays as it is."""
    records = {r["step_id"]: str(r["output"] or r["error"]) for r in await bench.steps(workflow_id)}
    assert durable.items() <= records.items()
    return records


def check_lives(trace: Trace) -> None:
    for crash in trace.crashes:
        for notes in trace.lives[crash.lives :]:
            steps = [note for note in notes if note.startswith("step ")]
            # What was recorded of a step that the body gave up before its turn is handed to nobody.
            handed = [note for note in crash.handed if note in steps]
            assert [note for note in steps if note in handed] == handed, "results come in another order"
            assert notes[: len(crash.seen)] == crash.seen[: len(notes)], "a decision was another"
        recorded = {note.removeprefix("step ").partition("#")[0] for note in crash.handed}
        again = {label for life, label in trace.started if life > crash.lives and label in recorded}
        assert not again, "recorded steps ran again"


@pytest.mark.parametrize("seed", range(3))
async def test_two_hundred_steps_survive_many_crashes(database: str, seed: int) -> None:
    chance = random.Random(seed)
    plan = ["row", "r", [a_plan(chance, 50, 0, f"r.{n}") for n in range(4)]]
    await crash_and_go_on(database, plan, chance, crashes=6)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
async def test_small_programs_survive_crashes(database: str, seed: int) -> None:
    chance = random.Random(seed)
    await crash_and_go_on(database, a_plan(chance, chance.randint(2, 20)), chance, crashes=3)
