"""A caller, and how it is stored with a workflow. The token is never stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic_core import from_json, to_json

Mode = Literal["none", "publishable", "secret", "user", "webhook", "sql", "queue", "schedule"]

ANON = "anon"
SERVICE_ROLE = "service_role"
OURS = "outlast"
"""The claim that holds what doesn't come from a JWT. A token's own claim of this name is removed."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who called a function.

    `mode` says how the caller was admitted: `user` by a JWT with a subject, `publishable` and `secret` by a
    key (`key_name` says which), `webhook` by a signature, `sql` by `outlast.start` without a user, `queue`
    by a message in a Supabase Queue, `schedule` by a schedule's tick, `none` not at all. `claims` are those
    of the JWT; row-level security sees them as `request.jwt.claims`.
    """

    mode: Mode = "none"
    claims: Mapping[str, Any] = field(default_factory=dict)
    key_name: str | None = None

    @property
    def id(self) -> str | None:
        """The signed-in user's id: the `sub` of the JWT."""
        subject = self.claims.get("sub")
        return subject if isinstance(subject, str) and subject else None

    @property
    def role(self) -> str:
        """The Postgres role that the caller has: `authenticated`, `anon`, `service_role`, or a custom one."""
        role = self.claims.get("role")
        if isinstance(role, str) and role:
            return role
        return SERVICE_ROLE if self.mode in ("secret", "webhook", "sql", "queue", "schedule") else ANON

    @property
    def email(self) -> str | None:
        """The user's e-mail address, if the JWT has one."""
        email = self.claims.get("email")
        return email if isinstance(email, str) and email else None

    @property
    def app_metadata(self) -> Mapping[str, Any]:
        """What the project stores about the user."""
        return _mapping(self.claims.get("app_metadata"))

    @property
    def user_metadata(self) -> Mapping[str, Any]:
        """What users can set about themselves. Don't trust it."""
        return _mapping(self.claims.get("user_metadata"))

    def database_claims(self) -> str:
        """JSON for `request.jwt.claims`: the JWT's claims, at least the role."""
        return _text({**self.claims, "role": self.role})

    def record(self) -> str | None:
        """JSON for the `claims` column; None for nobody."""
        if self.mode == "none":
            return None
        if self.mode == "user":
            return _text(self.claims)
        own = {"mode": self.mode, "key": self.key_name}
        return _text({**self.claims, "role": self.role, OURS: own})

    @classmethod
    def from_record(cls, text: str | None) -> Caller:
        """The caller in a `claims` column. Where SQL wrote it, it holds only a JWT's claims."""
        if text is None:
            return NOBODY
        claims = from_json(text)
        own = claims.pop(OURS, None)
        if isinstance(own, dict):
            return cls(own["mode"], claims, own.get("key"))
        user = cls("user", claims)
        if user.id is not None:
            return user
        return cls("secret" if claims.get("role") == SERVICE_ROLE else "publishable", claims)


@dataclass(frozen=True, slots=True)
class CallerToken:
    """A caller's token, kept only in the memory of one process. Valid until `until_s` (Unix seconds)."""

    value: str = field(repr=False)
    until_s: float


NOBODY = Caller()
"""A caller that wasn't asked who they are, or didn't say."""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(claims: Mapping[str, Any]) -> str:
    """JSON that Postgres accepts: NaN and infinity, which Python reads from a token, become null."""
    return to_json(claims, inf_nan_mode="null").decode()
