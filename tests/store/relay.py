"""A way to a server that may change what is said on it, and may lead elsewhere from one day to the next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from psycopg.conninfo import conninfo_to_dict, make_conninfo

Change = Callable[[bytes], bytes]


def unchanged(said: bytes) -> bytes:
    return said


class Relay:
    """Forwards to the server at `leads_to`, changing what either side says."""

    def __init__(self, leads_to: str) -> None:
        self.leads_to = leads_to
        self.asked: Change = unchanged
        self.answered: Change = unchanged
        self.url = ""
        self._ways: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    async def serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """One connection."""
        if (task := asyncio.current_task()) is not None:
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        given = conninfo_to_dict(self.leads_to)
        host, port = str(given["host"]), int(given["port"] or 5432)
        if host.startswith("/"):
            server, there = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            server, there = await asyncio.open_connection(host, port)
        self._ways |= {back, there}
        await asyncio.gather(
            _forward(client, there, lambda said: self.asked(said)),
            _forward(server, back, lambda said: self.answered(said)),
        )

    async def cut(self) -> None:
        """End all connections."""
        while self._ways:
            self._ways.pop().close()
        await asyncio.gather(*self._serving)


async def _forward(source: asyncio.StreamReader, target: asyncio.StreamWriter, change: Change) -> None:
    with suppress(OSError):
        while said := await source.read(65536):
            target.write(change(said))
            await target.drain()
    target.close()


@asynccontextmanager
async def relayed(leads_to: str, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Relay]:
    """A relay on loopback, at `url`. Raises OSError if that place is taken."""
    relay = Relay(leads_to)
    door = await asyncio.start_server(relay.serve, host, port)
    port = door.sockets[0].getsockname()[1]
    relay.url = make_conninfo(leads_to, host=host, port=port, sslmode="disable")
    yield relay
    door.close()
    await relay.cut()
