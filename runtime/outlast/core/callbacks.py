"""Links by which whoever has one answers a workflow: sealed with a secret, so that none can be made up.

A token is one message of AES-GCM (NIST SP 800-38D) under a key that follows from a secret key of the project.
So it tells its holder nothing, not even the workflow's id, and what was changed in it opens no more.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

PATH = "/callbacks/v1/"
TOKEN_CHARS_MAX = 4_096
USES_MAX = 1_000
_NONCE_BYTES = 12
_PURPOSE = b"outlast callback v1"


class Link(NamedTuple):
    """What a token names: the place of a callback, until when it holds (Unix seconds), and its `mark_of`."""

    workflow_id: str
    step_id: str
    expires_s: float
    mark: str


class Seals:
    """Makes and opens tokens. The first secret makes them; each opens what it made."""

    def __init__(self, secret_keys: Iterable[str], public_url: str | None) -> None:
        """`public_url`: where the host is reached, with whatever path stands before its own."""
        self._keys = [hmac.digest(each.encode(), _PURPOSE, "sha256") for each in secret_keys]
        self._public_url = None if public_url is None else public_url.rstrip("/")

    @property
    def lacks(self) -> str | None:
        """The setting without which no link can be made."""
        if self._public_url is None:
            return "OUTLAST_PUBLIC_URL: the address at which others reach this host"
        return None if self._keys else "SUPABASE_SECRET_KEY: links are sealed with it"

    def url(self, link: Link) -> str:
        """The link as a URL. Nothing may be lacking."""
        return f"{self._public_url}{PATH}{self._seal(to_json(link))}"

    def open(self, token: str) -> Link | None:
        """What a token names; None if it was not made here, or is broken."""
        if len(token) > TOKEN_CHARS_MAX or not token.isascii():
            return None
        try:
            sealed = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError:
            return None
        # Base64 has several spellings of the same bytes: only one of them is the link.
        # guard: callbacks-spelled-otherwise
        if _text(sealed) != token or len(sealed) <= _NONCE_BYTES:
            return None
        for key in self._keys:
            if (plain := self._unsealed(key, sealed)) is not None:
                return Link(*from_json(plain))
        return None

    def _seal(self, plain: bytes) -> str:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _text(nonce + _cipher(self._keys[0]).encrypt(nonce, plain, _PURPOSE))

    def _unsealed(self, key: bytes, sealed: bytes) -> bytes | None:
        from cryptography.exceptions import InvalidTag

        try:
            plain: bytes = _cipher(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _PURPOSE)
        except InvalidTag:  # it compares in constant time
            return None
        return plain


NO_SEALS = Seals((), None)


def _cipher(key: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def _text(sealed: bytes) -> str:
    return urlsafe_b64encode(sealed).rstrip(b"=").decode()


def mark_of(created_s: float, topic: str, uses: int | None, of: str | None) -> str:
    """What a link is for, hashed: in each generation of one workflow the same call has the same.

    Another call at its place has another one, and so has the same call of another workflow of this id, which
    was created when this one had been removed.
    """
    # guard: links-of-the-removed-answer = (topic, uses, of)
    told = (round(created_s * 1e6), topic, uses, of)
    return sha256(to_json(told)).hexdigest()[:32]


def message_key(step_id: str, mark: str, request: str) -> str:
    """The idempotency key of what one request to a callback sends; `1` where it takes one answer."""
    return f"callback:{step_id}:{mark}:{request}"
