"""Server-sent events on their way to a client (HTML, 9.2)."""

from __future__ import annotations

from starlette.types import Send

from outlast.web.http.documents import Verbatim

EVENT_STREAM = (b"content-type", b"text/event-stream")


async def send_event(send: Send, kind: str, data: Verbatim, number: int | None = None) -> None:
    """Send one event. Line breaks of JSON, which are only between values, become spaces."""
    lines = [f"event: {kind}"] + ([f"id: {number}"] if number is not None else [])
    line = data.json.replace(b"\n", b" ").replace(b"\r", b" ")
    text = b"%s\ndata: %s\n\n" % ("\n".join(lines).encode(), line)
    await send({"type": "http.response.body", "body": text, "more_body": True})


async def send_comment(send: Send, text: str) -> None:
    """Send a comment, which clients ignore: a sign of life."""
    await send({"type": "http.response.body", "body": f": {text}\n\n".encode(), "more_body": True})
