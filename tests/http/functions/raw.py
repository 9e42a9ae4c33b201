"""An ASGI application without a framework around it."""

from typing import Any

from outlast import start, workflow


@workflow
async def again() -> None:
    return None


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"].endswith("/silent"):
        return
    if scope["path"].endswith("/raise"):
        raise ValueError("the password is hunter2")
    if scope["path"].endswith("/begin"):
        await start(again)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    if scope["path"].endswith("/half"):
        await send({"type": "http.response.body", "body": b"o"})
    await send({"type": "http.response.body", "body": b"ok"})
