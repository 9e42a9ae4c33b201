"""The credentials of a call, and the project's API keys, which are compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Generic, Literal, NamedTuple, TypeVar

from outlast.web.http.calls import Call

K = TypeVar("K")
KEY_PREFIX = "sb_"


class Credentials(NamedTuple):
    """`keys` may be API keys, `token` may be a JWT. `malformed`: Authorization is no Bearer."""

    keys: tuple[str, ...]
    token: str | None
    malformed: bool


class KnownKey(NamedTuple):
    """A key of the project that was presented."""

    mode: Literal["publishable", "secret"]
    name: str


class KnownKeys(Generic[K]):
    """Keys, and what each of them stands for."""

    def __init__(self, known: Iterable[tuple[str, K]]) -> None:
        """An empty text is no key."""
        self._known = [(_digest(key), each) for key, each in known if key]

    def find(self, presented: str) -> K | None:
        """What `presented` stands for. All are compared, so that the time doesn't tell which one it was."""
        digest = _digest(presented)
        matches = [each for known, each in self._known if hmac.compare_digest(digest, known)]
        return matches[0] if matches else None


class ApiKeys(KnownKeys[KnownKey]):
    """The project's keys by name; the legacy ones, which are JWTs, are among them."""

    def __init__(self, secret: Mapping[str, str], publishable: Mapping[str, str]) -> None:
        super().__init__(
            [
                *((key, KnownKey("secret", name)) for name, key in secret.items()),
                *((key, KnownKey("publishable", name)) for name, key in publishable.items()),
            ]
        )

    def strongest(self, credentials: Credentials) -> KnownKey | None:
        """The key that opens most: a secret one, if one is presented."""
        if not credentials.keys:
            return None
        found = [key for each in credentials.keys if (key := self.find(each)) is not None]
        return min(found, key=lambda key: key.mode != "secret", default=None)


def credentials_of(call: Call) -> Credentials:
    """The values of `apikey` and `Authorization: Bearer`. A bearer `sb_…` counts as a key, not as a token."""
    apikey = call.header(b"apikey")
    authorization = call.header(b"authorization")
    keys = (apikey,) if apikey else ()
    if not authorization:
        return Credentials(keys, None, malformed=False)
    scheme, _, bearer = authorization.partition(" ")
    bearer = bearer.strip()
    if scheme.lower() != "bearer" or not bearer:
        return Credentials(keys, None, malformed=True)
    keys = (*keys, bearer)
    return Credentials(keys, None if bearer.startswith(KEY_PREFIX) else bearer, malformed=False)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
