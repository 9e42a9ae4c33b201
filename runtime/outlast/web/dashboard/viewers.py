"""Who looks at the dashboard: the key they hold, what it lets them see and do, which values it hides."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from outlast.core.resources import Column, Resource
from outlast.web.callers.credentials import KnownKeys
from outlast.web.http.answers import Pairs
from outlast.web.http.problems import Problem, ProblemError

Role = Literal["operator", "viewer"]


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks. `csrf` is the token of their forms; empty for a caller by key, who needs none.

    `credentials` are the header fields with which the API is asked for them.
    """

    role: Role
    who: str
    csrf: str = field(default="", repr=False)
    credentials: Pairs = field(default_factory=list, repr=False)

    @property
    def sees_values(self) -> bool:
        """Whether they see inputs, outputs, messages, events, texts of errors and logs."""
        return self.role == "operator"

    @property
    def may_act(self) -> bool:
        """Whether they may do verbs and call functions."""
        return self.role == "operator"

    def check_may(self, what: str) -> None:
        """Raises ProblemError (403) for who may only look."""
        if not self.may_act:
            raise ProblemError(viewer_refused(what))


@dataclass(frozen=True, slots=True)
class Key:
    """A key that opens the dashboard."""

    role: Role
    name: str
    text: str = field(repr=False)

    @property
    def who(self) -> str:
        """How the holder is named, as the audit log does it."""
        return "viewer key" if self.role == "viewer" else f"secret key {self.name}"


class Keys(KnownKeys[Key]):
    """The keys that open the dashboard: the secret ones, and the viewer's."""

    def __init__(self, secret: Mapping[str, str], viewer: str | None) -> None:
        """`secret` holds one at least."""
        self._keys = [Key("operator", name, text) for name, text in secret.items() if text]
        self._asking = self._keys[0].text
        if viewer:
            self._keys.append(Key("viewer", "viewer", viewer))
        super().__init__((each.text, each) for each in self._keys)

    def marked(self, session_id: str, mark: bytes) -> Key | None:
        """The key by which a session was begun; None if it is none of the keys any more."""
        # guard: sessions-outlive-their-key = self._keys[0]
        return next((key for key in self._keys if hmac.compare_digest(mark_of(key, session_id), mark)), None)

    def viewer(self, key: Key, csrf: str) -> Viewer:
        """Who holds `key`. What viewers see is read by a secret key, and their values are taken out."""
        asking = key.text if key.role == "operator" else self._asking
        return Viewer(key.role, key.who, csrf, [(b"apikey", asking.encode())])


def mark_of(key: Key, session_id: str) -> bytes:
    """What ties a session to its key. Nobody learns either from it."""
    return hmac.digest(session_id.encode(), key.text.encode("utf-8", "surrogateescape"), "sha256")


def viewer_refused(what: str) -> Problem:
    """403 for a viewer."""
    return Problem("viewer_key", f"a viewer key may not {what}: sign in with a secret key")


_SAFE_MEMBERS = {"error": ("code",), "held": ("reason", "since", "at")}
"""Members of an object that say nothing of values."""


class Hidden:
    """Stands for a value that is not shown."""

    def __str__(self) -> str:
        return "hidden"

    def __repr__(self) -> str:
        return "HIDDEN"


HIDDEN = Hidden()


def hide(columns: Sequence[Column], document: Mapping[str, Any]) -> dict[str, Any]:
    """A document without its values. What no column names is left out; null stays null."""
    known = {each.name: each for each in columns}
    # guard: values-for-viewers
    return {name: _hidden(known[name], value) for name, value in document.items() if name in known}


def check_filters(resource: Resource, names: Sequence[str]) -> None:
    """Raises ProblemError (403) for a filter by which viewers would find out values one guess at a time."""
    for each in resource.filters:
        # guard: values-found-by-filters
        if each.value and each.name in names:
            raise ProblemError(
                Problem(
                    "viewer_key",
                    f"a viewer key finds nothing by {each.name}, which tells of values: use a secret key",
                )
            )


def _hidden(column: Column, value: Any) -> Any:
    if not column.value or value is None:
        return value
    if column.name in _SAFE_MEMBERS and isinstance(value, Mapping):
        safe = _SAFE_MEMBERS[column.name]
        return {name: each if name in safe else HIDDEN for name, each in value.items()}
    return HIDDEN
