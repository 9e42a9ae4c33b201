"""Handlers, awaited and in a thread."""

from pydantic import BaseModel

from outlast import HTTPException, Request, handler, start, workflow


class Point(BaseModel):
    x: int
    y: int


@workflow
async def _double(n: int) -> int:
    return 2 * n


@handler
async def plain(request: Request) -> Point:
    """A point out of the query."""
    return Point(x=len(request.query), y=len(request.body))


@handler(methods=["POST"])
def counted(request: Request) -> dict[str, int]:
    """The size of the body."""
    return {"size": len(request.body)}


@handler(methods=["POST", "PUT"])
async def strict(request: Request) -> object:
    """The kind of JSON that came, or 400."""
    try:
        return {"kind": type(await request.json()).__name__}
    except ValueError:
        raise HTTPException(400, "no JSON") from None


@handler(methods=["POST"])
async def starting(request: Request) -> int:
    """What a workflow makes of the size of the body."""
    handle = await start(_double, len(request.body))
    return await handle.result()
