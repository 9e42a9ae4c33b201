"""What answers at the other end is found out, and a session is believed in only where that is certain."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack

import psycopg
import pytest

from outlast.core.observations import DatabaseConnected, Observation
from outlast.store.address import Kind
from outlast.store.connections import AsyncConn, Database
from outlast.store.instances import PostgresInstances, RecoveryLimits
from tests.pooler import Pooler, program
from tests.store.relay import relayed

NAME = "outlast/tests"
needs_pooler = pytest.mark.skipif(program() is None, reason="SKIPPED LOUDLY: there is no pgbouncer here")
_KEY_DATA = re.compile(rb"(K\0\0\0\x0c)....", re.DOTALL)


@pytest.fixture(params=["transaction", "session"])
def pooler(request: pytest.FixtureRequest, database: str) -> Iterator[Pooler]:
    yield from _pooler(database, request.param)


@pytest.fixture
def transaction_pooler(database: str) -> Iterator[Pooler]:
    yield from _pooler(database, "transaction")


def _pooler(database: str, mode: str) -> Iterator[Pooler]:
    binary = program()
    assert binary is not None
    pooler = Pooler(binary, database, 3, mode)
    pooler.start()
    yield pooler
    pooler.close()


def renamed(said: bytes) -> bytes:
    """The start of a connection, under another's name."""
    named = b"application_name\0" + NAME.encode()
    return said.replace(named, named[:17] + b"x" * len(NAME))


async def setting(connection: AsyncConn, name: str) -> str:
    row = await (await connection.execute("select current_setting(%s)", (name,))).fetchone()
    assert row is not None
    return str(row[0])


async def test_a_direct_connection_gets_all(database: str) -> None:
    said: list[Observation] = []
    at = Database.at(database, NAME, observe=said.append)
    for journal in (False, True):
        async with await at.connect(journal=journal) as connection:
            assert connection.kind is Kind.DIRECT
            assert connection.prepare_threshold == 5
            assert await setting(connection, "jit") == "off"
            assert await setting(connection, "statement_timeout") == "30s"
            assert await setting(connection, "enable_seqscan") == ("off" if journal else "on")
            assert await setting(connection, "application_name") == NAME
    assert said == [DatabaseConnected("direct", True)]


async def test_a_direct_connection_is_one_through_forwarded_ports_too(database: str) -> None:
    async with relayed(database) as relay, await Database.at(relay.url, NAME).connect() as connection:
        assert connection.kind is Kind.DIRECT


@pytest.mark.parametrize("name", ["ours", "Zoë's", "x" * 80, "tab\tbed"])
async def test_whatever_the_users_name_for_us(database: str, name: str) -> None:
    url = psycopg.conninfo.make_conninfo(database, application_name=name)
    async with await Database.at(url, NAME).connect() as connection:
        assert connection.kind is Kind.DIRECT
        shown = await setting(connection, "application_name")
        assert shown[:2] == name[:2]


@needs_pooler
async def test_no_session_is_believed_in_behind_a_pooler(pooler: Pooler) -> None:
    """That a pooler of another's keeps sessions is nothing that it tells."""
    said: list[Observation] = []
    at = Database.at(pooler.url, NAME, observe=said.append)
    async with AsyncExitStack() as held:
        connecting = [held.enter_async_context(await at.connect(journal=True)) for _ in range(3)]
        for connection in await asyncio.gather(*connecting):
            assert connection.kind is Kind.TRANSACTION_POOLER
            assert connection.prepare_threshold is None
            assert await setting(connection, "jit") == "on"
            assert await setting(connection, "enable_seqscan") == "on"
            assert await setting(connection, "statement_timeout") == "0"
            assert await setting(connection, "application_name") == NAME
    assert said == [DatabaseConnected("transaction pooler", False)]


@needs_pooler
async def test_not_by_a_number_that_happens_to_be_the_servers(transaction_pooler: Pooler) -> None:
    """A pooler makes its own numbers for processes: one may be that of the session that comes first."""
    async with relayed(transaction_pooler.url) as relay:
        plain = Database.at(relay.url, NAME, sessions=False)
        async with await plain.connect() as before:

            async def look() -> tuple[int, float]:
                row = await (
                    await before.execute(
                        "select pid, extract(epoch from clock_timestamp() - backend_start) "
                        "from pg_stat_activity where pid = pg_backend_pid()"
                    )
                ).fetchone()
                assert row is not None
                return row[0], float(row[1])

            async with asyncio.timeout(20):
                while (seen := await look())[1] < 4.0:
                    await asyncio.sleep(0.05)
        pid = seen[0]
        relay.answered = lambda said: _KEY_DATA.sub(
            lambda found: found[1] + pid.to_bytes(4, "big"), said, count=1
        )
        async with await Database.at(relay.url, NAME).connect() as connection:
            assert connection.pgconn.backend_pid == pid
            row = await (await connection.execute("select pg_backend_pid()")).fetchone()
            assert row == (pid,), "no coincidence: the test shows nothing"
            assert connection.kind is Kind.TRANSACTION_POOLER
            assert await setting(connection, "jit") == "on"


async def test_not_under_another_name_than_ours(database: str) -> None:
    """As through poolers that go by their own."""
    async with relayed(database) as relay:
        relay.asked = renamed
        async with await Database.at(relay.url, NAME).connect() as connection:
            assert connection.kind is Kind.TRANSACTION_POOLER
            assert await setting(connection, "jit") == "on"


async def test_supabases_session_pooler_gets_settings_and_no_more(database: str) -> None:
    """It is known by name and port; here the name is only said, and the server is Postgres."""
    place = f"127.{os.getpid() >> 16 & 255}.{os.getpid() >> 8 & 255}.{os.getpid() & 255 | 2}"
    async with AsyncExitStack() as stack:
        try:
            relay = await stack.enter_async_context(relayed(database, place, 5432))
        except OSError:
            pytest.skip("SKIPPED LOUDLY: loopback has one address here")
        name = "aws-0-eu-central-1.pooler.supabase.com"
        url = psycopg.conninfo.make_conninfo(relay.url, host=name, hostaddr=place)
        said: list[Observation] = []
        connection = await Database.at(url, NAME, observe=said.append).connect(journal=True)
        await stack.enter_async_context(connection)
        assert connection.kind is Kind.SESSION_POOLER
        assert connection.prepare_threshold is None
        assert await setting(connection, "statement_timeout") == "30s"
        assert await setting(connection, "enable_seqscan") == "off"
        assert said == [DatabaseConnected("session pooler", False)]


@needs_pooler
async def test_each_new_connection_is_judged_anew(database: str, transaction_pooler: Pooler) -> None:
    """A name may lead to the server today, and to a pooler tomorrow."""
    said: list[Observation] = []
    recorded = "select backend_pid is not null from outlast.instances"
    async with relayed(database) as relay, await Database.at(database, "look").connect() as look:
        at = Database.at(relay.url, NAME, observe=said.append)
        instances = PostgresInstances(at, "me", "test", RecoveryLimits())
        await instances.beat(10)
        assert await (await look.execute(recorded)).fetchall() == [(True,)]
        relay.leads_to = transaction_pooler.url
        await instances.close()
        await instances.beat(10)
        assert await (await look.execute(recorded)).fetchall() == [(False,)]
        await instances.close()
    assert said == [DatabaseConnected("direct", True), DatabaseConnected("transaction pooler", False)]


async def test_the_users_word_is_taken(database: str) -> None:
    async with await Database.at(database, NAME, sessions=False).connect(journal=True) as connection:
        assert connection.kind is Kind.TRANSACTION_POOLER
        assert await setting(connection, "jit") == "on"
    async with relayed(database) as relay:
        relay.asked = renamed
        async with await Database.at(relay.url, NAME, sessions=True).connect() as connection:
            assert connection.kind is Kind.DIRECT
            assert await setting(connection, "jit") == "off"
