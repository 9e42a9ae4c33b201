"""Who reads what others publish."""

from typing import Any

from outlast import Request, Response, WorkflowHandle, handler, workflow


@handler
async def reading(request: Request) -> Response:
    """All of it, to the end."""
    handle = WorkflowHandle[Any](request.query["id"])
    first = await handle.event("progress", of=dict[str, int])
    told = [value async for value in handle.events("progress")]
    return Response({"first": first, "told": told})


@handler
def reading_blocking(request: Request) -> Response:
    handle = WorkflowHandle[Any](request.query["id"])
    return Response({"told": list(handle.events("progress"))})


@workflow
async def recorded(workflow_id: str) -> list[Any]:
    handle = WorkflowHandle[Any](workflow_id)
    return [value async for value in handle.events("progress")]
