"""How this process reaches Postgres: addresses, session settings, and which errors mean that it is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from select import POLLIN, poll
from typing import Any

import psycopg
from psycopg import AsyncConnection, errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from outlast.core.clock import monotonic
from outlast.core.ports import Unreachable

AsyncConn = AsyncConnection[TupleRow]

TRANSACTION_POOLER_PORT = "6543"
AWAY = (errors.OperationalError, errors.InterfaceError, PoolTimeout, OSError, TimeoutError)
"""What psycopg raises when the server or the way to it is gone. Two kinds of it aren't: see `is_away`."""

CONFLICTS = (errors.SerializationFailure, errors.DeadlockDetected)
"""Nothing was written, and the same again may succeed."""

_SESSION_SETTINGS = """
select set_config('jit', 'off', false),
       set_config('statement_timeout', %s, false),
       set_config('idle_in_transaction_session_timeout', %s, false)
"""
_JOURNAL_SETTINGS = """
select set_config('plan_cache_mode', 'force_generic_plan', false),
       set_config('enable_seqscan', 'off', false),
       set_config('enable_hashjoin', 'off', false),
       set_config('enable_mergejoin', 'off', false)
"""


@dataclass(frozen=True, slots=True)
class Database:
    """Where the database is and what may be relied upon there."""

    conninfo: str
    sessions: bool
    """Whether a connection is a session of its own, which a transaction pooler's is not."""

    @classmethod
    def at(cls, url: str, application_name: str, sessions: bool | None = None) -> Database:
        """Read `url` (libpq URL or key=value). Raises ValueError. By default port 6543 has no sessions."""
        try:
            given = conninfo_to_dict(url)
        except psycopg.ProgrammingError as error:
            raise ValueError(str(error).strip()) from error
        host = str(given.get("host") or given.get("hostaddr") or "")
        local = host in ("", "localhost", "127.0.0.1", "::1") or host.startswith("/")
        # A frozen or vanished server must not hold a caller for longer than a lease.
        defaults: dict[str, Any] = {
            "application_name": application_name,
            "connect_timeout": 10,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
            "sslmode": "prefer" if local else "require",
        }
        if sessions is None:
            sessions = str(given.get("port", "")) != TRANSACTION_POOLER_PORT
        return cls(make_conninfo(**{**defaults, **given}), sessions)

    async def connect(self, *, journal: bool = False, statement_timeout_s: float = 30.0) -> AsyncConn:
        """A connection in autocommit mode. Raises Unreachable."""
        async with away():
            connection = await AsyncConnection.connect(
                self.conninfo, autocommit=True, prepare_threshold=5 if self.sessions else None
            )
            try:
                await self.configure(connection, statement_timeout_s)
                if journal and self.sessions:
                    # Its one statement joins small arrays to large tables: never by reading those tables.
                    await connection.execute(_JOURNAL_SETTINGS)
            except BaseException:
                await connection.close()
                raise
        return connection

    async def configure(self, connection: AsyncConn, statement_timeout_s: float = 0) -> None:
        """Session settings, where sessions are real."""
        if self.sessions:
            await connection.execute(_SESSION_SETTINGS, (f"{statement_timeout_s:.0f}s", "60s"))

    def pool(self, size: int) -> AsyncConnectionPool[AsyncConn]:
        """An unopened pool for transactions and reads."""

        async def configure(connection: AsyncConn) -> None:
            await self.configure(connection)

        return _Pool(
            self.conninfo,
            min_size=0,
            max_size=size,
            open=False,
            timeout=10.0,
            max_idle=60.0,
            reconnect_timeout=5.0,
            configure=configure,
            kwargs={"autocommit": True, "prepare_threshold": 5 if self.sessions else None},
        )


class _Pool(AsyncConnectionPool[AsyncConn]):
    """A pool that hands out no connection that ended while nobody used it, be it all of them.

    The driver's own `check` would do the same, but pauses for a second after each dead one.
    """

    async def getconn(self, timeout: float | None = None) -> AsyncConn:
        ends = monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            connection = await super().getconn(max(0.01, ends - monotonic()))
            if _is_open(connection):
                return connection
            await self.putconn(connection)


def _is_open(connection: AsyncConn) -> bool:
    """Whether `connection` goes on, as its socket tells: the server is not asked."""
    with suppress(psycopg.Error):
        socket = poll()
        socket.register(connection.fileno(), POLLIN)
        while socket.poll(0):
            connection.pgconn.consume_input()  # the last word comes before the end, and may be but a notice
    return not connection.closed


def is_away(error: BaseException) -> bool:
    """Whether `error` says that the server can't be reached now, not what it thinks of a statement."""
    if isinstance(error, errors.OperationalError):
        # 40001 and 40P01 are OperationalErrors too, as are a full disk and a statement's timeout.
        state = error.sqlstate
        return state is None or state[:2] in ("08", "57", "53") or state in ("25P03", "55P03", "25006")
    return isinstance(error, AWAY) or _heard_too_much(error)


def ends_session(error: BaseException) -> bool:
    """Whether `error` is the server's last word on a connection, which may look whole for a moment yet."""
    if not isinstance(error, errors.OperationalError) or error.sqlstate is None:
        return _heard_too_much(error)
    return error.sqlstate.startswith(("08", "57P"))


def _heard_too_much(error: BaseException) -> bool:
    """Whether the driver complains of more than one answer to a BEGIN or COMMIT of its own.

    So it says that beside the answer, or instead of it, came the last words of a server or a pooler: whether
    the command was done is in doubt. Errors of the server itself have an sqlstate.
    """
    return isinstance(error, errors.InternalError) and error.sqlstate is None


@asynccontextmanager
async def away() -> AsyncIterator[None]:
    """Turn what means 'away' into Unreachable."""
    try:
        yield
    except asyncio.CancelledError:
        raise
    except Exception as error:
        if is_away(error):
            raise Unreachable(str(error).strip() or type(error).__name__) from error
        raise


class SoleConnection:
    """One connection of one user, made when needed and made anew after it was lost."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: AsyncConn | None = None
        self._ended: Callable[[], None] | None = None
        self._watched: tuple[asyncio.AbstractEventLoop, int] | None = None

    def when_ended(self, call: Callable[[], None]) -> None:
        """Call `call` when the connection is seen to end while nothing uses it."""
        self._ended = call

    @asynccontextmanager
    async def use(self, timeout_s: float) -> AsyncIterator[AsyncConn]:
        """The connection, for statements that end in `timeout_s`. Raises Unreachable, and drops it then."""
        self._look_away()
        if self._connection is None or self._connection.closed:
            self._connection = await self._database.connect()
        try:
            async with away(), asyncio.timeout(timeout_s):
                yield self._connection
        except BaseException as error:
            if isinstance(error, Unreachable | asyncio.CancelledError) or self._connection.broken:
                await self.close()
            raise
        finally:
            self._watch()

    async def close(self) -> None:
        """Let the connection go. Idempotent."""
        self._look_away()
        connection, self._connection = self._connection, None
        if connection is not None:
            # Closing sends one message without waiting for its arrival.
            await connection.close()

    def _watch(self) -> None:
        """Hear what arrives unasked. Not while the driver waits: it watches the same socket itself."""
        if self._ended is None or self._connection is None or self._connection.closed:
            return
        self._watched = asyncio.get_running_loop(), self._connection.fileno()
        loop, socket = self._watched
        loop.add_reader(socket, self._unasked)

    def _look_away(self) -> None:
        watched, self._watched = self._watched, None
        if watched is not None:
            loop, socket = watched
            loop.remove_reader(socket)

    def _unasked(self) -> None:
        """A notice, a changed setting, or the connection's end: libpq reads it to find out."""
        if self._connection is None or self._ended is None:
            return
        with suppress(psycopg.Error):
            self._connection.pgconn.consume_input()
        if self._connection.closed:
            self._look_away()
            self._ended()
