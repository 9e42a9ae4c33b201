"""Server-sent events for a client (HTML, 9.2), with emitted values between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import Send

from outlast.core.events import Emission
from outlast.engine.engine import Engine
from outlast.engine.waits.emissions import Listener
from outlast.web.http.documents import Verbatim, document

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


class Emitted:
    """Emitted values of a workflow. Each waits until the records that precede it were told."""

    def __init__(self, listener: Listener | None, send: Send) -> None:
        self._listener = listener
        self._send = send
        self._waiting: deque[Emission] = deque()
        self._dropped = 0
        self._looked = 0
        """The completion order up to which the existing records have been told."""

    @property
    def listens(self) -> bool:
        """Whether any values may come."""
        return self._listener is not None

    @property
    def ahead(self) -> bool:
        """Whether there are values to tell whose preceding records must be read first."""
        if self._waiting:
            return self._waiting[0].after > self._looked
        return self._listener is not None and self._listener.after > self._looked

    @property
    def known(self) -> int:
        """Values that came before the record of this completion order may be told now."""
        return self._looked + 1

    async def arrival(self) -> None:
        """Wait for a value. Only if it `listens`."""
        assert self._listener is not None
        await self._listener.arrival()

    def newest(self) -> int:
        """The newest record that this instance knows of. Ask before reading records."""
        return self._looked if self._listener is None else max(self._looked, self._listener.after)

    async def tell(self, before: int) -> bool:
        """Tell the values that came before the record of this completion order; whether there were any."""
        if not self._waiting and self._listener is not None:
            self._dropped, self._waiting = self._listener.take()
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            await send_event(self._send, "dropped", document({"count": dropped}))
        told = False
        # guard: emitted-out-of-order without 2
        while self._waiting and self._waiting[0].after < before:
            told = True
            await send_event(self._send, "emitted", _document(self._waiting.popleft()))
        return told

    def looked(self, newest: int) -> None:
        """The durable records up to this number have been told."""
        self._looked = newest


@contextmanager
def emitted_by(engine: Engine, workflow_id: str, send: Send, *, told: bool) -> Iterator[Emitted]:
    """The values that this workflow's steps emit from now on; none unless they are `told`."""
    if not told:
        yield Emitted(None, send)
        return
    with engine.emissions.listening(workflow_id) as listener:
        yield Emitted(listener, send)


def _document(emission: Emission) -> Verbatim:
    fields = emission._asdict() | {"value": Verbatim(emission.value.encode())}
    del fields["after"]
    return document(fields)
