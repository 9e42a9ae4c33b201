"""A handler and a step that start workflows."""

from typing import Any

from outlast import Request, handler, send, start, start_once, workflow


@workflow
async def double(n: int) -> int:
    return 2 * n


@workflow
async def failing() -> int:
    raise ValueError("the password is hunter2")


@handler
async def starter(request: Request) -> Any:
    query = request.query
    if "key" in query:
        handle = await start_once(query["key"], double, int(query["n"]))
    elif "misfit" in query:
        handle = await start(double, "no number")  # type: ignore[arg-type]
    elif "missing" in query:
        await send("nobody:1", 1)
        raise AssertionError("it was sent to nobody")
    elif "failing" in query:
        handle = await start(failing)
    else:
        handle = await start(double, int(query["n"]))
    return {"workflow_id": handle.workflow_id, "result": await handle.result()}
