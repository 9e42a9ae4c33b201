"""`auth=`: who may call a function, in the terms of Supabase's `withSupabase`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

from outlast.core.errors import UsageError

Kind = Literal["user", "publishable", "secret", "none"]
Auth = str | Sequence[str]
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_REMEDY = '"user", "publishable", "secret", "secret:NAME", "none", or a list of those'


class AuthMode(NamedTuple):
    """One way to be admitted. `name`: only with the key of that name."""

    kind: Kind
    name: str | None = None

    def __str__(self) -> str:
        return self.kind if self.name is None else f"{self.kind}:{self.name}"


def auth_modes(auth: Auth | None, what: str) -> tuple[AuthMode, ...] | None:
    """The modes of an `auth` option, in order; None if it isn't given. Raises UsageError."""
    if auth is None:
        return None
    listed = [auth] if isinstance(auth, str) else auth
    if not isinstance(listed, list | tuple) or not listed:
        raise UsageError(f"{what}(auth) is {_REMEDY}, not {auth!r}")
    return tuple(_mode(each, what) for each in listed)


def _mode(text: object, what: str) -> AuthMode:
    kind, colon, name = text.partition(":") if isinstance(text, str) else ("", "", "")
    named = bool(colon)
    for known in get_args(Kind):
        if kind == known and (not named or (known in ("publishable", "secret") and _NAME.fullmatch(name))):
            return AuthMode(known, name if named else None)
    raise UsageError(f"{what}(auth) is {_REMEDY}, not {text!r}")
