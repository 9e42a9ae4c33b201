"""What a server or a pooler says when it ends a connection in the midst of a command of the driver's own."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from outlast.core.ports import Fence, TransactionWork, Unreachable
from outlast.core.records import StepRecord
from tests.store.harness import rows, start, step, store_of


def _message(kind: bytes, body: bytes) -> bytes:
    """Postgres manual, "Message Formats"."""
    return kind + struct.pack("!i", len(body) + 4) + body


FATAL = _message(b"E", b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0")
LAST_WORDS = {
    "an answer and the end": _message(b"C", b"COMMIT\0") + FATAL,
    "the end, twice": FATAL + FATAL,
    "the end": FATAL,
}


@asynccontextmanager
async def ending_at(url: str, command: bytes, *, done: bool, words: bytes) -> AsyncIterator[str]:
    """A way to the server that ends at the first `command`, with these words; whether that was done first."""
    given = conninfo_to_dict(url)
    path = f"{given['host']}/.s.PGSQL.{given['port']}"
    left = 1
    relays: set[asyncio.Task[Any]] = set()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        relays.add(task)
        try:
            from_server, to_server = await asyncio.open_unix_connection(path)
            try:
                await forward(reader, writer, from_server, to_server)
            finally:
                to_server.transport.abort()
        finally:
            writer.close()
            relays.discard(task)

    async def forward(
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        from_server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        nonlocal left
        answering = asyncio.create_task(_copy(from_server, writer))
        try:
            while request := await reader.read(65536):
                if command not in request or not left:
                    to_server.write(request)
                    continue
                left -= 1
                answering.cancel()
                await asyncio.wait([answering])  # until then it is the one who reads
                if done:
                    to_server.write(request)
                    await from_server.read(65536)
                writer.write(words)
                return
        finally:
            answering.cancel()

    door = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        yield make_conninfo(url, host="127.0.0.1", port=str(door.sockets[0].getsockname()[1]))
    finally:
        door.close()
        async with asyncio.timeout(5):  # the store has closed its connections, and they come to know of it
            while relays:
                await asyncio.sleep(0.01)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)


async def _insert(connection: Any) -> StepRecord:
    await connection.execute("insert into public.money values (1)")
    return step(1)


async def _insert_in_a_savepoint(connection: Any) -> StepRecord:
    async with connection.transaction():
        return await _insert(connection)


@pytest.mark.parametrize("words", LAST_WORDS)
@pytest.mark.parametrize(
    ("command", "done"),
    [(b"BEGIN", False), (b"COMMIT", False), (b"COMMIT", True), (b"SAVEPOINT", False)],
)
async def test_whatever_is_said_at_the_end_leaves_a_transaction_in_doubt(
    database: str, command: bytes, done: bool, words: str
) -> None:
    """It is no failure of the step: run again, its effect is there once."""
    await rows(database, "create table public.money (cents int)")
    body = _insert_in_a_savepoint if command == b"SAVEPOINT" else _insert
    work = TransactionWork(body, threaded=False, isolation=None)
    fence = Fence("w", 1, "1", 7)
    async with (
        ending_at(database, command, done=done, words=LAST_WORDS[words]) as url,
        store_of(url) as store,
    ):
        await start(store, "w")
        with pytest.raises(Unreachable):
            await store.transactions.transact(work, fence)
        record = await store.transactions.transact(work, fence)
        assert record is not None
        assert record.output == step(1).output
    assert await rows(database, "select count(*) from public.money") == [(1,)]
    assert await rows(database, "select count(*) from outlast.operation_outputs") == [(1,)]


async def test_a_cancel_whose_answer_was_lost_is_known_as_ones_own(database: str) -> None:
    async with (
        ending_at(database, b"CANCELLED", done=True, words=b"") as url,
        store_of(url) as store,
    ):
        await start(store, "w")
        assert await store.workflows.cancel("w", "me")
        assert not await store.workflows.cancel("w", "me")
    assert await rows(database, "select status, epoch from outlast.workflow_status") == [("CANCELLED", 2)]
