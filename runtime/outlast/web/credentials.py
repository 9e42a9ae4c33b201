"""Who calls: for now, whoever holds a secret key, and everybody else."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from outlast.web.calls import Call
from outlast.web.problems import Problem, ProblemError


@dataclass(frozen=True, slots=True)
class Admitted:
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
        return any([hmac.compare_digest(digest, known) for known in self._digests])

    def holds_secret(self, call: Call) -> bool:
        """Whether the call bears a secret key, as `apikey` or as bearer token."""
        return any(self.is_secret(each) for each in presented_keys(call))

    def require_secret(self, call: Call) -> None:
        """Let only holders of a secret key pass. Raises ProblemError (401)."""
        keys = presented_keys(call)
        if not keys:
            raise ProblemError(_refusal("UNAUTHORIZED_NO_AUTH_HEADER", "Missing authorization header"))
        if not any(self.is_secret(each) for each in keys):
            raise ProblemError(
                _refusal("UNAUTHORIZED_INVALID_API_KEY", "The key is not a secret key of this project")
            )


def presented_keys(call: Call) -> list[str]:
    """The values of `apikey` and of a bearer `Authorization`."""
    keys = []
    if apikey := call.header(b"apikey"):
        keys.append(apikey)
    scheme, _, token = (call.header(b"authorization") or "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        keys.append(token.strip())
    return keys


def _refusal(code: str, detail: str) -> Problem:
    return Problem(401, code, detail, headers=(("www-authenticate", "Bearer"),))
