"""Filters of listings as options of commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from outlast.cli.kinds import kind_of
from outlast.core.resources import Filter, Kind
from outlast.core.status import Status

Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def filter_options(filters: Sequence[Filter]) -> Decorator:
    """The options that filter rows."""

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
    """Those of the options that were given; lists of what may be repeated."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in options.items()
        if value not in (None, "", ())
    }
