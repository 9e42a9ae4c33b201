"""A Restate service of `n` steps: `python restate_app.py PORT`."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import hypercorn.asyncio  # type: ignore[import-not-found]
import restate  # type: ignore[import-not-found]
import uvloop

service = restate.Service("bench")


@service.handler()
async def steps(ctx: restate.Context, body: dict[str, Any]) -> dict[str, int]:
    size, length = body.get("size", 0), 0
    for number in range(body["n"]):
        text = await ctx.run_typed("one", lambda number=number: "x" * size if size else str(number))
        length += len(text)
    return {"n": body["n"], "length": length}


async def main() -> None:
    config = hypercorn.Config()
    config.bind = [f"127.0.0.1:{sys.argv[1]}"]
    await hypercorn.asyncio.serve(restate.app([service]), config)


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(main())
