"""A plain Starlette endpoint on the host's own server settings: `python plain.py PORT`."""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def one(number: int, size: int) -> str:
    """What the durable workflow does in a step."""
    return "x" * size if size else str(number)


async def steps(request: Request) -> JSONResponse:
    """The same work as the durable workflow, with nothing recorded."""
    body = await request.json()
    n, length = body["n"], 0
    for number in range(n):
        length += len(await one(number, body.get("size", 0)))
    return JSONResponse({"n": n, "length": length})


def main() -> None:
    """Serve."""
    uvicorn.run(
        Starlette(routes=[Route("/steps", steps, methods=["POST"])]),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        timeout_keep_alive=65,
        backlog=2048,
    )


if __name__ == "__main__":
    main()
