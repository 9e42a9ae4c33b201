"""One HTTP client for all that ask; what goes wrong on the way is an httpx.TransportError."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.hosts import SECRET


class Http:
    """Its connections are kept until they are let go."""

    def __init__(self) -> None:
        self._client = _connections()

    async def ask(self, method: str, url: str, **options: Any) -> httpx.Response:
        """One request. Raises httpx.TransportError."""
        with _as_transport_errors():
            return await self._client.request(method, url, **options)

    async def lines(self, url: str, headers: dict[str, str]) -> AsyncGenerator[str, None]:
        """The lines of an answer as they come; none of one that isn't 200. Raises httpx.TransportError."""
        with _as_transport_errors():
            async with self._client.stream("GET", url, headers=headers) as response:
                if response.status_code == 200:
                    async for line in response.aiter_lines():
                        yield line

    async def let_go(self) -> None:
        """Close what connections are kept open, so that those of hosts can be counted."""
        await self._client.aclose()
        self._client = _connections()

    async def close(self) -> None:
        """Let connections go, for good."""
        await self._client.aclose()


@contextmanager
def _as_transport_errors() -> Iterator[None]:
    try:
        yield
    except AttributeError as error:  # anyio asks a socket that has just gone for its address
        raise httpx.ConnectError(str(error)) from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Nobody cancelled this: a time limit of anyio's, met by the end of the connection.
        raise httpx.ReadError("cancelled by nobody") from error


def _connections() -> httpx.AsyncClient:
    return httpx.AsyncClient(
        headers={"apikey": SECRET},
        timeout=httpx.Timeout(5.0, connect=1.0),
        limits=httpx.Limits(max_connections=600, max_keepalive_connections=100),
        trust_env=False,
    )
