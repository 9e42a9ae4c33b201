"""The keys that a project signs its tokens with: from the settings, or fetched and cached."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple

from pydantic_core import from_json

from outlast.core.clock import monotonic

KEPT_S = 600.0
"""How long a fetched set counts as current; Supabase caches it as long."""

STALE_S_MAX = 24 * 3600.0
"""How long a set is used that can't be fetched again."""

FLOOR_S = 10.0
"""The least time between two fetches, whatever unknown keys tokens name."""

FETCH_S_MAX = 5.0
SET_BYTES_MAX = 256 * 1024
KEYS_MAX = 64
ASYMMETRIC = ("ES256", "RS256")
SYMMETRIC = "HS256"

_logger = logging.getLogger("outlast.web")


class KeysUnavailable(Exception):
    """The key set could not be fetched, and there is no older one."""


class SigningKey(NamedTuple):
    """A key and its only algorithm, whatever a token's header says."""

    algorithm: str
    key: Any
    kid: str | None = None


Fetch = Callable[[], Awaitable[bytes]]
"""Fetches the document. May raise anything."""


class KeySet:
    """All keys that tokens may be signed with. Must be made on the event loop it is used on.

    `given` is a JSON Web Key Set (RFC 7517) of the host's own settings and may hold symmetric keys; what is
    fetched is public and may not. `secret` is the legacy JWT secret.
    """

    def __init__(self, given: Mapping[str, Any] | None, secret: str | None, fetch: Fetch | None) -> None:
        self._given = given
        self._fixed: list[SigningKey] | None = None
        self._secret = [SigningKey(SYMMETRIC, secret)] if secret else []
        self._fetch = fetch
        self._fetched: list[SigningKey] = []
        self._fetched_at: float | None = None
        self._asked_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Stop fetching. Idempotent."""
        self._fetch = None
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    def __bool__(self) -> bool:
        """Whether any token can be verified at all."""
        return bool(self._given or self._secret or self._fetch)

    async def candidates(self, algorithm: str, kid: str | None) -> list[SigningKey]:
        """The keys that may have signed a token whose header says this. Raises KeysUnavailable."""
        if self._fixed is None:
            self._fixed = [*read_keys(self._given or {}, (*ASYMMETRIC, SYMMETRIC)), *self._secret]
        if algorithm == SYMMETRIC or self._fetch is None:
            return _select(self._fixed, algorithm, kid)
        await self._refresh(wait=self._age_s() > 2 * KEPT_S)
        # guard: old-keys-for-ever
        if self._age_s() > STALE_S_MAX:
            self._fetched = []
        found = _select([*self._fixed, *self._fetched], algorithm, kid)
        if not found:
            await self._refresh(wait=True, unknown=True)
            found = _select(self._fetched, algorithm, kid)
        if not found and self._age_s() > STALE_S_MAX:
            raise KeysUnavailable
        return found

    def _age_s(self) -> float:
        """Seconds since the set was fetched; infinite if it wasn't."""
        return float("inf") if self._fetched_at is None else monotonic() - self._fetched_at

    async def _refresh(self, *, wait: bool, unknown: bool = False) -> None:
        """Fetch the set if it is old or a key is `unknown`: one fetch at a time, and not too often."""
        now = monotonic()
        old = unknown or self._age_s() > KEPT_S
        if self._fetch is not None and self._fetching is None and old and now - self._asked_at > FLOOR_S:
            self._asked_at = now
            self._fetching = asyncio.get_running_loop().create_task(self._fetch_once())
        if wait and self._fetching is not None:
            await asyncio.wait([self._fetching])

    async def _fetch_once(self) -> None:
        fetch = self._fetch
        assert fetch is not None
        try:
            async with asyncio.timeout(FETCH_S_MAX):
                document = from_json(await fetch())
            if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
                raise ValueError("the answer is no JSON Web Key Set")
            fetched = await asyncio.to_thread(read_keys, document, ASYMMETRIC)
            # guard: empty-key-set
            if self._fetched and not fetched:
                raise ValueError("the answer has no key that can be used; the ones known go on for a day")
            self._fetched = fetched
            self._fetched_at = monotonic()
        except Exception as error:  # noqa: BLE001 - a network fails in many ways; tokens are refused meanwhile
            told = str(error) or type(error).__name__
            _logger.warning("the key set of SUPABASE_JWKS_URL could not be fetched: %s", told)
        finally:
            self._fetching = None


def read_keys(document: Mapping[str, Any], algorithms: Iterable[str]) -> list[SigningKey]:
    """The keys of a set that are for these algorithms."""
    from jwt import PyJWK
    from jwt.exceptions import PyJWTError

    found: list[SigningKey] = []
    keys = document.get("keys")
    for each in (keys if isinstance(keys, list) else [])[:KEYS_MAX]:
        if not isinstance(each, dict) or each.get("use", "sig") != "sig":
            continue
        try:
            key = PyJWK(each)
        except (PyJWTError, ValueError, TypeError):
            continue
        kid = each.get("kid")
        if key.algorithm_name in algorithms:
            found.append(SigningKey(key.algorithm_name, key.key, kid if isinstance(kid, str) else None))
    return found


def fetch_from(url: str) -> Fetch:
    """A fetch of `url`: no redirects, a bounded answer."""

    async def fetch() -> bytes:
        client = await asyncio.to_thread(_http_client)  # it reads certificates: that takes a while
        async with client, client.stream("GET", url) as response:
            response.raise_for_status()
            parts: list[bytes] = []
            async for part in response.aiter_bytes():
                parts.append(part)
                if sum(map(len, parts)) > SET_BYTES_MAX:
                    raise ValueError(f"the answer is larger than {SET_BYTES_MAX} bytes")
            return b"".join(parts)

    return fetch


def _http_client() -> Any:
    import httpx

    return httpx.AsyncClient(timeout=FETCH_S_MAX, follow_redirects=False)


def _select(keys: Iterable[SigningKey], algorithm: str, kid: str | None) -> list[SigningKey]:
    """The keys of this algorithm with this `kid`. A key or a token without a `kid` matches any."""
    return [
        each
        for each in keys
        if each.algorithm == algorithm and (kid is None or each.kid is None or each.kid == kid)
    ]
