"""Workflows that take the request itself, and one that says its whole answer."""

from outlast import Request, Response, workflow


@workflow
async def raw(request: Request) -> dict[str, object]:
    """Tell what came."""
    return {"method": request.method, "size": len(request.body), "query": dict(request.query)}


@workflow(methods=["POST"])
async def created(name: str) -> Response:
    """Answer 201."""
    return Response({"name": name}, 201, {"x-made": "yes"})


@workflow(methods=["GET", "POST"])
async def nothing() -> Response:
    """Answer 204."""
    return Response(status=204)
