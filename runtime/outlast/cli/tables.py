"""Commands that are made of the tables of resources and verbs (`core.resources`, `core.verbs`)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import click

from outlast.cli.cells import columns_of
from outlast.cli.command import Command, Host, host_options
from outlast.cli.screen import plain_text, print_json, print_table
from outlast.cli.workflow_id import WorkflowId
from outlast.core.clock import Clock
from outlast.core.resources import Filter, Kind, Resource
from outlast.core.status import Status
from outlast.core.verbs import Verb

LIMIT_MAX = 10_000
ROWS_MAX = 100_000
"""The limit for rows that belong to one workflow."""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

workflow_argument = click.argument("workflow_id", metavar="ID", type=WorkflowId())


class _Moment(click.ParamType[str]):
    """A time: `30m` ago, or a date with or without a time."""

    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """ISO 8601 with a zone."""
        if match := re.fullmatch(r"(\d{1,6})([smhdw])", value):
            return (Clock().now() - timedelta(**{_UNITS[match[2]]: int(match[1])})).isoformat()
        try:
            return datetime.fromisoformat(value).astimezone().isoformat()
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is no time: say 30m, 2h or 7d ago, or 2026-01-31 or 2026-01-31T18:00", param, ctx
            )


def listing_command(resource: Resource, name: str | None = None) -> click.Command:
    """The command that lists a resource; its name is the resource's unless another is given."""

    def run(host: Host, workflow_id: str = "", limit: int = ROWS_MAX, **filters: Any) -> None:
        from outlast.cli.remote import path_of

        given = {key: value or None for key, value in filters.items()}
        rows = host.connect().rows(resource.name, path_of(resource.path, workflow_id), limit, **given)
        if host.as_json:
            print_json({resource.name: rows})
        else:
            print_table(columns_of(resource), rows, resource.empty)

    command = host_options(run)
    if resource.of_workflow:
        command = workflow_argument(command)
    else:
        limit = click.IntRange(1, LIMIT_MAX)
        command = click.option("--limit", type=limit, default=20, show_default=True, help="At most so many.")(
            command
        )
    for each in reversed(resource.filters):
        if each.help is not None:
            command = _option(each)(command)
    return click.command(name or resource.name, cls=Command, help=resource.help)(command)


def verb_command(verb: Verb) -> click.Command:
    """The command that does a verb to a workflow."""

    def run(host: Host, workflow_id: str, **arguments: int) -> None:
        from outlast.cli.remote import path_of

        remote = host.connect()
        answer = remote.call("POST", path_of(verb.paths[0], workflow_id), params=arguments or None)
        document = remote.check(answer).document()
        if host.as_json:
            print_json(document)
        else:
            click.echo(f"{verb.past} {plain_text(workflow_id)}")

    command = host_options(run)
    for each in reversed(verb.arguments):
        number = click.IntRange(each.minimum, each.maximum)
        command = click.argument(each.name, metavar=each.name.upper(), type=number)(command)
    return click.command(verb.name, cls=Command, help=verb.help)(workflow_argument(command))


def _option(each: Filter) -> Callable[[Callable[..., None]], Callable[..., None]]:
    if each.kind is Kind.STATUS:
        statuses = click.Choice([*Status], case_sensitive=False)
        return click.option(f"--{each.name}", type=statuses, multiple=True, help=each.help)
    kind = _Moment() if each.kind is Kind.TIMESTAMP else None
    return click.option(f"--{each.name}", type=kind, help=each.help)
