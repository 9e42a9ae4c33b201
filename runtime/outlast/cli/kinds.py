"""The kinds of values that commands take; keys, which shells complete; filters as options."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import click
from click.shell_completion import CompletionItem

from outlast.core.clock import Clock
from outlast.core.resources import Filter, Kind, Resource
from outlast.core.status import Status
from outlast.core.values import parse_duration, parse_rate, read_value
from outlast.core.verbs import Argument

DEFAULT = "default"
"""Stands for null, which resets the value."""

_AGO = re.compile(r"\d{1,6}[smhdw]")


class _Read(click.ParamType[Any]):
    """The result of `read` for a text.

    If that raises ValueError, `wanted` says so, with {value} or {error}.
    """

    def __init__(self, name: str, read: Callable[[Any], Any], wanted: str) -> None:
        self.name = name
        self._read = read
        self._wanted = wanted

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value as HTTP takes it."""
        try:
            return self._read(value)
        except (ValueError, OverflowError) as error:
            self.fail(self._wanted.format(value=repr(value), error=error), param, ctx)


def _read_time(text: str) -> str:
    """ISO 8601 with a zone, from `30m` (ago), or from a date with or without a time. Raises ValueError."""
    if _AGO.fullmatch(text):
        return (Clock().now() - timedelta(seconds=parse_duration(text))).isoformat()
    return datetime.fromisoformat(text).astimezone().isoformat()


class _Checked(click.ParamType[Any]):
    """A value of another type as its argument takes it, or `default` to reset it."""

    def __init__(self, argument: Argument, kind: click.ParamType[Any]) -> None:
        self.name = kind.name
        self._argument = argument
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value; DEFAULT if it is reset."""
        if value == DEFAULT and self._argument.nullable:
            return DEFAULT
        found = self._kind.convert(value, param, ctx)
        try:
            read_value(self._argument, found)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return found


_JSON = _Read("json", json.loads, "this is not JSON: {error}")
_TYPES: dict[Kind, click.ParamType[Any]] = {
    Kind.COUNT: click.INT,
    Kind.INTEGER: click.INT,
    Kind.NUMBER: click.FLOAT,
    Kind.DURATION: _Read(
        "duration", parse_duration, "{value} is no duration: say 90 (seconds), 90s, 5m, 2h or 7d"
    ),
    Kind.RATE: _Read("rate", parse_rate, "{value} is no rate: say 100/60s, 5/1m or 1000/1h"),
    Kind.TIMESTAMP: _Read(
        "time",
        _read_time,
        "{value} is no time: say 30m, 2h or 7d ago, or 2026-01-31 or 2026-01-31T18:00",
    ),
    Kind.OBJECT: _JSON,
    Kind.JSON: _JSON,
}


def kind_of(each: Filter | Argument) -> click.ParamType[Any]:
    """The type of a command's option or argument."""
    kind = _TYPES.get(each.kind, click.STRING)
    return _Checked(each, kind) if isinstance(each, Argument) else kind


def sent(each: Argument, value: Any) -> Any:
    """The value as HTTP takes it."""
    return None if each.nullable and value == DEFAULT else value


Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def filter_options(filters: Sequence[Filter]) -> Decorator:
    """Add the options that filter rows."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for each in reversed(filters):
            if each.help is not None:
                command = _filter_option(each)(command)
        return command

    return decorate


def _filter_option(each: Filter) -> Decorator:
    option = f"--{each.name.replace('_', '-')}"
    if each.kind is Kind.STATUS:
        statuses = click.Choice([*Status], case_sensitive=False)
        return click.option(option, type=statuses, multiple=True, help=each.help)
    if each.kind is Kind.PAIR:
        return click.option(option, type=kind_of(each), multiple=True, help=each.help)
    if each.kind is Kind.FLAG:
        return click.option(f"{option}/--no-{option[2:]}", default=None, help=each.help)
    kind = click.Choice(each.choices) if each.choices else kind_of(each)
    return click.option(option, type=kind, help=each.help)


def given_filters(options: Mapping[str, Any]) -> dict[str, Any]:
    """The filters that were given; repeatable ones as lists."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in options.items()
        if value not in (None, "", ())
    }


OFFERED_MAX = 50


class KeyOf(click.ParamType[str]):
    """The key of a row of a resource; it may be any text."""

    def __init__(self, resource: Resource) -> None:
        self.name = resource.key
        self._resource = resource

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The key as given. A key that no address can end with is refused: it would be taken for all rows."""
        if value in ("", ".", ".."):
            self.fail(f"{value!r} is no {self._resource.one}", param, ctx)
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Keys with this prefix; none if no host answers, and never an error on the prompt."""
        with contextlib.suppress(Exception), ctx:
            return [
                CompletionItem(each[self.name], help=each.get("status"))
                for each in self._first(ctx.params)
                if each[self.name].startswith(incomplete) and each[self.name].isprintable()
            ]
        return []

    def _first(self, options: dict[str, Any]) -> list[dict[str, Any]]:
        from outlast.cli.command import connect

        remote = connect(options.get("url"), options.get("env_file"))
        found = remote.get(self._resource.path, limit=OFFERED_MAX).document()
        return found.get(self._resource.name) or []


def key_argument(resource: Resource) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the argument that names one row; commands get it as `item`."""
    metavar = "ID" if resource.key.endswith("_id") else resource.key.upper()
    return click.argument("item", metavar=metavar, type=KeyOf(resource))
