"""This process's connections to Postgres: what each may do, and which errors mean that it is away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from functools import partial
from select import POLLIN, poll
from types import MappingProxyType
from typing import Any

import psycopg
from psycopg import AsyncConnection, AsyncCursor, AsyncTransaction, errors
from psycopg.abc import Params, Query
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Identifier

from outlast.core.clock import monotonic
from outlast.core.observations import DatabaseConnected, Observer, ignore
from outlast.core.ports import Unreachable
from outlast.store.address import Address, Kind, kind_at
from outlast.store.gate import Gate
from outlast.store.queries import load

_SQL = load("connections.sql")

RELIED_ON = {
    # The text form of values: the driver reads it, and arrays are written in it.
    "client_encoding": ("^UTF8$", "UTF8"),
    "DateStyle": ("^ISO,", "ISO"),
    "IntervalStyle": ("^postgres$", "postgres"),
    "extra_float_digits": ("^[1-3]$", "1"),
    "array_nulls": ("^on$", "on"),
    "standard_conforming_strings": ("^on$", "on"),
    # What statements see and how they behave.
    "default_transaction_isolation": ("^read committed$", "read committed"),
    "transform_null_equals": ("^off$", "off"),
    "row_security": ("^on$", "on"),
    # Settings that could end a session. In a pooler's session the pooler must deal with them.
    "exit_on_error": ("^off$", "off"),
    "idle_session_timeout": ("^0$", "0"),
}
"""For each setting a regular expression of the valid values, and the value to set otherwise.

Outlast relies on them, whatever ALTER ROLE or ALTER DATABASE has set.
"""

RELIED_ON_JSON = json.dumps(
    {name: {"fits": fits, "value": value} for name, (fits, value) in RELIED_ON.items()}
)
_SLACK_S = 2.0
"""The server may have begun the session this much earlier than this process measures."""
_SESSION_SETTINGS = {"jit": "off", "idle_in_transaction_session_timeout": "60s"}
_REPORTED = ("application_name", "client_encoding", "DateStyle", "IntervalStyle", "TimeZone")

AWAY = (errors.OperationalError, errors.InterfaceError, OSError, TimeoutError)
"""What psycopg raises if the server can't be reached, among other errors. `is_away` tells them apart."""

CONFLICTS = (errors.SerializationFailure, errors.DeadlockDetected)
"""Nothing was written. The same statement may succeed the next time."""

GIVEN_UP = (errors.LockNotAvailable, errors.QueryCanceled, errors.OutOfMemory)
"""The server can be reached, but gave up a statement that waited too long or took too much."""


class AsyncConn(AsyncConnection[TupleRow]):
    """A connection that knows what it may be used for."""

    kind = Kind.TRANSACTION_POOLER
    settings: Mapping[str, str] = MappingProxyType({})
    """The settings made when it was opened, unlike the server's defaults. Not set for the journal's."""
    needed: str | None = None
    """The settings that must be made for each transaction, as a JSON object. See RELIED_ON."""

    @property
    def reads_only(self) -> bool:
        """Whether its transactions can't write, by the server's last report.

        A session that began while the database was read-only (a full disk, a failover) stays so. Through a
        pooler there are no such reports.
        """
        status = self.pgconn.parameter_status
        return self.kind.sessions and b"on" in (
            status(b"default_transaction_read_only"),
            status(b"in_hot_standby"),
        )

    async def execute(
        self, query: Query, params: Params | None = None, **options: Any
    ) -> AsyncCursor[TupleRow]:
        """Execute as the driver does, but in a transaction of its own if settings must be made."""
        async with self.with_settings():
            return await super().execute(query, params, **options)  # type: ignore[arg-type]

    def with_settings(self) -> AbstractAsyncContextManager[Any]:
        """A block in which the statements of cursors run with the settings that they need."""
        if self.needed is None or self.pgconn.transaction_status != TransactionStatus.IDLE:
            return nullcontext()
        return self.transaction()

    @asynccontextmanager
    async def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> AsyncIterator[AsyncTransaction]:
        """The driver's transaction, with the needed settings made first."""
        begins = self.pgconn.transaction_status == TransactionStatus.IDLE
        async with super().transaction(savepoint_name, force_rollback) as transaction:
            # guard: settings-of-no-transaction
            if begins and self.needed is not None:
                await super().execute(set_local(self.needed))
            yield transaction


class Database:
    """The database's address, and this instance's gate to it."""

    def __init__(self, address: Address, observe: Observer = ignore) -> None:
        self._address = address
        self._observe = observe
        self._gate = Gate(observe)
        self._told: Kind | None = None

    @classmethod
    def at(
        cls, url: str, application_name: str, sessions: bool | None = None, observe: Observer = ignore
    ) -> Database:
        """Read `url` (libpq URL or key=value). `sessions` is the user's setting; None: find out.

        Raises ValueError, whose text holds no part of a password.
        """
        return cls(Address.read(url, application_name, sessions), observe)

    def again(self) -> Database:
        """The same database for another event loop, with its own gate. Nothing is reported twice."""
        other = Database(self._address, self._observe)
        other._told = self._told
        return other

    @property
    def conninfo(self) -> str:
        """The connection string for libpq. It holds the password."""
        return self._address.conninfo

    async def connect(
        self, *, journal: bool = False, statement_timeout_s: float = 30.0, lock_timeout: str | None = None
    ) -> AsyncConn:
        """A connection in autocommit mode. The timeouts only apply to sessions. Raises NoConnection."""
        connection = await self._gate.run(partial(self._connect, journal, statement_timeout_s, lock_timeout))
        if connection.kind is not self._told:
            self._told = connection.kind
            self._observe(DatabaseConnected(connection.kind.value, connection.kind.sessions))
        return connection

    async def _connect(
        self, journal: bool, statement_timeout_s: float, lock_timeout: str | None
    ) -> AsyncConn:
        async with as_unreachable():
            began = monotonic()
            connection = await AsyncConn.connect(self.conninfo, autocommit=True, prepare_threshold=None)
            try:
                known = self._address.kind or kind_at(connection.info.host, str(connection.info.port))
                # In doubt it counts as no session: to take a pooler for one would do more harm.
                if known is Kind.TRANSACTION_POOLER:
                    cursor = await connection.execute(_SQL["reach"], {"relied": RELIED_ON_JSON})
                    connection.needed = (await cursor.fetchone() or (None,))[0]
                else:
                    limits = {"statement_timeout": f"{statement_timeout_s:.0f}s"}
                    if lock_timeout is not None:
                        limits["lock_timeout"] = lock_timeout
                    direct = await self._open_session(connection, known, journal, limits, began)
                    connection.kind = known or (Kind.DIRECT if direct else Kind.TRANSACTION_POOLER)
                if connection.kind.sessions:
                    connection.prepare_threshold = 5
                connection.settings = {**_reported_settings(connection), **connection.settings}
            except BaseException:
                await connection.close()
                raise
        return connection

    async def _open_session(
        self,
        connection: AsyncConn,
        known: Kind | None,
        journal: bool,
        limits: Mapping[str, str],
        began: float,
    ) -> bool:
        """Make settings if this is known or proves to be a session. Returns whether it is surely direct."""
        settings = {**_SESSION_SETTINGS, **limits}
        parameters = {
            "pid": connection.pgconn.backend_pid,
            "names": self._address.shown_names(),
            "age": monotonic() - began + _SLACK_S,
            "known": known is not None,
            "journal": journal,
            "session": json.dumps(settings),
            "relied": RELIED_ON_JSON,
        }
        row = await (await connection.execute(_SQL["open_session"], parameters)).fetchone()
        needed = None if row is None else row[2]
        if row is None or not row[1]:
            connection.needed = needed
        else:
            connection.settings = {**json.loads(needed or "{}"), **settings}
        return row is not None and row[0] is True


def _reported_settings(connection: AsyncConn) -> dict[str, str]:
    """The settings that the server has reported for this session. A pooler made them for its client."""
    status = connection.pgconn.parameter_status
    values = {name: status(name.encode()) for name in _REPORTED}
    return {name: value.decode() for name, value in values.items() if value is not None}


def is_away(error: BaseException) -> bool:
    """Whether `error` says that the server can't be reached now, and isn't about the statement."""
    if isinstance(error, errors.OperationalError):
        # 40001 and 40P01 are OperationalErrors too. So are a full disk and a statement timeout.
        state = error.sqlstate
        return state is None or state[:2] in ("08", "57", "53") or state in ("25P03", "55P03")
    # guard: read-only-is-no-answer = isinstance(error, AWAY) or _has_extra_answer(error)
    return isinstance(error, (*AWAY, errors.ReadOnlySqlTransaction)) or _has_extra_answer(error)


def ends_session(error: BaseException) -> bool:
    """Whether the server ended the connection with `error`. It may still look open for a moment."""
    if not isinstance(error, errors.OperationalError) or error.sqlstate is None:
        return _has_extra_answer(error)
    return error.sqlstate.startswith(("08", "57P"))


def _spares_session(error: BaseException | None) -> bool:
    """Whether the server refused a statement with this error, and continues the session."""
    if isinstance(error, errors.ReadOnlySqlTransaction) or not isinstance(error, psycopg.Error):
        return False
    return error.diag.severity_nonlocalized == "ERROR"


def _has_extra_answer(error: BaseException) -> bool:
    """Whether the driver reports more than one answer to its own BEGIN or COMMIT.

    This happens if a server's or pooler's last message arrives beside the answer, or instead of it. Then
    it is unknown whether the command was done. Errors of the server itself have an sqlstate.
    """
    return isinstance(error, errors.InternalError) and error.sqlstate is None


def is_open(connection: AsyncConn) -> bool:
    """Whether `connection`, which nobody uses now, is still open. Only its socket is looked at.

    It reads all that has arrived: a last message, perhaps only a notice, comes before the end.
    """
    with suppress(psycopg.Error):
        socket = poll()
        socket.register(connection.fileno(), POLLIN)
        while socket.poll(0):
            connection.pgconn.consume_input()
    return not connection.closed


@asynccontextmanager
async def as_unreachable() -> AsyncIterator[None]:
    """Raise errors that mean that the database is away as Unreachable."""
    try:
        yield
    except asyncio.CancelledError:
        raise
    except Exception as error:
        if is_away(error):
            raise Unreachable(str(error).strip() or type(error).__name__) from error
        raise


class SoleConnection:
    """One connection for one user. It is opened when needed, and again after it was lost.

    If it is a session, it listens to `channel`.
    """

    def __init__(self, database: Database, channel: str) -> None:
        self._database = database
        self._channel = channel
        self._connection: AsyncConn | None = None
        self._ended: Callable[[], None] = lambda: None
        self._notified: Callable[[], None] = lambda: None
        self._watched: tuple[asyncio.AbstractEventLoop, int] | None = None

    def when_ended(self, call: Callable[[], None]) -> None:
        """Call `call` when the connection is seen to end."""
        self._ended = call

    def when_notified(self, call: Callable[[], None]) -> None:
        """Call `call` when a notification came through the channel."""
        self._notified = call

    @asynccontextmanager
    async def use(self, timeout_s: float) -> AsyncIterator[AsyncConn]:
        """The connection, for statements that end in `timeout_s`.

        Raises Unreachable. It then closes the connection, unless the server only refused a statement.
        """
        self._unwatch()
        fresh = self._connection is None or self._connection.closed
        if self._connection is None or fresh:
            self._connection = await self._database.connect()
        try:
            async with as_unreachable(), asyncio.timeout(timeout_s):
                if fresh and self._connection.kind.sessions:
                    await self._listen(self._connection)
                yield self._connection
        except BaseException as error:
            cut_off = isinstance(error, Unreachable | asyncio.CancelledError)
            # guard: sessions-end-with-a-statement = False
            spared = _spares_session(error.__cause__)
            if self._connection.broken or (cut_off and not spared):
                # guard: lost-in-use-untold
                self._ended()
                await self.close()
            raise
        finally:
            self._watch()

    async def close(self) -> None:
        """Let the connection go. Idempotent."""
        self._unwatch()
        connection, self._connection = self._connection, None
        if connection is not None:
            # Closing sends one message and doesn't wait.
            await connection.close()

    async def _listen(self, connection: AsyncConn) -> None:
        connection.add_notify_handler(lambda _: self._notified())
        try:
            await connection.execute(SQL("listen {}").format(Identifier(self._channel)))
        except psycopg.Error as error:
            if is_away(error):
                raise
            # A proxy that doesn't support LISTEN: this only makes things slower.

    def _watch(self) -> None:
        """Read what arrives unasked. Not while the driver waits: it watches the same socket itself."""
        if self._connection is None or self._connection.closed:
            return
        self._watched = asyncio.get_running_loop(), self._connection.fileno()
        loop, socket = self._watched
        loop.add_reader(socket, self._on_readable)

    def _unwatch(self) -> None:
        watched, self._watched = self._watched, None
        if watched is not None:
            loop, socket = watched
            loop.remove_reader(socket)

    def _on_readable(self) -> None:
        """A notification, a notice, a changed setting, or the connection's end: libpq must read it."""
        if self._connection is None:
            return
        if not is_open(self._connection):
            self._unwatch()
            self._ended()
        pgconn = self._connection.pgconn
        for news in iter(pgconn.notifies, None):
            if pgconn.notify_handler is not None:
                pgconn.notify_handler(news)


def set_local(needed: str) -> bytes:
    """Statements that make the settings of `needed`, a JSON object, for one transaction.

    They take no snapshot, so that the transaction's isolation level can still be set.
    """
    names = [name for name in json.loads(needed) if name in RELIED_ON]
    return "".join(f"set local {name} = '{RELIED_ON[name][1]}';" for name in names).encode()
