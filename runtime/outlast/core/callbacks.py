"""Links that let anybody who has one answer a workflow. They are sealed with a secret, so nobody can forge
one.

A token is one AES-GCM message (NIST SP 800-38D). Its key is derived from a secret key of the project. So a
token reveals nothing to its holder, not even the workflow's id, and a changed token can't be opened.
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


def shown_path(path: str) -> str:
    """`path` for logs: of a link only where it begins. Whoever reads the rest may answer."""
    # guard: callbacks-in-the-log = path
    return f"{PATH}…" if path.startswith(PATH) else path


class Link(NamedTuple):
    """The content of a token: the place of a callback, when it expires (Unix seconds), and its `mark_of`."""

    workflow_id: str
    step_id: str
    expires_s: float
    mark: str


class Seals:
    """Makes and opens tokens. The first secret makes them; each secret opens those that it made."""

    def __init__(self, secret_keys: Iterable[str], public_url: str | None) -> None:
        """`public_url`: the host's public address, with any path prefix."""
        self._keys = [hmac.digest(each.encode(), _PURPOSE, "sha256") for each in secret_keys]
        self._public_url = None if public_url is None else public_url.rstrip("/")

    @property
    def lacks(self) -> str | None:
        """The setting that is missing to make links, if any."""
        if self._public_url is None:
            return "OUTLAST_PUBLIC_URL: the address at which others reach this host"
        return None if self._keys else "SUPABASE_SECRET_KEY: links are sealed with it"

    def url(self, link: Link) -> str:
        """The link as a URL. No setting may be missing."""
        return f"{self._public_url}{PATH}{self._seal(to_json(link))}"

    def open(self, token: str) -> Link | None:
        """The content of a token; None if it is broken, or wasn't made here."""
        if len(token) > TOKEN_CHARS_MAX or not token.isascii():
            return None
        try:
            sealed = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError:
            return None
        # Base64 has several spellings of the same bytes. Only the one that was made is accepted.
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
    """A hash of what a link is for. The same call has the same one in each generation of a workflow.

    Another call at the same place has another one. So has the same call of a later workflow with the same id:
    its `created_s` differs.
    """
    # guard: links-of-the-removed-answer = (topic, uses, of)
    told = (round(created_s * 1e6), topic, uses, of)
    return sha256(to_json(told)).hexdigest()[:32]


def message_key(step_id: str, mark: str, request: str) -> str:
    """The idempotency key of the message that a request sends; `1` for a callback that takes one answer."""
    return f"callback:{step_id}:{mark}:{request}"
