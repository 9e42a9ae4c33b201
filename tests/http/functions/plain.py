"""A handler that answers in every way it may."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

from pydantic import BaseModel
from starlette.responses import JSONResponse, StreamingResponse

from outlast import HTTPException, Request, Response, handler


class Point(BaseModel):
    x: int
    y: float


async def _chunks(broken: bool = False) -> AsyncIterator[str]:
    yield "one,"
    yield "two"
    if broken:
        raise ValueError("the password is hunter2")


async def _use_a_closed_connection() -> None:
    """Of the function's own. uvloop complains of it as it does of a client's that has gone."""
    ours, theirs = socket.socketpair()
    _, writer = await asyncio.open_unix_connection(sock=ours)
    writer.close()
    await writer.wait_closed()
    theirs.close()
    writer.write(b"x")


@handler
async def plain(request: Request) -> Any:
    kind = request.query.get("kind", "echo")
    if kind == "stale":
        await _use_a_closed_connection()
    if kind == "raise":
        raise ValueError("the password is hunter2")
    if kind == "refuse":
        raise HTTPException(403, "not today", {"x-mine": "yes"})
    if kind == "refuse-json":
        raise HTTPException(422, {"why": ["because"]})
    if kind == "misuse":
        return Response("x", 999)
    answers: dict[str, Callable[[], Any]] = {
        "echo": lambda: {
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "body": request.body.decode("utf-8", "backslashreplace"),
            "authorization": request.headers.get("authorization"),
        },
        "text": lambda: "grüße",
        "bytes": lambda: b"\x00\xff",
        "none": lambda: None,
        "list": lambda: [1, 2.5, "ü", None],
        "model": lambda: Point(x=1, y=2.5),
        "response": lambda: Response({"made": True}, 201, {"x-mine": "yes"}),
        "empty": lambda: Response(status=204),
        "json": lambda: JSONResponse({"from": "starlette"}, 202),
        "stream": lambda: StreamingResponse(_chunks(), media_type="text/csv"),
        "broken-stream": lambda: StreamingResponse(_chunks(broken=True), media_type="text/csv"),
        "cors": lambda: Response("mine", headers={"access-control-allow-origin": "https://example.com"}),
        "nan": lambda: {"value": float("nan")},
        "object": lambda: {"value": object()},
    }
    return answers[kind]()
