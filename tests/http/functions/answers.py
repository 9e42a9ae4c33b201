"""Every way in which a workflow can end."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from _shared.gates import witness  # type: ignore[import-not-found]
from pydantic import BaseModel

from outlast import HTTPException, Request, Response, handler, step, workflow


@workflow
async def reach_out() -> None:
    async with asyncio.TaskGroup() as group:  # as anyio does, and so httpx
        group.create_task(asyncio.get_running_loop().create_connection(asyncio.Protocol, "127.0.0.1", 1))


@workflow
async def value(value: Any, key: str = "") -> Any:
    witness(key or "value")
    return value


@workflow
async def nothing() -> None:
    return None


@workflow
async def respond(kind: str) -> Any:
    return {
        "text": lambda: Response("grüße", 201, {"x-mine": "yes", "location": "/elsewhere"}),
        "json": lambda: Response({"b": 1, "a": [1.0, "ü"]}, 202),
        "html": lambda: Response("<p>hi</p>", headers={"content-type": "text/html"}),
        "bytes": lambda: Response(b"\x00\xff\xfe", headers=[("x-twice", "1"), ("x-twice", "2")]),
        "nul": lambda: Response("a\0b"),
        "nuls": lambda: Response(b"\0" * (3 << 20)),
        "empty": lambda: Response(),
        "no-content": lambda: Response(status=204),
        "no-content-json": lambda: Response({"never": "sent"}, 204),
        "redirect": lambda: Response(status=303, headers={"location": "https://example.com/"}),
        "unmodified": lambda: Response("gone", 304),
        "ours": lambda: Response("x", headers={"cache-control": "public", "workflow-id": "forged"}),
        "teapot": lambda: Response("short and stout", 418),
    }[kind]()


@workflow
async def bad_header(value: str, name: str = "x-mine") -> Any:
    return Response("never sent", headers={name: value})


@step
async def check(status: int, detail: Any) -> None:
    raise HTTPException(status, detail)


@workflow
async def refuse(status: int, detail: Any = None, in_step: bool = False, retry: bool = False) -> Any:
    if in_step:
        await check(status, detail)
    raise HTTPException(status, detail, {"retry-after": "7"} if retry else None)


class Why(BaseModel):
    why: str = "so"


DETAILS: dict[str, Any] = {
    "nan": {"ratio": float("nan")},
    "infinity": float("inf"),
    "times": {"at": datetime(2026, 1, 1, tzinfo=UTC), "id": UUID(int=1), "cents": Decimal("1.5")},
    "model": [Why()],
    "set": {7},
    "tuple": (1, 2),
    "numbered": {1: 2},
    "bytes": b"abc",
    "no text": b"\xff",
    "object": {"it": Why},
    "half a pair": "a\ud800",
    "nul": "a\0b",
}


@step
async def refuse_in_step(kind: str) -> None:
    raise HTTPException(409, DETAILS[kind])


@workflow
async def refuse_oddly(kind: str, in_step: bool = False) -> Any:
    if in_step:
        await refuse_in_step(kind)
    raise HTTPException(409, DETAILS[kind])


@workflow
async def refuse_in_child(kind: str) -> Any:
    return await refuse_oddly(kind)


@step
async def refuse_at_length() -> None:
    raise HTTPException(409, "x" * 200_000)


@workflow
async def refuse_long() -> Any:
    await refuse_at_length()


@handler
async def refuse_handled(request: Request) -> Any:
    raise HTTPException(409, DETAILS[request.query["kind"]])


@workflow
async def fail() -> Any:
    raise ValueError("the password is hunter2\nand more")


@workflow
async def unrecordable() -> Any:
    return object()
