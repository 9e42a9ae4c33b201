"""Maps over the instance's pool. Items' ends are read over a separate connection, which may block a body."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress
from contextvars import Context
from typing import Any

import psycopg
from psycopg import errors
from psycopg.sql import SQL, Identifier, Literal
from pydantic_core import to_json

from outlast.core import faults
from outlast.core.errors import UsageError
from outlast.core.maps import ITEMS_MAX, ItemEnd, MapCounts, MapState, NewMap, Query
from outlast.core.ports import BadData, Fence, MapStore, Unreachable
from outlast.core.records import NewWorkflow
from outlast.core.status import Status
from outlast.store.arrays import literals, texts
from outlast.store.connections import CONFLICTS, AsyncConn, Database, as_unreachable, is_away
from outlast.store.journal import NEW
from outlast.store.pool import Pool
from outlast.store.queries import load
from outlast.store.repeatable import limited_locks, repeat, rows_of

_SQL = load("maps.sql")
READ_S = 10.0
"""How long a body may wait for a page of results. The instance's loop waits with it."""

IDLE_S = 2.0
"""How long after the last page the connection is closed. It comes on top of the configured number."""

ANALYZED_AT = 5_000
"""The number of a map's items at which the planner's statistics are updated first."""

_REFUSED = (errors.DataError, errors.IntegrityError, errors.RaiseException, UnicodeEncodeError, ValueError)


class PostgresMaps(MapStore):
    """`MapStore`."""

    def __init__(self, database: Database, pool: Pool, instance_id: str) -> None:
        self._pool = pool
        self._instance_id = instance_id
        self._reader = _Reader(database)

    async def find(self, fence: Fence, new: NewMap, map_ids: Sequence[str]) -> str | None:
        parameters = {
            **self._fence(fence, ""),
            "ids": list(map_ids),
            "functions": [new.function, *new.former],
            "fingerprint": new.fingerprint,
        }
        (row,) = await rows_of(self._pool, _SQL["find"], parameters)
        found: str | None = row["found"]
        return found

    async def open(self, fence: Fence, new: NewMap, items: int | Query | None) -> MapState | None:

        in_query = False

        async def keep_and_open(connection: AsyncConn) -> int | None:
            nonlocal in_query
            async with connection.transaction():
                in_query = isinstance(items, Query)
                total = await _keep(connection, new.map_id, items) if isinstance(items, Query) else items
                in_query = False
                if total != 0 and not await self._open(connection, fence, new, total):
                    raise _Refused
            return total

        known = await self.look(new.map_id)
        if known is not None:
            return known
        try:
            total = await repeat(self._pool, keep_and_open)
        except _Refused:
            return None
        except Unreachable as error:
            # guard: queries-conflict-for-ever
            if in_query and isinstance(error.__cause__, CONFLICTS):
                raise _refuse(error.__cause__) from error
            raise
        except errors.UniqueViolation:  # another try was committed at this moment
            return await self.look(new.map_id)
        if total == 0:
            return MapState(Status.SUCCESS, 0, 0, stopped=False)
        faults.reach("map.opened")
        return await self.look(new.map_id)

    async def _open(self, connection: AsyncConn, fence: Fence, new: NewMap, total: int | None) -> bool:
        state = {
            "total": total,
            "started": 0,
            "tolerate": new.tolerated(total or 0),
            "on_fail": new.on_fail,
            "stopped": False,
            "tell_at": 0,
        }
        parameters = {
            **new._asdict(),
            "instance": self._instance_id,
            "epoch": fence.epoch,
            "map": to_json(state).decode(),
        }
        async with limited_locks(connection):
            row = await (await connection.execute(_SQL["open"], parameters)).fetchone()
        return bool(row and row[0])

    async def reopen(self, fence: Fence, new: NewMap, total: int) -> MapState | None:
        parameters = {
            **self._fence(fence, new.map_id),
            "concurrency": new.concurrency,
            "tolerate": new.tolerated(total),
            "on_fail": new.on_fail,
        }
        (row,) = await rows_of(self._pool, _SQL["reopen"], parameters)
        return await self.look(new.map_id) if row["open"] else None

    async def free(self, map_id: str) -> bool:
        (row,) = await rows_of(self._pool, _SQL["free"], {"map_id": map_id})
        return bool(row["freed"])

    async def retry_child(self, fence: Fence, child: str) -> bool:
        parameters = {**self._fence(fence, ""), "child": child}
        (row,) = await rows_of(self._pool, _SQL["retry_child"], parameters)
        return bool(row["retried"])

    async def look(self, map_id: str) -> MapState | None:
        rows = await rows_of(self._pool, _SQL["look"], {"map_id": map_id})
        return MapState(**{**rows[0], "status": Status(rows[0]["status"])}) if rows else None

    async def finish(self, map_id: str) -> MapState | None:
        await rows_of(self._pool, _SQL["finish"], {"map_id": map_id})
        return await self.look(map_id)

    async def keep(self, fence: Fence, map_id: str, first: int, items: Sequence[str]) -> bool:
        try:
            parameters = {"first": first, "items": texts(items), **self._fence(fence, map_id)}
            return bool(await rows_of(self._pool, _SQL["keep"], parameters))
        except _REFUSED as error:
            raise BadData(str(error).strip().partition("\n")[0]) from error

    async def kept(self, fence: Fence, map_id: str, total: int, tolerate: int) -> bool:
        parameters = {"total": total, "tolerate": tolerate, **self._fence(fence, map_id)}
        return bool(await rows_of(self._pool, _SQL["kept"], parameters))

    def _fence(self, fence: Fence, map_id: str) -> dict[str, Any]:
        return {
            "map_id": map_id,
            "parent": fence.workflow_id,
            "epoch": fence.epoch,
            "instance": self._instance_id,
        }

    async def source(self, map_id: str, after: int, limit: int) -> list[str]:
        parameters = {"map_id": map_id, "after": after, "limit": limit}
        return [row["item"] for row in await rows_of(self._pool, _SQL["source"], parameters)]

    async def start_block(
        self, fence: Fence, map_id: str, first: int, news: Sequence[NewWorkflow], keys: Sequence[str] | None
    ) -> MapState | None:
        """See MapStore. If it runs twice, the second run finds that the map has moved on."""
        faults.reach("map.before_block")
        try:
            parameters = {
                **literals(NEW, [new[: len(NEW)] for new in news]),
                "nonce": fence.nonce,
                **self._fence(fence, map_id),
                "first": first,
                "count": len(news),
                "keys": None if keys is None else texts(keys),
            }
            (row,) = await rows_of(self._pool, _SQL["start_block"], parameters)
        except errors.UniqueViolation as error:
            raise UsageError(
                f"map_(key): two items have one key, or a key changed: {error.diag.message_detail}"
            ) from None
        except _REFUSED as error:
            raise BadData(str(error).strip().partition("\n")[0]) from error
        faults.reach("map.after_block")
        if not row["fenced"]:
            return None
        # guard: large-maps-unplanned
        if row["moved"] and _doubles(first, first + len(news)):
            await self._analyze()
        return await self.look(map_id)

    async def _analyze(self) -> None:
        """Update the planner's statistics now: autovacuum would only do it within a minute.

        Until then each decision of the map's queue would read all waiting items. For 100,000 items that
        takes 200 ms instead of 10.
        """
        with suppress(Unreachable, psycopg.Error):
            async with as_unreachable(), self._pool.connection() as connection:
                await connection.execute(_SQL["analyze"])

    async def tell(self, map_id: str, number: int) -> None:
        await rows_of(self._pool, _SQL["tell"], {"map_id": map_id, "number": number})

    async def counts(self, map_id: str) -> MapCounts:
        (row,) = await rows_of(self._pool, _SQL["counts"], {"map_id": map_id})
        return MapCounts(**row)

    async def failed(self, map_id: str, after: str, limit: int) -> list[ItemEnd]:
        return _ends(
            await rows_of(self._pool, _SQL["failed"], {"map_id": map_id, "after": after, "limit": limit})
        )

    def ends(self, map_id: str, ids: Sequence[str] | None, first: int, limit: int) -> list[ItemEnd]:
        if ids is not None:
            return _ends(self._reader.rows(_SQL["ends"], {"ids": list(ids)}))
        return _ends(
            self._reader.rows(_SQL["ends_of_query"], {"map_id": map_id, "first": first, "limit": limit})
        )

    def failures(self, map_id: str, after: str, limit: int) -> list[ItemEnd]:
        return _ends(self._reader.rows(_SQL["failed"], {"map_id": map_id, "after": after, "limit": limit}))

    async def close(self) -> None:
        """Close the connection that bodies wait for. Idempotent."""
        self._reader.close()


class _Refused(Exception):
    """The fence didn't hold: the transaction is rolled back."""


async def _keep(connection: AsyncConn, map_id: str, query: Query) -> int:
    """Store the rows of a query as a map's items. Returns their number. Raises UsageError.

    One column is the item's value; several columns become an object. All rows are read in one snapshot, so a
    later crash neither repeats nor skips a row.
    """
    text, parameters = SQL(query.text.strip().rstrip(";")), query.parameters or None
    try:
        described = await connection.execute(SQL("select * from ({}) as q limit 0").format(text), parameters)
        names = [each.name for each in described.description or ()]
        item = SQL("q.{}").format(Identifier(names[0])) if len(names) == 1 else SQL("q")
        kept = await connection.execute(
            SQL(
                "insert into outlast.map_sources (map_id, place, item) "
                "select {}, row_number() over (), coalesce(to_json({}), 'null') "
                "from (select * from ({}) as q limit {}) as q"
            ).format(Literal(map_id), item, text, Literal(ITEMS_MAX + 1)),
            parameters,
        )
    except psycopg.Error as error:
        if is_away(error) or isinstance(error, (*CONFLICTS, errors.UniqueViolation)):
            raise
        raise _refuse(error) from error
    # guard: queries-without-bound
    if kept.rowcount > ITEMS_MAX:
        raise UsageError(f"map_ takes at most {ITEMS_MAX:,} rows, and the query has more: give it a limit")
    return kept.rowcount


def _refuse(error: BaseException) -> UsageError:
    return UsageError(f"map_ over rows(…): Postgres refuses the query: {str(error).strip()}")


def _doubles(before: int, after: int) -> bool:
    """Whether the number of items has passed `ANALYZED_AT` times 1, 2, 4, and so on."""
    return (after // ANALYZED_AT).bit_length() > (before // ANALYZED_AT).bit_length()


def _ends(rows: list[dict[str, Any]]) -> list[ItemEnd]:
    return [ItemEnd(**{**row, "status": Status(row["status"])}) for row in rows]


class _Reader:
    """A thread with its own loop and connection. Code that blocks the instance's loop can wait for it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pool: Pool | None = None
        self._closing: asyncio.TimerHandle | None = None

    def rows(self, statement: SQL, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        """The rows of a statement. Blocks, for at most `READ_S`. Raises Unreachable."""
        # An empty context: the thread and the connection outlive the workflow that reads.
        return Context().run(self._wait_for, statement, parameters)

    def _wait_for(self, statement: SQL, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        call = asyncio.run_coroutine_threadsafe(self._read(statement, parameters), self._open_loop())
        try:
            return call.result(READ_S)
        except TimeoutError:
            call.cancel()
            raise Unreachable(f"results could not be read within {READ_S:g} s") from None

    def close(self) -> None:
        """End the thread; blocks for a moment. Idempotent."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is not None and thread is not None:
            asyncio.run_coroutine_threadsafe(self._end(), loop)
            thread.join(1.0)

    def _open_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_run, args=(self._loop,), name="outlast-results", daemon=True
                )
                self._thread.start()
            return self._loop

    async def _read(self, statement: SQL, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        if self._closing is not None:
            self._closing.cancel()
        if self._pool is None:
            self._pool = Pool(self._database.again(), 1)
        try:
            return await rows_of(self._pool, statement, parameters)
        finally:
            loop = asyncio.get_running_loop()
            self._closing = loop.call_later(IDLE_S, lambda: loop.create_task(self._disconnect()))

    async def _disconnect(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def _end(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
        await self._disconnect()
        asyncio.get_running_loop().stop()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()
