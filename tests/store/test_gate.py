"""One back-off for all connections of an instance: who is let through, who waits, and who is told at once."""

from __future__ import annotations

import asyncio

import pytest

from outlast.core.observations import DatabaseRefused, Observation
from outlast.core.ports import Unreachable
from outlast.store.gate import REFUSED_S, RETRY_MAX_S, Gate, NoConnection
from outlast.store.remedies import remedy_for

LIMIT_S = 20.0
WRONG = 'connection failed: FATAL:  password authentication failed for user "u"'


class Server:
    """What is to be reached: it answers or fails when the test says so."""

    def __init__(self, error: str | None = None) -> None:
        self.error = error
        self.tries = 0
        self.at_work = 0
        self.most_at_work = 0
        self.go = asyncio.Event()
        self.go.set()

    async def connect(self) -> int:
        self.tries += 1
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            await self.go.wait()
        finally:
            self.at_work -= 1
        if self.error is not None:
            raise Unreachable(self.error)
        return self.tries


async def fail(gate: Gate, server: Server) -> NoConnection:
    with pytest.raises(NoConnection) as caught:
        async with asyncio.timeout(LIMIT_S):
            await gate.run(server.connect)
    return caught.value


async def test_all_go_through_at_once_while_it_works() -> None:
    gate, server = Gate(lambda _: None), Server()
    server.go.clear()
    comers = [asyncio.create_task(gate.run(server.connect)) for _ in range(4)]
    async with asyncio.timeout(LIMIT_S):
        while server.at_work < 4:
            await asyncio.sleep(0)
        server.go.set()
        assert sorted(await asyncio.gather(*comers)) == [4, 4, 4, 4]


async def test_after_a_failure_one_tries_for_all() -> None:
    gate, server = Gate(lambda _: None), Server("Connection refused")
    await fail(gate, server)
    server.most_at_work = 0
    for _ in range(4):
        before = server.tries
        failures = await asyncio.gather(*[fail(gate, server) for _ in range(5)])
        assert {str(each) for each in failures} == {"Connection refused"}
        assert server.tries == before + 1
    server.error = None
    before = server.tries
    async with asyncio.timeout(LIMIT_S):
        await asyncio.gather(*[gate.run(server.connect) for _ in range(5)])
    assert server.tries == before + 5, "the first success lets all through"


async def test_what_failed_together_failed_once() -> None:
    gate, server = Gate(lambda _: None), Server("Connection refused")
    server.go.clear()
    comers = [asyncio.create_task(fail(gate, server)) for _ in range(4)]
    async with asyncio.timeout(LIMIT_S):
        while server.at_work < 4:
            await asyncio.sleep(0)
        server.go.set()
        await asyncio.gather(*comers)
    assert gate._failures == 1


async def test_a_refusal_is_told_once_and_holds_all_back_without_waiting() -> None:
    said: list[Observation] = []
    gate, server = Gate(said.append), Server(WRONG)
    await fail(gate, server)
    await fail(gate, server)  # the first pause is short
    failures = [await fail(gate, server) for _ in range(5)]
    assert server.tries == 2
    assert all(each.held and "password authentication failed" in str(each) for each in failures)
    (fact,) = said
    assert isinstance(fact, DatabaseRefused)
    assert "SUPABASE_DB_URL" in fact.remedy


async def test_a_refusal_after_an_outage_is_the_first_of_its_kind() -> None:
    """A pooler that starts may say once that it knows nobody."""
    gate, server = Gate(lambda _: None), Server("Connection refused")
    for _ in range(10):
        gate._due_at = 0.0
        await fail(gate, server)
    server.error = "FATAL:  Tenant or user not found"
    gate._due_at = 0.0
    await fail(gate, server)
    assert gate._due_at - gate._failed_at < 2 * REFUSED_S[0]


async def test_pauses_never_grow_past_what_others_wait_for() -> None:
    gate, server = Gate(lambda _: None), Server("Connection refused")
    for failures in range(1, 2000, 100):
        gate._failures, gate._due_at = failures, 0.0
        await fail(gate, server)
        assert gate._due_at - gate._failed_at <= RETRY_MAX_S
        gate._due_at = 0.0


def test_refusals_stay_below_what_shuts_a_pooler() -> None:
    """Ten wrong passwords in five minutes."""
    at, tries = 0.0, 0
    while at <= 300:
        at += REFUSED_S[min(tries, len(REFUSED_S) - 1)]
        tries += 1
    assert tries < 10


async def test_who_gives_up_leaves_the_way_open() -> None:
    gate, server = Gate(lambda _: None), Server("Connection refused")
    await fail(gate, server)
    server.error = None
    server.go.clear()
    first = asyncio.create_task(gate.run(server.connect))
    async with asyncio.timeout(LIMIT_S):
        while not server.at_work:
            await asyncio.sleep(0)
        second = asyncio.create_task(gate.run(server.connect))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        server.go.set()
        with pytest.raises(NoConnection):
            await second
        await gate.run(server.connect)


@pytest.mark.parametrize(
    ("error", "word", "refused"),
    [
        (WRONG, "password", True),
        ("FATAL:  Tenant or user not found", "PROJECT_REF", True),
        ("FATAL:  (ENOTFOUND) tenant/user postgres.x not found", "PROJECT_REF", True),
        ("FATAL:  (ECIRCUITBREAKER) Circuit breaker open: Too many authentication errors", "minutes", True),
        ('FATAL:  database "x" does not exist', "create it", True),
        ('FATAL:  role "x" does not exist', "user", True),
        ('FATAL:  no pg_hba.conf entry for host "1.2.3.4"', "network restrictions", True),
        ("FATAL:  unsupported startup parameter: options", "options", True),
        ("server does not support SSL, but SSL was required", "sslmode=disable", True),
        ("SSL error: certificate verify failed", "sslrootcert", True),
        ('connection to server at "2600:1f18::1", port 5432 failed: Network is unreachable', "IPv4", False),
        (
            'server at "db.a.supabase.co" (2600:1f18::1), port 5432 failed: Cannot assign requested address',
            "IPv4",
            False,
        ),
        ("failed to resolve host 'db.abcdefgh.supabase.co': [Errno -5]", "IPv4", False),
        ("FATAL:  remaining connection slots are reserved", "OUTLAST_DB_CONNECTIONS", False),
        ("FATAL:  MaxClientsInSessionMode: max clients reached", "6543", False),
    ],
)
def test_a_remedy_for_what_is_known(error: str, word: str, refused: bool) -> None:
    remedy = remedy_for(error)
    assert remedy is not None
    assert word in remedy.text
    assert remedy.refused is refused


@pytest.mark.parametrize(
    "error",
    ["Connection refused", 'server at "10.0.0.7", port 5432 failed: Network is unreachable',
     "the database system is starting up", "server closed the connection unexpectedly",
     "terminating connection due to administrator command", "connection timeout expired", ""],
)  # fmt: skip
def test_what_passes_by_itself_needs_none(error: str) -> None:
    assert remedy_for(error) is None
