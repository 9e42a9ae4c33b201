"""What viewers don't see: values, of which the tables of `core/resources` say where they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from outlast.core.resources import Column, Resource
from outlast.web.http.problems import Problem, ProblemError

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
