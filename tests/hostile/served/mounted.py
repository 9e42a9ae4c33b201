"""An ASGI application."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def item(request: Request) -> JSONResponse:
    return JSONResponse({"id": request.path_params.get("id"), "size": len(await request.body())})


_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
app = Starlette(routes=[Route("/", item, methods=_METHODS), Route("/{id:path}", item, methods=_METHODS)])
