"""One connection driven through libpq itself: the driver's asynchronous calls cost more than a small commit.

The driver opens the connection. After that its own methods must not be used. Requests are pipelines (see
"Pipeline Mode" in Postgres's manual): all statements of a request are one round trip and one transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import repeat
from select import POLLIN, poll

from psycopg import errors
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGresult

from outlast.store.connections import AsyncConn
from outlast.store.queries import Numbered, load_numbered

Request = tuple[Numbered, Mapping[str, object]]
"""A statement and its parameters. The server reads each parameter's text; None is null."""

_SQL = load_numbered("connections.sql")
_DONE = frozenset((ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK))
_SYNC, _BAD = ExecStatus.PIPELINE_SYNC, ConnStatus.BAD


class Wire:
    """A connection that takes one request at a time.

    It is `lost` once a request was cut short by an error of the connection, a timeout or a cancellation: its
    next answer would belong to no request.
    """

    def __init__(self, connection: AsyncConn) -> None:
        """Take over `connection`."""
        self._encoding = "utf-8"  # see RELIED_ON of connections.py
        self.lost = False
        self._connection = connection
        self._libpq = connection.pgconn
        self._socket = connection.pgconn.socket
        self._more = poll()
        self._more.register(self._socket, POLLIN)
        self._prepared: frozenset[str] = frozenset()
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[list[PGresult]] | None = None
        self._results: list[PGresult] = []
        self._libpq.enter_pipeline_mode()
        # The reader stays, so that the end of an idle connection is seen at once, not by the next commit.
        self._loop.add_reader(self._socket, self._readable)

    async def prepare(self, statements: Iterable[Numbered], timeout_s: float) -> None:
        """Prepare these statements; from then on they are sent by name. Requires a session."""
        named = {each.name: each for each in statements}
        await self._exchange(partial(self._send_prepare, named.values()), timeout_s)
        self._prepared = frozenset(named)

    async def run(self, requests: Iterable[Request], timeout_s: float) -> list[PGresult]:
        """The results of all `requests`, run in one transaction.

        Raises the driver's errors, also for a text with NUL, and UnicodeEncodeError.
        """
        needed = self._connection.needed
        if needed is not None:
            # They run in the same transaction, so they apply to the statements that follow.
            requests = [(_SQL["rely"], {"needed": needed}), *requests]
        encoded = [
            (statement, _encode([*map(parameters.__getitem__, statement.parameters)]))
            for statement, parameters in requests
        ]
        results = await self._exchange(partial(self._send, encoded), timeout_s)
        return results if needed is None else results[1:]

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._lose(errors.OperationalError("the connection is closed"))

    async def _exchange(self, send: Callable[[], None], timeout_s: float) -> list[PGresult]:
        """Send, and wait for all answers."""
        assert self._answer is None, "one request at a time"
        if self.lost:
            raise errors.OperationalError("the connection is lost")
        answer: asyncio.Future[list[PGresult]] = self._loop.create_future()
        self._answer = answer
        self._results = []
        late = self._loop.call_later(timeout_s, self._give_up, timeout_s)
        try:
            send()
            self._libpq.pipeline_sync()
            if self._libpq.flush():
                self._loop.add_writer(self._socket, self._writable)
            results = await answer
        except BaseException as error:
            self._answer = None
            # guard: answer-of-another-request
            self._lose(error)
            raise
        finally:
            self._answer = None
            late.cancel()
        for result in results:
            if result.status not in _DONE:
                raise errors.error_from_result(result, self._encoding)
        return results

    def _send_prepare(self, statements: Iterable[Numbered]) -> None:
        for each in statements:
            self._libpq.send_prepare(each.name.encode(), each.text.encode(self._encoding))

    def _send(self, requests: Iterable[tuple[Numbered, list[bytes | None]]]) -> None:
        for statement, values in requests:
            if statement.name in self._prepared:
                self._libpq.send_query_prepared(statement.name.encode(), values)
            else:
                self._libpq.send_query_params(statement.text.encode(self._encoding), values)

    def _writable(self) -> None:
        """The socket did not take everything at once: send the rest."""
        try:
            if not self._libpq.flush():
                self._loop.remove_writer(self._socket)
        except errors.Error as error:
            self._lose(error)

    def _readable(self) -> None:
        """Read all that has arrived: uvloop reports a socket in error only once (libuv's poll.c)."""
        try:
            while True:
                self._libpq.consume_input()
                self._collect()
                if not self._more.poll(0):
                    return
        except errors.Error as error:
            self._lose(error)

    def _collect(self) -> None:
        """Take the results that have arrived. None ends a statement's results, a sync the pipeline's."""
        libpq = self._libpq
        ended = False
        while not libpq.is_busy():
            result = libpq.get_result()
            if result is None:
                if ended:
                    break
                ended = True
                continue
            ended = False
            if result.status != _SYNC:
                self._results.append(result)
            elif self._answer is not None and not self._answer.done():
                self._answer.set_result(self._results)
        if libpq.status == _BAD:
            raise errors.OperationalError(libpq.get_error_message())

    def _give_up(self, timeout_s: float) -> None:
        self._lose(TimeoutError(f"no answer in {timeout_s:.0f} s"))

    def _lose(self, error: BaseException) -> None:
        """Drop the connection: nothing that it still sends can be trusted."""
        if not self.lost:
            self.lost = True
            # Before closing: the socket's number may be reused at once.
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._libpq.finish()
        if self._answer is not None and not self._answer.done():
            refusals = (each for each in self._results if each.status == ExecStatus.FATAL_ERROR)
            last_word = next(refusals, None)
            self._answer.set_exception(
                errors.error_from_result(last_word, self._encoding) if last_word else error
            )


_NULL = {type(None): None}


def _encode(values: Sequence[object]) -> list[bytes | None]:
    """The texts to send. No Python code runs for each value: a commit has about twenty."""
    texts = [*map(str.encode, map(str, values))]
    # libpq would take the part before the NUL for the whole text.
    # guard: nul-cuts-off
    if any(map(bytes.__contains__, texts, repeat(0))):
        raise errors.DataError("a text can't contain NUL (0x00) bytes")
    return [*map(_NULL.get, map(type, values), texts)]
