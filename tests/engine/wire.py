"""A proxy between a client and Postgres that reads along: which statements, how many round trips and commits.

It stands on a unix socket of its own and knows as much of the protocol as that takes (Postgres manual,
"Message Formats").
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import struct
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

_SPACE = re.compile(r"\s+")


@dataclass
class Traffic:
    """What crossed the wire since the last `reset`."""

    statements: Counter[str] = field(default_factory=Counter)
    """How often each statement was run; white space is collapsed."""
    round_trips: int = 0
    """How often a client had to wait for the server to be ready again."""
    transactions: int = 0
    """How many transactions ended, read-only ones too."""

    def reset(self) -> None:
        """Begin anew."""
        self.statements.clear()
        self.round_trips = self.transactions = 0

    def count(self, part: str) -> int:
        """How many statements with `part` in their text were run."""
        return sum(count for text, count in self.statements.items() if part in text)

    def others(self, *parts: str) -> list[str]:
        """The statements that have none of `parts` in their text."""
        return [text for text in self.statements if not any(part in text for part in parts)]


class _Client:
    """Reads what a client sends: a startup message without a type, then typed messages."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._buffer = b""
        self._started = False
        self._prepared: dict[bytes, str] = {}

    def feed(self, data: bytes) -> None:
        """Take what was sent."""
        self._buffer += data
        while True:
            skip = 1 if self._started else 0
            if len(self._buffer) < skip + 4:
                return
            (length,) = struct.unpack_from("!i", self._buffer, skip)
            if len(self._buffer) < skip + length:
                return
            kind, body = self._buffer[:skip], self._buffer[skip + 4 : skip + length]
            self._buffer = self._buffer[skip + length :]
            if not self._started:
                # SSLRequest and GSSENCRequest come before the startup message itself.
                self._started = body[:2] == b"\0\3"
            else:
                self._message(kind, body)

    def _message(self, kind: bytes, body: bytes) -> None:
        if kind == b"Q":
            self._ran(body[:-1].decode())
        elif kind == b"P":
            name, text, _ = body.split(b"\0", 2)
            self._prepared[name] = text.decode()
        elif kind == b"B":
            _, name, _ = body.split(b"\0", 2)
            self._ran(self._prepared[name])

    def _ran(self, text: str) -> None:
        self._traffic.statements[_SPACE.sub(" ", text).strip()] += 1


class _Server:
    """Reads what the server answers: ReadyForQuery ends a round trip, and idle in it a transaction."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._buffer = b""
        self._greeted = False

    def feed(self, data: bytes) -> None:
        """Take what was answered."""
        self._buffer += data
        while len(self._buffer) >= 5:
            (length,) = struct.unpack_from("!i", self._buffer, 1)
            if len(self._buffer) < 1 + length:
                return
            if self._buffer[:1] == b"Z":
                if self._greeted:  # the first one ends the log-in
                    self._traffic.round_trips += 1
                    self._traffic.transactions += self._buffer[5:6] == b"I"
                self._greeted = True
            self._buffer = self._buffer[1 + length :]


@contextlib.asynccontextmanager
async def reading_along(url: str, folder: Path) -> AsyncIterator[tuple[str, Traffic]]:
    """The URL of a proxy before the database at `url` (on a unix socket), and what passes through it."""
    given = conninfo_to_dict(url)
    name = f".s.PGSQL.{given.get('port', 5432)}"
    traffic = Traffic()
    tasks: set[asyncio.Task[None]] = set()

    async def copy(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ear: _Client | _Server
    ) -> None:
        try:
            while data := await reader.read(65536):
                ear.feed(data)
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = await asyncio.open_unix_connection(f"{given['host']}/{name}")
        for each in (
            copy(reader, upstream[1], _Client(traffic)),
            copy(upstream[0], writer, _Server(traffic)),
        ):
            task = asyncio.get_running_loop().create_task(each)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server = await asyncio.start_unix_server(connected, f"{folder}/{name}")
    try:
        yield make_conninfo(url, host=str(folder)), traffic
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
