"""What the examples of docs/sql.md start."""

from __future__ import annotations

from typing import Any

from outlast import context, start_once, step, transaction, workflow


@transaction
async def note(tx: Any, text: str) -> str:
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


@transaction
async def hand_on(tx: Any, email: str) -> str:
    cursor = await tx.execute(
        "select outlast.start('welcome', jsonb_build_object('email', %s::text))", (email,)
    )
    return str((await cursor.fetchone())[0])


@workflow
async def hands_on(email: str) -> str:
    return await hand_on(email)


@workflow
async def hands_on_once(key: str, email: str) -> str:
    handle = await start_once(key, welcome, email=email)
    await handle.result()
    return handle.workflow_id
