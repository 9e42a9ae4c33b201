"""A page of a listing: reads its query, and makes the answer with the link to the next page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from outlast.core.resources import Filter, Kind, Resource
from outlast.core.status import Status
from outlast.web.http.answers import JSON, NO_STORE, Answer
from outlast.web.http.calls import Call
from outlast.web.http.documents import Verbatim, document
from outlast.web.http.parameters import Parameters, bad_cursor, cursor_of, invalid

PAGE_MAX = 1000
_PLACE_MAX = 2**31
_CURSOR_TYPES: dict[Kind, type] = {Kind.TIMESTAMP: str, Kind.TEXT: str, Kind.COUNT: int}


class PageRequest:
    """The query of a list: `filters` by name, and `limit` rows `after` a place in the order.

    Raises ProblemError (400).
    """

    def __init__(self, call: Call, resource: Resource) -> None:
        names = (*(each.name for each in resource.filters), "limit", "cursor")
        self._resource = resource
        self._parameters = Parameters(call, names)
        self.limit = self._parameters.whole("limit", resource.page_rows, 1, PAGE_MAX)
        self.filters = {each.name: _read(self._parameters, each) for each in resource.filters}
        self.after = _place(self._parameters, resource)

    def answer(self, items: Verbatim, path: str, last: Mapping[str, Any] | None) -> Answer:
        """The page with `items`. `last` is its last row; None if no others follow."""
        headers = [JSON, NO_STORE]
        following = None
        if last is not None:
            places = [last[name] for name in self._resource.order]
            cursor = cursor_of(*(at.isoformat() if isinstance(at, datetime) else at for at in places))
            pairs = [pair for pair in self._parameters.pairs if pair[0] != "cursor"]
            following = f"{path}?{urlencode([*pairs, ('cursor', cursor)])}"
            headers.append((b"link", f'<{following}>; rel="next"'.encode()))
        return Answer(200, document({self._resource.name: items, "next": following}).json, headers)


def _read(parameters: Parameters, of: Filter) -> Any:
    """The value of a filter; None if it isn't given."""
    name, kind = of.name, of.kind
    if kind is Kind.TIMESTAMP:
        return parameters.timestamp(name)
    if kind is Kind.STATUS:
        return _statuses(parameters.many(name))
    if kind is Kind.FLAG:
        return parameters.flag(name)
    if kind is Kind.PAIR:
        return [_pair(name, each) for each in parameters.repeated(name)] or None
    value = parameters.one(name)
    # guard: unknown-words-find-nothing
    if of.choices and value is not None and value not in of.choices:
        raise invalid(name, f"{name} can't be {value!r}; use {', '.join(of.choices)}")
    return value


def _statuses(names: list[str]) -> list[Status] | None:
    known = {status.value: status for status in Status}
    for name in names:
        if name.upper() not in known:
            raise invalid("status", f"there is no status {name!r}; use {', '.join(known)}")
    return [known[name.upper()] for name in dict.fromkeys(names)] or None


def _pair(name: str, text: str) -> tuple[str, str]:
    key, colon, value = text.partition(":")
    if not key or not colon:
        raise invalid(name, f"{name} must be a key and its value, as in customer:42, not {text!r}")
    return key, value


def _place(parameters: Parameters, resource: Resource) -> tuple[Any, ...] | None:
    """Where the page before ended: a value for each column of the order."""
    values = parameters.cursor(*(_CURSOR_TYPES[kind] for kind in resource.order_kinds))
    if values is None:
        return None
    return tuple(map(_place_part, values, resource.order_kinds))


def _place_part(value: Any, kind: Kind) -> Any:
    """A value of a cursor for the store. Raises ProblemError for one that no row can have."""
    if kind is Kind.TIMESTAMP:
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            raise bad_cursor() from None
        if at.tzinfo is None:
            raise bad_cursor()
        return at
    if (kind is Kind.COUNT and not 0 <= value < _PLACE_MAX) or (kind is Kind.TEXT and "\0" in value):
        raise bad_cursor()
    return value
