"""Commands that do verbs (`core.verbs`): to one row, or to many workflows at once."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import click

from outlast.cli.command import Command, Host, host_options
from outlast.cli.kinds import Decorator, KeyOf, filter_options, given_filters, key_argument, kind_of, sent
from outlast.cli.screen import Column, plain_text, print_json, print_table, say
from outlast.core.resources import FOUND_BY, Kind, path_of
from outlast.core.verbs import BULK, Argument, Verb


def verb_command(verb: Verb) -> click.Command:
    """The command that does a verb: to one row, to all that pass some filters, or without a row."""
    return many_command(verb) if verb.bulk else one_command(verb)


def one_command(verb: Verb) -> click.Command:
    """The command that does a verb to one row, or without a row."""

    def run(host: Host, item: str = "", **given: Any) -> None:
        do_one(verb, host, item, _arguments(verb, given))

    command = host_options(run)
    for each in reversed(verb.arguments):
        command = _argument(each)(command)
    if verb.of_one:
        command = key_argument(verb.noun)(command)
    return click.command(verb.name, cls=Command, help=verb.help)(command)


def many_command(verb: Verb) -> click.Command:
    """The same, for an ID or for all workflows that pass filters."""

    def run(host: Host, item: str | None, **given: Any) -> None:
        filters = given_filters({each.name: given.pop(each.name) for each in FOUND_BY})
        options = {name: given.pop(name) for name in _OF_BULKS}
        if item is not None:
            if filters or any(each is not None and each is not False for each in options.values()):
                raise click.UsageError("give an ID or filters, not both", click.get_current_context())
            do_one(verb, host, item, _arguments(verb, given))
            return
        if not filters:
            raise click.UsageError(
                "give an ID, or filters such as --status ERROR --function NAME for many at once",
                click.get_current_context(),
            )
        arguments = _arguments(verb, given)
        asked = {
            "verb": verb.name,
            "filter": filters,
            "arguments": arguments,
            "why": arguments.pop("why", None),
        }
        begin_bulk(verb, host, {**asked, **options})

    command = host_options(run)
    command = _options_of_bulks(command)
    command = filter_options([each._replace(help=each.help or each.about) for each in FOUND_BY])(command)
    for each in reversed(verb.arguments):
        command = _argument(each, option=True)(command)
    command = click.argument("item", metavar="[ID]", required=False, type=KeyOf(verb.noun))(command)
    return click.command(verb.name, cls=Command, help=f"{verb.help} With filters: all that pass them.")(
        command
    )


_OF_BULKS = ("dry_run", "expect", "rate")


def _options_of_bulks(command: Callable[..., None]) -> Callable[..., None]:
    for each in reversed([each for each in BULK.arguments if each.name in _OF_BULKS]):
        about = f"With filters: {each.about[0].lower()}{each.about[1:]}"
        command = _argument(each._replace(about=about))(command)
    return command


def do_one(verb: Verb, host: Host, item: str, arguments: Mapping[str, Any]) -> None:
    """Do it, and report it."""
    answer = host.connect().send(verb.method, path_of(verb.paths[0], item), arguments)
    document = answer.document()
    if host.as_json:
        print_json(document)
    elif item and answer.status == HTTPStatus.ACCEPTED and verb.accepted:
        click.echo(f"accepted {plain_text(item)}: {verb.accepted[0].lower()}{verb.accepted[1:]}")
        click.echo(f"Its end: outlast {verb.noun.name} wait {shlex.quote(plain_text(item))}")
    else:
        told = ", ".join(
            f"{each.name} {plain_text(document.get(each.name))}"
            for each in verb.answer
            if document.get(each.name) != item
        )
        click.echo(": ".join(filter(None, (f"{verb.past} {plain_text(item)}".rstrip(), told))))


def begin_bulk(verb: Verb, host: Host, asked: Mapping[str, Any]) -> None:
    """Start it for many, or show what it would do."""
    given = {name: value for name, value in asked.items() if value not in (None, {}) and value is not False}
    found = host.connect().send(BULK.method, BULK.paths[0], given).document()
    if host.as_json:
        print_json(found)
    elif found.get("workflow_id") is None:
        print_table(_SAMPLES, found.get("samples") or [], "no workflows")
        say("note", f"{found.get('count')} workflows are found: {verb.name} would be tried on each")
    else:
        click.echo(plain_text(found["workflow_id"]))
        count = found.get("count")
        say("note", f"{verb.name} {count} workflows: see `outlast bulks show` and `outlast bulks items`")


_SAMPLES = (
    Column("WORKFLOW", "workflow_id"),
    Column("STATUS", "status", coloured=True),
    Column("OUTCOME", "outcome"),
    Column("ANSWER", lambda row: plain_text(row.get("reason") or row.get("answer"))),
)


def _arguments(verb: Verb, given: Mapping[str, Any]) -> dict[str, Any]:
    return {each.name: sent(each, given[each.name]) for each in verb.arguments if _is_given(each, given)}


def _is_given(each: Argument, given: Mapping[str, Any]) -> bool:
    return given[each.name] is not None and given[each.name] is not False


def _argument(each: Argument, *, option: bool = False) -> Decorator:
    """Add the verb's argument or option; with `option` always an option."""
    if each.required and not option:
        return click.argument(each.name, metavar=each.name.upper(), type=kind_of(each))
    name = f"--{each.name.replace('_', '-')}"
    if each.kind is Kind.FLAG:
        return click.option(name, each.name, is_flag=True, help=each.about)
    about = f"{each.about} `default` takes it back." if each.nullable else each.about
    return click.option(name, each.name, type=kind_of(each), help=about, required=each.required)
