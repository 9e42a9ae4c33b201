"""Workflows with attributes: those of a start, and what bodies set of their own."""

from __future__ import annotations

from typing import Any

from outlast import context, receive, start, step, workflow

_tried: list[str] = []


@step
async def look(stage: str) -> str:
    return stage


@workflow
async def child() -> str:
    return "done"


@workflow
async def tagging(waits: bool = False) -> str:
    await context().set_attributes({"stage": "looked", "tries": 1, "plan": None})
    await look("looked")
    await start(child, attributes={"customer": 42})
    if waits:
        await receive("go")
    await context().set_attributes({"stage": "done", "tries": None})
    return "done"


@workflow
def blocking() -> str:
    _ = context().set_attributes({"stage": "blocked"})
    return "done"


@workflow
async def wrong(changes: dict[str, Any]) -> None:
    await context().set_attributes(changes)
