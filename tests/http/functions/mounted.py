"""An ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator

from _shared.gates import witness  # type: ignore[import-not-found]
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from outlast import start, workflow


@workflow
async def triple(n: int) -> int:
    return 3 * n


async def home(request: Request) -> Response:
    return PlainTextResponse("home")


async def item(request: Request) -> Response:
    document = {"id": request.path_params["id"], "root": request.scope["root_path"], "url": str(request.url)}
    return JSONResponse({**document, "link": str(request.url_for("item", id="2"))})


async def upload(request: Request) -> Response:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return JSONResponse({"size": size})


async def stream(request: Request) -> Response:
    async def chunks() -> AsyncIterator[str]:
        for number in range(3):
            yield f"{number}\n"

    return StreamingResponse(chunks(), media_type="text/plain")


async def fail(request: Request) -> Response:
    raise ValueError("the password is hunter2")


async def break_off(request: Request) -> Response:
    async def chunks() -> AsyncIterator[str]:
        yield "some"
        raise ValueError("the password is hunter2")

    return StreamingResponse(chunks(), media_type="text/plain")


async def begin(request: Request) -> Response:
    handle = await start(triple, int(request.query_params["n"]))
    return JSONResponse({"workflow_id": handle.workflow_id, "result": await handle.result()})


async def talk(socket: WebSocket) -> None:
    witness("websocket")
    await socket.accept()
    await socket.close()


app = Starlette(
    routes=[
        Route("/", home),
        Route("/items/{id:path}", item, name="item"),
        Route("/upload", upload, methods=["POST", "PUT"]),
        Route("/stream", stream),
        Route("/fail", fail),
        Route("/break-off", break_off),
        Route("/begin", begin, methods=["POST"]),
        WebSocketRoute("/talk", talk),
    ]
)
