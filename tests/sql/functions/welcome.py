"""What the examples of docs/sql.md start."""

from __future__ import annotations

from typing import Any

from outlast import context, step, transaction, workflow


@transaction
async def note(tx: Any, text: str) -> str:
    await tx.execute("create table if not exists notes (text text, workflow_id text)")
    await tx.execute("insert into notes values (%s, %s)", (text, context().workflow_id))
    return text


@workflow
async def welcome(email: str) -> str:
    return await note(f"welcome, {email}")


@step
async def summarised() -> str:
    return "all is well"


@workflow
async def report() -> str:
    return await note(await summarised())
