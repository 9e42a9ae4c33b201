"""A TCP way to Postgres that breaks in every way networks do. It runs on the suite's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from typing import Literal

Direction = Literal["up", "down"]
_READY = b"Z\0\0\0\5"
"""How an answer ends: ReadyForQuery, before its one byte of status (Postgres manual, "Message Formats")."""

_CHUNK = 1 << 16


@dataclass
class Weather:
    """What befalls what passes now. `held` bytes arrive later, `swallowed` ones never."""

    delay_s: float = 0.0
    held: set[Direction] = field(default_factory=set)
    swallowed: set[Direction] = field(default_factory=set)
    calm: asyncio.Event = field(default_factory=asyncio.Event)


class Link:
    """One connection of a client, and the one to the server that it stands for."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._client = client
        self._server: asyncio.StreamWriter | None = None
        self._cut_after: bytes | None = None
        self._cut_instead: bytes | None = None
        self._answering = False
        self._cut = asyncio.Event()

    async def run(self, from_client: asyncio.StreamReader, path: str) -> None:
        """Forward until one side has ended, or `cut`."""
        from_server, self._server = await asyncio.open_unix_connection(path)
        up = asyncio.create_task(self._up(from_client))
        down = asyncio.create_task(self._down(from_server))
        cut = asyncio.create_task(self._cut.wait())
        await asyncio.wait((up, down, cut), return_when=asyncio.FIRST_COMPLETED)
        for task in (up, down, cut):
            task.cancel()
        await asyncio.gather(up, down, cut, return_exceptions=True)

    def cut(self) -> None:
        """Break it now, on both sides."""
        self._cut.set()

    def cut_after_answer(self, to: bytes) -> None:
        """Forward the next request that holds `to`, let the server do it, and break instead of its answer."""
        self._cut_after = to

    def cut_instead_of(self, answer: bytes) -> None:
        """Break instead of the next answer that holds `answer`."""
        self._cut_instead = answer

    def disarm(self) -> None:
        """Don't, unless it has begun already."""
        self._cut_after = self._cut_instead = None

    @property
    def armed(self) -> bool:
        """Whether it is about to be cut at an answer."""
        return self._cut_after is not None or self._cut_instead is not None or self._answering

    def close(self) -> None:
        """Let both sides go at once."""
        for writer in (self._client, self._server):
            if writer is not None:
                writer.transport.abort()

    async def _up(self, reader: asyncio.StreamReader) -> None:
        assert self._server is not None
        while data := await _read(reader):
            if self._cut_after is not None and self._cut_after in data:
                self._cut_after, self._answering = None, True
            if await self._proxy.passes("up"):
                self._server.write(data)  # though the client may be gone by now, as on a real network
                await self._server.drain()

    async def _down(self, reader: asyncio.StreamReader) -> None:
        while data := await _read(reader):
            if self._cut_instead is not None and self._cut_instead in data:
                self._answering = True
            if self._answering:
                if data[-6:-1] == _READY:
                    self._proxy.answers_cut += 1
                    return
                continue
            if await self._proxy.passes("down"):
                with contextlib.suppress(ConnectionError):
                    self._client.write(data)
                    await self._client.drain()


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(_CHUNK)
    except ConnectionError:
        return b""


class Proxy:
    """Forwards connections to the server's unix socket at `path`."""

    def __init__(self, path: str) -> None:
        self.links: set[Link] = set()
        self.answers_cut = 0
        self.port = 0
        self._path = path
        self._weather = Weather()
        self._door: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen, on the same port as before if it was open once."""
        self._door = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._door.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Refuse new connections; those that are stay."""
        if self._door is not None:
            self._door.close()
            self._door = None

    async def close(self) -> None:
        """Refuse all and break all."""
        await self.shut()
        self.cut_all()

    def cut_all(self) -> int:
        """Break every connection; how many."""
        links = list(self.links)
        for link in links:
            link.cut()
        return len(links)

    def some(self, rng: random.Random) -> Link | None:
        """Any connection that isn't about to be cut already."""
        free = sorted((each for each in self.links if not each.armed), key=id)
        return rng.choice(free) if free else None

    async def slow(self, delay_s: float, for_s: float) -> None:
        """Everything that passes takes so much longer, for a while."""
        weather = self._weather
        weather.delay_s = delay_s
        try:
            await asyncio.sleep(for_s)
        finally:
            weather.delay_s = 0.0

    async def hold(self, directions: set[Direction], for_s: float) -> None:
        """What is sent arrives later, though its sender may have given up and gone."""
        await self._storm(Weather(held=directions), for_s)

    async def swallow(self, directions: set[Direction], for_s: float) -> None:
        """What is sent never arrives, and nobody is told; in the end the connections break."""
        try:
            await self._storm(Weather(swallowed=directions), for_s)
        finally:
            self.cut_all()

    async def _storm(self, weather: Weather, for_s: float) -> None:
        self._weather = weather
        try:
            await asyncio.sleep(for_s)
        finally:
            weather.calm.set()
            if self._weather is weather:
                self._weather = Weather()

    async def passes(self, direction: Direction) -> bool:
        """Wait as long as what goes this way has to; whether it arrives."""
        weather = self._weather
        if direction in weather.swallowed:
            return False
        if direction in weather.held:
            await weather.calm.wait()
        if weather.delay_s:
            await asyncio.sleep(weather.delay_s)
        return True

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(self, writer)
        self.links.add(link)
        try:
            await link.run(reader, self._path)
        except OSError:
            pass  # the server isn't there: so it seems to the client too
        finally:
            self.links.discard(link)
            link.close()
