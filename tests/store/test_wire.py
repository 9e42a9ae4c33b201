"""The journal's own way to the server: what it answers, and what it does when something breaks."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Callable

import psycopg
import pytest
import uvloop
from psycopg import errors

from outlast.store.connections import Database
from outlast.store.queries import Numbered
from outlast.store.wire import Wire

WAIT_S = 30.0
ECHO = Numbered("echo", "select $1::text", ("text",))
THREE = Numbered("three", "select $1::text, $2::text, $3::text", ("a", "b", "c"))
FAIL = Numbered("fail", "select 1 / $1::int", ("number",))
WRITE = Numbered("write", "insert into kept values ($1::text)", ("text",))
NAP = Numbered("nap", "select pg_sleep($1::float8)", ("seconds",))
PID = Numbered("pid", "select pg_backend_pid()", ())


@pytest.fixture(params=["prepared", "not prepared"])
async def wire(database: str, request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    """A wire, and a table to write into."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create table kept (text text)")
    opened = Wire(await Database.at(database, "tests").connect())
    if request.param == "prepared":
        await opened.prepare([ECHO, FAIL, WRITE, NAP], WAIT_S)
    yield opened
    opened.close()


def kept(database: str) -> list[str]:
    with psycopg.connect(database, autocommit=True) as connection:
        return [row[0] for row in connection.execute("select text from kept").fetchall()]


async def test_all_statements_of_a_request_answer_in_order(wire: Wire) -> None:
    for number in range(3):
        first, second = await wire.run([(ECHO, {"text": f"a{number}"}), (ECHO, {"text": "ü"})], WAIT_S)
        assert (first.get_value(0, 0), second.get_value(0, 0)) == (f"a{number}".encode(), "ü".encode())


async def test_a_refusal_undoes_the_whole_request_and_the_connection_stays(wire: Wire, database: str) -> None:
    with pytest.raises(errors.DivisionByZero):
        await wire.run([(WRITE, {"text": "a"}), (FAIL, {"number": "0"}), (WRITE, {"text": "b"})], WAIT_S)
    assert not wire.lost
    await wire.run([(WRITE, {"text": "c"}), (WRITE, {"text": "d"})], WAIT_S)
    assert kept(database) == ["c", "d"]


async def test_what_is_refused_only_at_the_commit_is_refused(wire: Wire, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("alter table kept add unique (text) deferrable initially deferred")
    with pytest.raises(errors.UniqueViolation):
        await wire.run([(WRITE, {"text": "a"}), (WRITE, {"text": "a"}), (ECHO, {"text": "b"})], WAIT_S)
    await wire.run([(WRITE, {"text": "c"})], WAIT_S)
    assert kept(database) == ["c"]


async def test_what_cannot_be_encoded_is_not_sent(wire: Wire) -> None:
    with pytest.raises(UnicodeEncodeError):
        await wire.run([(ECHO, {"text": "\ud800"})], WAIT_S)
    (result,) = await wire.run([(ECHO, {"text": "a"})], WAIT_S)
    assert result.get_value(0, 0) == b"a"


async def test_what_the_server_would_read_as_less_is_not_sent(wire: Wire) -> None:
    with pytest.raises(errors.DataError, match="NUL"):
        await wire.run([(ECHO, {"text": "a\0b"})], WAIT_S)
    (result,) = await wire.run([(ECHO, {"text": "a"})], WAIT_S)
    assert result.get_value(0, 0) == b"a"


async def test_nulls_stand_where_they_were_given(wire: Wire) -> None:
    for values in itertools.product((None, "ü", 1.5, -7, ""), repeat=3):
        (result,) = await wire.run([(THREE, dict(zip("abc", values, strict=True)))], WAIT_S)
        expected = [None if each is None else str(each).encode() for each in values]
        assert [result.get_value(0, column) for column in range(3)] == expected


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_what_no_buffer_holds_goes_both_ways(database: str, run: Callable[..., None]) -> None:
    async def exchange() -> None:
        wire = Wire(await Database.at(database, "tests").connect())
        text = "x" * 5_000_000
        # The server answers the first while the second is still being sent.
        results = await wire.run([(ECHO, {"text": text})] * 3, WAIT_S)
        assert [result.get_value(0, 0) for result in results] == [text.encode()] * 3
        (result,) = await wire.run([(ECHO, {"text": "a"})], WAIT_S)
        assert result.get_value(0, 0) == b"a"
        wire.close()

    run(exchange())


async def test_no_answer_in_time_loses_the_connection(wire: Wire) -> None:
    with pytest.raises(TimeoutError):
        await wire.run([(NAP, {"seconds": "60"})], 0.05)
    assert wire.lost
    with pytest.raises(errors.OperationalError):
        await wire.run([(ECHO, {"text": "a"})], WAIT_S)


async def test_a_cancelled_request_loses_the_connection(wire: Wire) -> None:
    request = asyncio.create_task(wire.run([(NAP, {"seconds": "60"})], WAIT_S))
    await asyncio.sleep(0)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert wire.lost


async def test_the_servers_last_word_is_what_is_raised(wire: Wire, database: str) -> None:
    (result,) = await wire.run([(PID, {})], WAIT_S)
    request = asyncio.create_task(wire.run([(NAP, {"seconds": "60"})], WAIT_S))
    await until_busy(database, result.get_value(0, 0))
    terminate(database, result.get_value(0, 0))
    with pytest.raises(errors.AdminShutdown):
        await asyncio.wait_for(request, WAIT_S)
    assert wire.lost


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_the_end_of_an_idle_connection_is_seen(database: str, run: Callable[..., None]) -> None:
    async def end() -> None:
        wire = Wire(await Database.at(database, "tests").connect())
        (result,) = await wire.run([(PID, {})], WAIT_S)
        terminate(database, result.get_value(0, 0))
        async with asyncio.timeout(WAIT_S):
            while not wire.lost:
                await asyncio.sleep(0.005)
        wire.close()

    run(end())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_server_that_ends_with_the_request_unread_is_heard_to_its_end(
    database: str, run: Callable[..., None]
) -> None:
    """Its last word and a reset at once: of a socket in error uvloop tells one time only."""

    async def end() -> None:
        wire = Wire(await Database.at(database, "tests").connect())
        (result,) = await wire.run([(PID, {})], WAIT_S)
        os.kill(int(result.get_value(0, 0) or 0), signal.SIGSTOP)
        request = asyncio.create_task(wire.run([(PID, {})], 2 * WAIT_S))
        await asyncio.sleep(0)
        terminate(database, result.get_value(0, 0))
        os.kill(int(result.get_value(0, 0) or 0), signal.SIGCONT)
        until_gone(database, result.get_value(0, 0))
        with pytest.raises(errors.OperationalError):
            async with asyncio.timeout(WAIT_S):
                await request
        assert wire.lost

    run(end())


def until_gone(database: str, pid: bytes | None) -> None:
    """Holds up the event loop meanwhile, which then hears of all that has happened at once."""
    deadline = time.monotonic() + WAIT_S
    with psycopg.connect(database, autocommit=True) as connection:
        while connection.execute("select from pg_stat_activity where pid = %s", [int(pid or 0)]).fetchone():
            assert time.monotonic() < deadline


async def until_busy(database: str, pid: bytes | None) -> None:
    query = "select from pg_stat_activity where pid = %s and wait_event = 'PgSleep'"
    async with asyncio.timeout(WAIT_S):
        with psycopg.connect(database, autocommit=True) as connection:
            while connection.execute(query, [int(pid or 0)]).fetchone() is None:
                await asyncio.sleep(0.005)


def terminate(database: str, pid: bytes | None) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("select pg_terminate_backend(%s)", [int(pid or 0)])
