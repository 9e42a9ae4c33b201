"""Clients that begin a request and never end it: they are refused, and let go."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from outlast.host import protocol
from outlast.host.connections import Connections
from outlast.web.http.answers import Answer, Reply

LARGE = b"x" * 32 * 2**20
"""More than the sockets of both sides hold."""


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """A server that is soon out of patience; it answers the size of the body."""
    monkeypatch.setattr(protocol, "SILENT_S", 0.3)
    monkeypatch.setattr(protocol, "HEAD_S", 0.3)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message["body"])
            more = message["more_body"]
            if scope["path"] == "/large":
                await Answer(200, LARGE).send(Reply(send, []))
                return
            if scope["path"] == "/slow":
                await asyncio.sleep(0.5)  # longer than the client may be silent; it isn't, nobody reads
        body = str(size).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    spoken = protocol.protocol_of(Connections(100, lambda _: None), lambda *_: None)
    config = uvicorn.Config(app, http=spoken, lifespan="off", log_config=None, ws="none")
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    yield listener.getsockname()[1]
    await server.shutdown(sockets=[listener])


async def answered(port: int, *pieces: bytes, every_s: float = 0.0) -> bytes:
    """All that comes until the server ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(every_s)
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


HEAD = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\nconnection: close\r\n\r\n"


async def test_a_client_that_says_nothing_is_let_go(port: int) -> None:
    assert await answered(port) == b""


@pytest.mark.parametrize("said", [b"POST / HT", HEAD[:-2], HEAD, HEAD + b"ab"])
async def test_a_request_that_stops_is_refused(port: int, said: bytes) -> None:
    got = await answered(port, said)
    assert got.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b'"code":"request_timeout"' in got
    what = b"its body came no further for 0.3 s" if HEAD in said else b"its head was not whole within 0.3 s"
    assert what in got


async def test_a_head_that_trickles_is_refused(port: int) -> None:
    """However long it is: what ends the loop is the server."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nx: ")
    for _ in range(1000):
        writer.write(b"y")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.02):
                got = await reader.read(12)
                break
    else:
        pytest.fail("it may trickle on")
    assert got == b"HTTP/1.1 408"
    writer.close()


async def test_a_body_that_trickles_is_read(port: int) -> None:
    assert (await answered(port, HEAD, b"a", b"b", b"c", b"d", every_s=0.15)).endswith(b"\r\n\r\n4")


async def test_a_client_that_waits_for_us_is_not_silent(port: int) -> None:
    body = b"x" * 1_000_000
    head = HEAD.replace(b"POST /", b"POST /slow").replace(b": 4", b": 1000000")
    assert (await answered(port, head + body)).endswith(b"1000000")


async def test_a_whole_request_may_be_answered_late_and_followed_by_silence(port: int) -> None:
    kept = HEAD.replace(b"connection: close\r\n", b"")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(2):
        writer.write(kept + b"abcd")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(1) == b"4"
        await asyncio.sleep(0.5)  # an idle connection is another's affair: the keep-alive timeout
    writer.close()


async def test_what_follows_a_refusal_costs_no_other_request_its_answer(port: int) -> None:
    """The last of four breaks off: it alone is dropped, whatever comes behind."""
    slow = b"GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(slow * 3 + HEAD.replace(b"content-length: 4", b"transfer-encoding: chunked"))
        got = await reader.readuntil(b"\r\n\r\n0")  # until then nothing more is read
        for _ in range(3):
            writer.write(b"zz\r\n")
            await asyncio.sleep(0.1)
        async with asyncio.timeout(10):
            got += await reader.read()
    finally:
        writer.close()
    assert got.count(b"HTTP/1.1 200") == 3


async def test_a_client_that_reads_nothing_of_a_large_answer_is_cut_off(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
    writer.write(b"GET /large HTTP/1.1\r\nhost: here\r\n\r\n")
    await asyncio.sleep(1)  # what we don't do here is reading
    size = 0
    with contextlib.suppress(ConnectionResetError):
        async with asyncio.timeout(10):
            while data := await reader.read(2**20):
                size += len(data)
    writer.close()
    assert size < len(LARGE)


async def test_one_that_reads_slowly_gets_all_of_it(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Shorter than all of it takes, and longer than a busy machine lets this process wait.
    monkeypatch.setattr(protocol, "SILENT_S", 1.5)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /large HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n")
    size = 0
    async with asyncio.timeout(10):
        while data := await reader.read(4 * 2**20):
            size += len(data)
            await asyncio.sleep(0.01)
    writer.close()
    assert size > len(LARGE)
