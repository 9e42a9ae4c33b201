"""Faults of Postgres: sessions ended, crashes, locks that others hold, errors such as a full disk's."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from contextlib import suppress
from typing import ClassVar

import psycopg

from tests.torture.faults.field import Fault, Field

BAD_WEATHER = """
insert into torture.weather (place, errcode, part, until, stall_s)
values (%(place)s, %(code)s, %(part)s, clock_timestamp() + make_interval(secs => %(for_s)s), %(stall_s)s)
on conflict (place) do update
set errcode = excluded.errcode, part = excluded.part, until = excluded.until, stall_s = excluded.stall_s
"""
_AWAY = (psycopg.Error, OSError, TimeoutError)

_ANY = "select pid from pg_stat_activity where application_name like 'outlast/%' order by pid"
_LEASES = """
select backend_pid as pid from outlast.instances
where lease_until > now() and backend_pid is not null order by backend_pid
"""
_JOURNALS = """
select pid from pg_stat_activity
where application_name like 'outlast/%' and query like '%insert into outlast.workflow_status as w%'
order by pid
"""


class _OfASession(Fault):
    which: ClassVar[str]
    statement: ClassVar[str] = "select pg_terminate_backend(%(pid)s)"

    async def strike(self, field: Field, rng: random.Random) -> bool:
        """See Fault."""
        with suppress(*_AWAY):
            rows = await field.server.once(self.which, timeout_s=5)
            if rows:
                await field.server.once(self.statement, {"pid": rng.choice(rows)["pid"]}, timeout_s=5)
                return True
        return False


class SessionEnded(_OfASession):
    """Any session."""

    name = "pg_terminate_backend"
    weight = 4
    which = _ANY


class LeaseSessionEnded(_OfASession):
    """The session by which others see that an instance lives."""

    name = "pg_terminate_backend of a lease's session"
    weight = 2
    which = _LEASES


class JournalSessionEnded(_OfASession):
    """A session that commits batches."""

    name = "pg_terminate_backend of a journal's session"
    weight = 4
    which = _JOURNALS


class StatementCancelled(_OfASession):
    """Whatever a session does now."""

    name = "pg_cancel_backend"
    weight = 2
    which = _ANY
    statement = "select pg_cancel_backend(%(pid)s)"


class BackendCrashed(Fault):
    """SIGKILL of a backend: Postgres ends all others and recovers from its log."""

    name = "Postgres crashes (a backend killed)"
    heavy = True

    async def strike(self, field: Field, rng: random.Random) -> bool:
        """See Fault."""
        with suppress(*_AWAY, ProcessLookupError):
            rows = await field.server.once(_ANY, timeout_s=5)
            if rows:
                os.kill(rng.choice(rows)["pid"], signal.SIGKILL)
                return True
        return False


class PostgresKilled(Fault):
    """SIGKILL of the postmaster; its supervisor starts it again."""

    name = "Postgres crashes (postmaster killed)"
    heavy = True
    number: ClassVar[signal.Signals] = signal.SIGKILL

    async def strike(self, field: Field, rng: random.Random) -> bool:
        """See Fault."""
        with suppress(OSError, ValueError, IndexError):
            field.server.strike(self.number)
            return True
        return False


class PostgresStopped(PostgresKilled):
    """An immediate shutdown: no checkpoint, crash recovery at the start."""

    name = "Postgres immediate shutdown"
    number = signal.SIGQUIT


class _Held(Fault):
    """A lock that somebody else holds for a while."""

    statement: ClassVar[str]
    for_s: ClassVar[tuple[float, float]]

    async def strike(self, field: Field, rng: random.Random) -> bool:
        """See Fault."""
        with suppress(*_AWAY):
            async with await psycopg.AsyncConnection.connect(
                field.server.url, application_name="torture", connect_timeout=5
            ) as connection:
                async with asyncio.timeout(10):
                    # So that in a deadlock it is this one that gives way, not the product.
                    await connection.execute("set local deadlock_timeout = '10ms'")
                    await connection.execute(self.statement.encode(), {"seed": rng.random()})
                    await asyncio.sleep(rng.uniform(*self.for_s))
                await connection.rollback()
            return True
        return False


class RowsLocked(_Held):
    """Some live workflows' rows."""

    name = "rows of workflows locked"
    for_s = (0.2, 1.0)
    statement = """
select 1 from outlast.workflow_status where status = 'PENDING' and random() < 0.5
limit 20 for update skip locked
"""


class TableLocked(_Held):
    """Nobody can write any workflow."""

    name = "table of workflows locked"
    heavy = True
    for_s = (0.5, 4.0)
    statement = "lock table outlast.workflow_status in share mode"


class AccountsLocked(_Held):
    """No transaction gets on."""

    name = "accounts locked"
    heavy = True
    for_s = (0.5, 3.0)
    statement = "select 1 from torture.accounts for update"


class _Misfortune(Fault):
    """Errors by SQL in a part of the writes; they end by themselves."""

    places: ClassVar[tuple[str, ...]]
    codes: ClassVar[tuple[str, ...]]
    part: ClassVar[tuple[float, float]]
    for_s: ClassVar[tuple[float, float]]

    async def strike(self, field: Field, rng: random.Random) -> bool:
        """See Fault."""
        for_s = rng.uniform(*self.for_s)
        row = {
            "place": rng.choice(self.places),
            "code": rng.choice(self.codes),
            "part": rng.uniform(*self.part),
            "for_s": for_s,
        }
        with suppress(*_AWAY):
            await field.server.once(BAD_WEATHER, {**row, "stall_s": 0.0}, timeout_s=5)
            await asyncio.sleep(for_s)
            return True
        return False


class Conflicts(_Misfortune):
    """Serialization failures and deadlocks."""

    name = "40001 and 40P01"
    weight = 3
    places = ("engine", "body", "commit", "lease")
    codes = ("40001", "40P01")
    part = (0.05, 0.5)
    for_s = (0.3, 1.2)


class Errors(_Misfortune):
    """A full disk, too little memory, a statement's timeout, in a part of the engine's writes."""

    name = "53100, 53200 and 57014 now and then"
    weight = 3
    places = ("engine", "commit", "lease")
    codes = ("53100", "53200", "57014")
    part = (0.05, 0.4)
    for_s = (0.3, 1.2)


class DiskFull(_Misfortune):
    """No write succeeds."""

    name = "disk full"
    heavy = True
    weight = 2
    places = ("engine", "commit")
    codes = ("53100",)
    part = (0.9, 1.1)
    for_s = (1.0, 4.0)
