"""HTTP as uvicorn speaks it over httptools, with what that lacks.

It adds a limit for heads, readable refusals, and a watch on connections that the client has half closed.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import ClassVar

import httptools
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from outlast.host.answering import AnsweringTransport
from outlast.host.connections import Connections
from outlast.host.upgrades import framing_of, parser_behind
from outlast.web.callers.origins import EVERYWHERE
from outlast.web.http.problems import Problem
from outlast.web.http.requests import PROBES

HEAD_BYTES_MAX = 128 * 1024
"""Limit for request line and header fields together; more than any proxy lets through."""

HEAD_S = 15.0
"""How long a request may take to send its head."""

SILENT_S = 60.0
"""How long it may send no more of its body, or leave much of an answer unread."""

LOOK_S = 1.0
"""How often to check whether the connection still exists. Nothing is read any more, so no event tells."""

PROBE_S = 15
"""After this many seconds without a byte, TCP probes the client, and again as often. A lost client resets."""

_GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL
"""Both directions are closed, by a reset. If only the client has closed, none of these is set."""

BUSY = Problem(
    "overloaded",
    "this instance has as many connections open as it may; try again",
    headers=(("retry-after", "1"), ("connection", "close")),
)

TellRefused = Callable[[str, int, str], None]
"""Called with each answer given without the application: the client's address, status, code."""


class Protocol(HttpToolsProtocol):
    """One connection. See `protocol_of`."""

    @staticmethod
    def tell_refused(client: str, status: int, code: str) -> None:
        """Do nothing; `protocol_of` replaces it."""

    places: ClassVar[Connections]
    """All connections of this process."""

    _for_probes = False
    """Whether there are too many connections, so that this one may only ask about health."""
    _reading_head = True
    _head_bytes = 0
    _patience: asyncio.TimerHandle | None = None
    _refused = False
    """Whether a request was refused: nothing after it is read."""
    _half_closed: HalfClosed | None = None
    _unread: asyncio.TimerHandle | None = None
    """Runs while the client leaves much of an answer unread."""
    _answering: RequestResponseCycle | None = None
    """The request that is answered now; `cycle` is the last that arrived, and may wait for its turn."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected. It must send a request soon."""
        self._answers = AnsweringTransport(transport, self.loop, self._client_sends)
        super().connection_made(self._answers)  # type: ignore[arg-type]
        self._for_probes = not self.places.admit(self)
        if self._for_probes:
            self.app = probes_alone(self.app, self.tell_refused)
        if self.places.is_beyond():
            self._answer_and_close(BUSY)
        else:
            self._be_patient()

    def cut_off(self) -> None:
        """End the connection, because others need its place."""
        self._refused = True
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self.places.forget(self)
        self._end_patience()
        self._read_at_last()
        self._answers.lost()
        if self._half_closed is not None:
            self._half_closed.end()
        self._gone()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless something was refused, or the last answer was sent."""
        if self._answers.draining:
            self._answers.drain(data)
        elif not self._refused:
            self._read(data)

    def _client_sends(self) -> bool:
        """Whether more of a body may follow. A client that sends an endless head is cut off."""
        return not self._reading_head

    def _read(self, data: bytes) -> None:
        """Read on, unless the head of the request grows too large, and set how long the rest may take."""
        if not self._reading_head:
            self._end_patience()
        self.places.head_begins(self)
        self._head_bytes += len(data)
        self._feed(data)
        if self._refused:
            return
        if self._reading_head and not self._head_bytes:
            self._end_patience()  # everything that arrived was complete
        elif self._patience is None and not self.transport.is_closing():
            self._be_patient()
        if not self._reading_head:
            self._head_bytes = 0
        elif self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            detail = f"the header is larger than {HEAD_BYTES_MAX} bytes; send less"
            self._refuse(Problem("header_too_large", detail))

    def _feed(self, data: bytes) -> None:
        """Feed the parser as uvicorn does, and go on after a head that asks for an upgrade."""
        self._unset_keepalive_if_required()
        while not self._refused:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserError:
                self.send_400_response("")
            except httptools.HttpParserUpgrade as upgrade:
                self.parser, head = parser_behind(self, framing_of(self.headers))
                data = head + data[upgrade.args[0] :]
                continue
            return

    def on_headers_complete(self) -> None:
        """The parser's callback: a body may follow."""
        super().on_headers_complete()
        self._reading_head = False
        self.places.head_complete(self)
        if self._for_probes:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The parser's callback: the next request may follow."""
        # guard: bodies-behind-upgrades
        if self.parser.should_upgrade() and framing_of(self.headers):
            return  # the next parser reads its body
        self._reading_head = True
        self._head_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer was sent: unless the next is due, this connection waits for a request."""
        self._answers.flush()
        super().on_response_complete()
        if self._answering is None or self._answering.response_complete:
            self.places.await_head(self)

    def pause_writing(self) -> None:
        """The client reads more slowly than the host writes. It must read most of the buffer in time."""
        # guard: reader-that-takes-nothing
        self._unread = self.loop.call_later(SILENT_S, self.cut_off)
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client has read enough, so writing goes on."""
        self._read_at_last()
        super().resume_writing()

    def _read_at_last(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more.

        After complete requests it may wait for answers, otherwise it has left.
        """
        cycle = self.cycle
        whole = self._reading_head and cycle is not None and not cycle.response_complete
        if not whole or self._refused or self.transport.is_closing():
            self._gone()
            return False
        self._refused = True  # half a head may have arrived
        self._end_patience()
        cycle.keep_alive = False
        self._half_closed = HalfClosed(self._answers, self.loop, self._left)  # type: ignore[arg-type]
        return True

    def _left(self) -> None:
        """The client has closed the other direction, too."""
        self._gone()
        self.transport.abort()

    def _gone(self) -> None:
        """Tell the code that answers the client now, not after a write to a closed connection."""
        for cycle in (self._answering, self.cycle):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()

    def send_400_response(self, msg: str) -> None:
        """Uvicorn calls this for an invalid request."""
        self._refuse(Problem("invalid_http", "the request breaks the rules of HTTP/1.1"))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _be_patient(self) -> None:
        patience_s = HEAD_S if self._reading_head else SILENT_S
        self._patience = self.loop.call_later(patience_s, self._silent)

    def _end_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _silent(self) -> None:
        """The rest of the request didn't arrive in time. That doesn't count while reading is paused."""
        self._patience = None
        if self.transport.is_closing():
            return
        if not self._reading_head and self.flow.read_paused:
            self._be_patient()
        elif self._reading_head and not self._head_bytes:
            self.transport.close()  # no request was begun
        else:
            head = f"its head was not whole within {HEAD_S:g} s"
            late = head if self._reading_head else f"its body came no further for {SILENT_S:g} s"
            detail = f"the request was given up: {late}"
            self._refuse(Problem("request_timeout", detail))

    def _refuse(self, problem: Problem) -> None:
        """Answer a request that can't be read on, in its turn, and close.

        Answers are sent in the order of requests. If an earlier request isn't answered yet, this one gets no
        answer, and the connection ends after the earlier answer.
        """
        self._refused = True
        self._end_patience()
        answering = self._answering
        if answering is not None and not self._reading_head and answering is self.cycle:
            begun = answering.response_started
            answering.disconnected = True  # its body can't be read, so the code that answers it may stop
            if begun:
                self.transport.close()
                return
        elif answering is not None and not answering.response_complete:
            if not self._reading_head:
                self.pipeline.popleft()  # the request that arrived last is the unreadable one
            last = self.pipeline[0][0] if self.pipeline else answering
            last.keep_alive = False
            return
        self._answer_and_close(problem)

    def _answer_and_close(self, problem: Problem) -> None:
        self.places.await_head(self)
        answer = problem.answer()
        self.tell_refused(self.client[0] if self.client else "", answer.status, problem.code)
        phrase = HTTPStatus(answer.status).phrase
        headers = [*answer.headers, *EVERYWHERE, (b"content-length", b"%d" % len(answer.body))]
        head = b"".join(b"%s: %s\r\n" % pair for pair in [*headers, (b"connection", b"close")])
        self.transport.write(f"HTTP/1.1 {answer.status} {phrase}\r\n".encode() + head + b"\r\n" + answer.body)
        self.transport.close()


def protocol_of(places: Connections, told: TellRefused) -> type[Protocol]:
    """The protocol class of one instance: `places` counts its connections, `told` logs refused requests."""
    return type("Protocol", (Protocol,), {"tell_refused": staticmethod(told), "places": places})


class HalfClosed:
    """A connection whose client has closed its sending side. Calls `gone` once when the client has left.

    In TCP a client that waits and one that has left look alike at first (RFC 9293, section 3.6). A client
    that has left answers data with a reset. While nothing is written, TCP sends probes. The client's system
    answers them with a reset, too, once it has forgotten the connection, which takes Linux a minute.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, gone: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._gone = gone
        self._socket: socket.socket = transport.get_extra_info("socket")
        self._poll = select.poll()
        self._poll.register(self._socket.fileno(), 0)
        with suppress(OSError, AttributeError):  # not every system can set when to probe
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, PROBE_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        self._next = loop.call_later(LOOK_S, self._look)

    def end(self) -> None:
        """Stop looking: the connection has ended."""
        self._next.cancel()

    def _look(self) -> None:
        if any(events & _GONE for _, events in self._poll.poll(0)):
            self._gone()
        else:
            self._next = self._loop.call_later(LOOK_S, self._look)


def probes_alone(app: ASGIApp, refused: TellRefused) -> ASGIApp:
    """Return `app` for a connection beyond the limit: it answers health checks, and 503 to all else."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        # guard: reserve-for-everything = True
        if scope["path"] in PROBES:
            await app(scope, receive, send)
            return
        client = scope.get("client")
        refused(client[0] if client else "", BUSY.status, BUSY.code)
        refusal = BUSY.answer()
        refusal.headers += EVERYWHERE
        await refusal.send(send)

    return answer
