"""The proxy breaks connections as networks do."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.torture.proxy import Proxy

_READY = b"Z\0\0\0\5I"

Case = tuple[Proxy, asyncio.StreamReader, asyncio.StreamWriter, list[bytes]]


async def _read(reader: asyncio.StreamReader) -> bytes:
    """What comes; nothing when the connection has ended, however it did."""
    try:
        return await reader.read(1000)
    except ConnectionError:
        return b""


@asynccontextmanager
async def echoing(folder: Path) -> AsyncIterator[Case]:
    """A client behind the proxy; the server writes down what it is asked, and says that it is ready."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await _read(reader):
            asked.append(data)
            writer.write(_READY)
        writer.close()

    server = await asyncio.start_unix_server(serve, folder / "socket")
    proxy = Proxy(str(folder / "socket"))
    await proxy.open()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        writer.write(b"hello")
        assert await reader.read(1000) == _READY
        yield proxy, reader, writer, asked
    finally:
        writer.close()
        await proxy.close()
        async with asyncio.timeout(5):
            while proxy.links:
                await asyncio.sleep(0.01)
        server.close()


async def test_the_proxy_cuts_between_a_request_and_its_answer(tmp_path: Path) -> None:
    async with echoing(tmp_path) as (proxy, reader, writer, asked):
        link = proxy.some(random.Random(1))
        assert link is not None
        link.cut_after_answer(b"COMMIT")
        writer.write(b"COMMIT")
        assert await _read(reader) == b""
        assert asked == [b"hello", b"COMMIT"]
        assert proxy.answers_cut == 1


async def test_the_proxy_delivers_late_what_its_sender_gave_up(tmp_path: Path) -> None:
    async with echoing(tmp_path) as (proxy, _, writer, asked):
        holding = asyncio.create_task(proxy.hold({"up"}, 0.2))
        await asyncio.sleep(0)
        writer.write(b"late")
        await writer.drain()
        writer.close()
        assert asked == [b"hello"]
        await holding
        async with asyncio.timeout(5):
            while asked != [b"hello", b"late"]:
                await asyncio.sleep(0.01)


async def test_the_proxy_swallows_one_direction(tmp_path: Path) -> None:
    async with echoing(tmp_path) as (proxy, reader, writer, asked):
        swallowing = asyncio.create_task(proxy.swallow({"down"}, 0.2))
        await asyncio.sleep(0)
        writer.write(b"done")
        assert await _read(reader) == b""
        await swallowing
        assert asked == [b"hello", b"done"]


async def test_the_proxy_refuses_and_is_back_on_its_port(tmp_path: Path) -> None:
    async with echoing(tmp_path) as (proxy, _, _, _):
        port = proxy.port
        await proxy.shut()
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)
        await proxy.open()
        assert proxy.port == port
        (await asyncio.open_connection("127.0.0.1", port))[1].close()
