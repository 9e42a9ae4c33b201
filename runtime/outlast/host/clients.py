"""`context().supabase`: supabase-py's clients, made when a function asks for one and closed with it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

from outlast.core.callers import SERVICE_ROLE, Caller, CallerToken
from outlast.core.clock import Clock
from outlast.core.errors import CallerTokenGone, UsageError
from outlast.sdk.context import MakeClients

TIMEOUT_S = 60.0
CLOSE_S_MAX = 1.0
_CONNECTIONS_MAX = 10

_GONE = (
    'the caller\'s token is not kept with a workflow, and {reason}: use a @transaction(role="caller"), which '
    "acts for the caller by what is recorded, or context().supabase_admin; or do this before the first long "
    "sleep"
)


def supabase_clients(
    url: str | None, secret_keys: Mapping[str, str], publishable_keys: Mapping[str, str], clock: Clock
) -> MakeClients:
    """Return a factory for the clients of one running function, with the keys of the project at `url`."""
    secret = next(iter(secret_keys.values()), None)
    publishable = next(iter(publishable_keys.values()), None)

    def make(caller: Caller, token: CallerToken | None) -> SupabaseClients:
        return SupabaseClients(url, secret, publishable, caller, token, clock)

    return make


class SupabaseClients:
    """Implements `sdk.context.Clients`. Functions may ask from several threads at once."""

    def __init__(
        self,
        url: str | None,
        secret: str | None,
        publishable: str | None,
        caller: Caller,
        token: CallerToken | None,
        clock: Clock,
    ) -> None:
        self.token = token
        self._url = url
        self._secret = secret
        self._publishable = publishable
        self._caller = caller
        self._clock = clock
        self._make_client: dict[tuple[str, bool], Any] = {}
        self._closed = False
        self._lock = threading.Lock()

    def of_caller(self, *, blocking: bool) -> Any:
        """See Clients."""
        if self._caller.role == SERVICE_ROLE and self._caller.id is None:
            return self.of_service(blocking=blocking)
        key = self._key(self._publishable, "SUPABASE_PUBLISHABLE_KEY", "context().supabase")
        bearer = key
        if self._caller.id is not None:
            bearer = self._usable_token()
        return self._client("caller", blocking, key, bearer)

    def of_service(self, *, blocking: bool) -> Any:
        """See Clients."""
        key = self._key(self._secret, "SUPABASE_SECRET_KEY", "context().supabase_admin")
        return self._client("service", blocking, key, key)

    async def close(self) -> None:
        """See Clients."""
        with self._lock:
            self._closed = True
            made, self._make_client = self._make_client, {}
        for (_, blocking), (_, http) in made.items():
            with suppress(Exception):
                if blocking:
                    await asyncio.to_thread(http.close)
                else:
                    async with asyncio.timeout(CLOSE_S_MAX):
                        await http.aclose()

    def _usable_token(self) -> str:
        if self.token is None:
            raise CallerTokenGone(_GONE.format(reason="this instance did not take the call itself"))
        if self.token.until_s <= self._clock.now_s():
            raise CallerTokenGone(_GONE.format(reason="it has expired"))
        return self.token.value

    def _key(self, key: str | None, variable: str, used: str) -> str:
        if self._url is None:
            raise UsageError(f"{used} needs the project's address: set SUPABASE_URL")
        if key is None:
            raise UsageError(f"{used} needs a key of the project: set {variable}")
        return key

    def _client(self, name: str, blocking: bool, key: str, bearer: str) -> Any:
        with self._lock:
            if self._closed:
                raise UsageError("the workflow has ended, and its Supabase clients with it")
            if (name, blocking) not in self._make_client:
                assert self._url is not None
                self._make_client[name, blocking] = _make_client(blocking, self._url, key, bearer)
            client, _ = self._make_client[name, blocking]
            return client


def _make_client(blocking: bool, url: str, key: str, bearer: str) -> tuple[Any, Any]:
    """Return a client, and the HTTP client below it, which must be closed."""
    import httpx
    from supabase.lib import client_options

    import supabase

    of_http: Any = httpx.Client if blocking else httpx.AsyncClient
    of_options: Any = client_options.SyncClientOptions if blocking else client_options.AsyncClientOptions
    of_client: Any = supabase.Client if blocking else supabase.AsyncClient
    http = of_http(**_http_options())
    return of_client(url, key, of_options(httpx_client=http, **_client_options(bearer))), http


def _client_options(bearer: str) -> dict[str, Any]:
    """Options of a client without a session: it sends this one bearer token and refreshes nothing."""
    return {
        "headers": {"Authorization": f"Bearer {bearer}"},
        "auto_refresh_token": False,
        "persist_session": False,
    }


def _http_options() -> dict[str, Any]:
    import httpx

    return {
        "verify": _trust(httpx.create_ssl_context),
        "timeout": TIMEOUT_S,
        "follow_redirects": False,  # so that the key is sent nowhere else
        "limits": httpx.Limits(max_connections=_CONNECTIONS_MAX),
    }


@lru_cache(1)
def _trust(make: Callable[[], Any]) -> Any:
    """The trusted certificates. They are read from disk once for all clients, because that takes a while."""
    return make()
