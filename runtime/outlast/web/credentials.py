"""Who calls: for now, whoever holds a secret key, and everybody else."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import NamedTuple

from outlast.web.calls import Call
from outlast.web.problems import Problem, ProblemError


class Admitted(NamedTuple):
    """A caller that was let in. `subject` is the signed-in user's id, if any."""

    secret: bool
    subject: str | None = None


class Credentials:
    """The project's secret keys, compared in constant time."""

    def __init__(self, secret_keys: Iterable[str]) -> None:
        self._digests = [hashlib.sha256(key.encode()).digest() for key in secret_keys if key]

    def is_secret(self, presented: str) -> bool:
        """Whether `presented` is one of the secret keys."""
        digest = hashlib.sha256(presented.encode("utf-8", "surrogateescape")).digest()
        # Each is compared, so that the time tells nothing of which it was.
        return any([hmac.compare_digest(digest, known) for known in self._digests])  # noqa: C419

    def holds_secret(self, call: Call) -> bool:
        """Whether the call bears a secret key, as `apikey` or as bearer token."""
        return any(self.is_secret(each) for each in presented_keys(call))

    def require_secret(self, call: Call) -> None:
        """Let only holders of a secret key pass. Raises ProblemError (401)."""
        if not self.holds_secret(call):
            raise ProblemError(_refusal(*_reason(call)))


def presented_keys(call: Call) -> list[str]:
    """The values of `apikey` and of a bearer `Authorization`."""
    apikey = call.header(b"apikey")
    keys = [apikey] if apikey else []
    return keys + _bearer(call.header(b"authorization") or "")


def _bearer(authorization: str) -> list[str]:
    scheme, _, token = authorization.partition(" ")
    return [token.strip()] if scheme.lower() == "bearer" and token.strip() else []


def _reason(call: Call) -> tuple[str, str]:
    """Code and text of a refusal; the codes are those of Supabase's gateway."""
    authorization = call.header(b"authorization")
    if authorization and not any(key.startswith("sb_") for key in _bearer(authorization)):
        return "UNAUTHORIZED_INVALID_JWT_FORMAT", "Invalid JWT: for now only a secret key opens this"
    if any(not key.startswith("sb_publishable_") for key in presented_keys(call)):
        return "UNAUTHORIZED_INVALID_API_KEY", "The key is not a secret key of this project"
    return "UNAUTHORIZED_NO_AUTH_HEADER", "Missing authorization header"


def _refusal(code: str, detail: str) -> Problem:
    return Problem(401, code, detail, headers=(("www-authenticate", "Bearer"),))
