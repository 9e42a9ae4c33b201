"""Commands made from the tables of resources and verbs (`core.resources`, `core.verbs`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import click

from outlast.cli.cells import columns_of, pairs_of
from outlast.cli.command import Command, CommandGroup, Host, host_options
from outlast.cli.kinds import filter_options, given_filters, key_argument
from outlast.cli.screen import is_terminal, plain_text, print_json, print_pairs, print_table
from outlast.cli.verbs import verb_command
from outlast.core.resources import RESOURCES, Resource, path_of
from outlast.core.verbs import VERBS

LIMIT_MAX = 10_000
ROWS_MAX = 100_000
"""The limit for rows that belong to one row of another resource."""


def resource_commands(resource: Resource, *own: click.Command) -> click.Command:
    """The commands of a resource: list, show, belonging rows, verbs. `own` replaces those of the same name.

    A resource without a group has one command, which lists it.
    """
    if not resource.commands:
        return listing_command(resource)
    written = {each.name: each for each in own}
    made = {each.name: each for each in _commands(resource)}
    group = CommandGroup(resource.name, help=resource.commands)
    for name, command in {**made, **written}.items():
        group.add_command(command, name)
    return group


def _commands(resource: Resource) -> Iterator[click.Command]:
    yield listing_command(resource, "list")
    if resource.key:
        yield show_command(resource)
    yield from (listing_command(each) for each in RESOURCES if each.of is resource)
    yield from (verb_command(each) for each in VERBS if each.noun is resource)


def _a(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def listing_command(resource: Resource, name: str | None = None) -> click.Command:
    """The command that lists a resource; it has the resource's name unless another is given."""

    def run(host: Host, item: str = "", limit: int = ROWS_MAX, **filters: Any) -> None:
        print_listing(resource, host, item, limit, **filters)

    command = host_options(run)
    if resource.of is not None:
        command = key_argument(resource.of)(command)
    else:
        limit = click.IntRange(1, LIMIT_MAX)
        command = click.option("--limit", type=limit, default=20, show_default=True, help="At most so many.")(
            command
        )
    command = filter_options(resource.filters)(command)
    return click.command(name or resource.name, cls=Command, help=resource.command_help)(command)


def print_listing(
    resource: Resource, host: Host, item: str = "", limit: int = ROWS_MAX, **filters: Any
) -> None:
    """Print the rows of a resource, or those that belong to `item`, that pass the filters."""
    rows = host.connect().rows(resource.name, path_of(resource.path, item), limit, **given_filters(filters))
    if host.as_json:
        print_json({resource.name: rows})
    else:
        print_table(columns_of(resource), rows, resource.empty)


def show_command(resource: Resource) -> click.Command:
    """The command that shows one row."""

    def run(host: Host, item: str) -> None:
        print_row(resource, host.connect().get(path_of(resource.item_path, item)).document(), host)

    command = key_argument(resource)(host_options(run))
    return click.command("show", cls=Command, help=f"Show {_a(resource.one)}.")(command)


def print_row(
    resource: Resource,
    row: dict[str, Any],
    host: Host,
    shown: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Print one row: JSON or a member a line for programs; `shown`, or its columns in lines, for people."""
    if host.as_json:
        print_json(row)
    elif not is_terminal():
        for name, value in row.items():
            click.echo(f"{plain_text(name)}\t{plain_text(value)}")
    elif shown is not None:
        shown(row)
    else:
        print_pairs(pairs_of(resource, row))
