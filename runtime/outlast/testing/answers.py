"""The answer to a call over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import from_json

from outlast.core.errors import UsageError
from outlast.sdk.http import Headers
from outlast.testing.asking import Asked
from outlast.testing.runs import Run
from outlast.testing.worlds import World

if TYPE_CHECKING:
    from outlast.web.http.answers import Kept


class ServerEvent(NamedTuple):
    """An event of a stream (`text/event-stream`). `data` is its decoded JSON."""

    event: str
    data: Any
    id: str | None


class Answer(Asked):
    """A complete HTTP answer. In an `async def` test it is available once it was awaited."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self._status = 0
        self._headers = Headers()
        self._body = b""

    @property
    def status(self) -> int:
        """The status code."""
        self._check_asked()
        return self._status

    @property
    def headers(self) -> Headers:
        """Header fields, by name in any case."""
        self._check_asked()
        return self._headers

    @property
    def body(self) -> bytes:
        """The whole body."""
        self._check_asked()
        return self._body

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The decoded body. Raises ValueError if it is no JSON."""
        return from_json(self.body)

    @property
    def events(self) -> list[ServerEvent]:
        """The events of an answer to `accept: text/event-stream`, up to its end, or until the client left."""
        return [_event(block) for block in self.text.split("\n\n") if block and not block.startswith(":")]

    @property
    def run(self) -> Run:
        """The workflow that the call started or attached to. Raises UsageError if there is none."""
        workflow_id = self.headers.get("workflow-id")
        if workflow_id is None:
            raise UsageError(f"this answer is not of a workflow: {self!r}")
        return Run._begun(self._world, workflow_id)

    def __repr__(self) -> str:
        if not self._asked:
            return "<an answer that was not awaited>"
        return f"<answer {self._status}: {self.text[:300]}>"

    def _fill(self, kept: Kept) -> None:
        pairs = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in kept.headers)
        self._status, self._headers, self._body = kept.status, Headers(pairs), kept.body
        self._asked = True


def _event(block: str) -> ServerEvent:
    fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
    return ServerEvent(
        fields.get("event", "message"), from_json(fields.get("data", "null")), fields.get("id")
    )
