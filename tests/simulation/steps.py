"""The steps that simulated programs call."""

from __future__ import annotations

from typing import Any

from outlast import context, step, transaction
from tests.simulation.traces import Life, current_traces


class Refused(Exception):
    """What steps fail with."""


@step
async def work(life: Life, label: str, seen: int) -> str:
    """A step that takes a moment."""
    return await current_traces().work(life, label, seen)


@step
def blocking(life: Life, label: str, seen: int) -> str:
    """A step in a thread."""
    return current_traces().begin_step(life, label, seen)


@step
async def failing(life: Life, label: str, seen: int) -> str:
    """A step whose error is recorded."""
    raise Refused(await current_traces().work(life, label, seen))


@step(max_attempts=3, backoff=0.05)
async def fickle(life: Life, label: str, seen: int, failures: int) -> str:
    """A step that succeeds after some attempts."""
    value = await current_traces().work(life, label, seen)
    if context().attempt <= failures:
        raise Refused(value)
    return value


@transaction(max_attempts=2)
async def pay(tx: Any, life: Life, label: str, seen: int) -> str:
    """A transaction with one effect."""
    value = await current_traces().work(life, label, seen)
    await tx.write((life.workflow_id, value))
    return value


async def noted(life: Life, label: str) -> str:
    """Run a step and note its result."""
    life.result(await work(life, label, len(life.notes)))
    return label
