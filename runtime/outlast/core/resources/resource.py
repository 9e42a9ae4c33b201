"""What a resource is: a listing, its columns, its filters and its order."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import quote

COUNTED_MAX = 1000
"""How far counts go that would take long for many rows: this number stands for itself and all above."""


class Kind(StrEnum):
    """What a column holds, or a filter takes."""

    TEXT = "text"
    COUNT = "count"
    """A whole number from 0 on."""
    COUNT_AT_LEAST = "count, at least"
    """A count up to COUNTED_MAX."""
    INTEGER = "integer"
    NUMBER = "number"
    DURATION = "duration"
    """A number of seconds; a command takes `90`, `90s`, `5m`, `2h` or `7d`."""
    FLAG = "flag"
    RATE = "rate"
    """`{"n": 100, "per": 60}` (seconds), and `"smooth": true` if it is; a command takes `100/60s`."""
    TIMESTAMP = "timestamp"
    """A date with time and offset; a filter takes a date alone, too."""
    OBJECT = "object"
    JSON = "json"
    """Any JSON, as it was recorded."""
    STATUS = "status"
    """A workflow's status; a filter takes several."""
    STEP_STATUS = "step status"
    PAIR = "pair"
    """A key and its value; only filters have it."""


class Column(NamedTuple):
    """A column of a resource: a member of its JSON documents."""

    name: str
    kind: Kind
    about: str = ""
    nullable: bool = False
    optional: bool = False
    """Whether documents may lack it."""
    recorded: bool = False
    """Whether its JSON is passed on exactly as it was recorded."""
    secret: bool = False
    """Whether it is null for callers without a secret key."""
    value: bool = False
    """Whether it shows data of workflows, which a viewer key may not see."""


class Filter(NamedTuple):
    """A parameter that filters a list, and the option `--name` of its command."""

    name: str
    kind: Kind
    about: str
    """For OpenAPI."""
    help: str | None = None
    """Help of the option; None if the command has no such option."""
    value: bool = False
    """Whether it reveals data of workflows, so that a viewer key may not use it."""
    choices: tuple[str, ...] = ()
    """The allowed values; empty: any text."""

    @property
    def several(self) -> bool:
        """Whether it may be given several times."""
        return self.kind in (Kind.STATUS, Kind.PAIR)


class Resource(NamedTuple):
    """A list: of all rows, or of those that belong to one row of another resource."""

    name: str
    path: str
    schema: str
    """The name of its documents in OpenAPI."""
    columns: tuple[Column, ...]
    filters: tuple[Filter, ...]
    order: tuple[str, ...]
    """The columns that rows are ordered by. The cursor holds their values."""
    about: str
    """For OpenAPI, and for its command if `help` is empty."""
    empty: str
    """What a terminal shows if there are no rows."""
    help: str = ""
    """The help of its command, if it differs from `about`."""
    page_rows: int = 50
    """Rows of a page without `limit`."""
    secret: bool = True
    """Whether only holders of a secret key may read it. Otherwise the list of all rows takes a `subject`."""
    one: str = ""
    """The word for one row, if a single one can be read: `GET PATH/KEY`, `outlast NAME show KEY`."""
    key: str = ""
    """The column that identifies a row, the placeholder in paths, and the parameter in SQL."""
    of: Resource | None = None
    """The resource to which its rows belong, if any. Its path begins with that one's `item_path`."""
    commands: str = ""
    """The help of the group of its commands."""
    table: tuple[str, ...] = ()
    """The columns that the command shows; empty: all."""

    @property
    def command_help(self) -> str:
        """Help of its command."""
        return self.help or f"{self.about}."

    @property
    def order_kinds(self) -> tuple[Kind, ...]:
        """The kinds of the columns that rows are ordered by. Those that aren't shown are counts."""
        kinds = {each.name: each.kind for each in self.columns}
        return tuple(kinds.get(each, Kind.COUNT) for each in self.order)

    @property
    def item_path(self) -> str:
        """The path of one row."""
        return f"{self.path}/{{{self.key}}}"

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that its query takes: that of a single row, and that of the resource it belongs to."""
        return tuple(each.key for each in (self, self.of) if each is not None and each.key)


def nullable(name: str, kind: Kind, about: str = "", *, value: bool = False) -> Column:
    """A column that may be null."""
    return Column(name, kind, about, nullable=True, value=value)


def path_of(template: str, *keys: str) -> str:
    """A path of a resource or a verb with these keys in place of its placeholders."""
    given = iter(keys)
    return re.sub(r"\{\w+\}", lambda _: quote(next(given), safe=""), template)


OF_FUNCTION = Filter("function", Kind.TEXT, "Of this function.", "Only this function's.")
AGO = "30m, 2h or 7d ago, or a date."
"""How commands take a point in time."""


class Page(NamedTuple):
    """Rows of a list, in its order."""

    rows: list[dict[str, Any]]
    more: bool
    """Whether more rows follow. A page may end before `limit`, if it reaches its limit of bytes."""
