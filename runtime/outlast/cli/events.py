"""`outlast workflows events`: shows what a workflow has published, and with `--follow` also what comes."""

from __future__ import annotations

from typing import Any

import click

from outlast.cli.command import Command, Host, host_options
from outlast.cli.kinds import filter_options, key_argument
from outlast.cli.screen import compact, plain_text, say
from outlast.cli.tables import print_listing
from outlast.core.resources import EVENTS, WORKFLOWS, path_of


@click.command(cls=Command, help=EVENTS.command_help)
@key_argument(WORKFLOWS)
@filter_options(EVENTS.filters)
@click.option(
    "--follow", "follows", is_flag=True, help="Go on until the workflow ends, with what steps emit."
)
@host_options
def events(item: str, follows: bool, host: Host, **filters: Any) -> None:
    """See EVENTS.command_help."""
    if not follows:
        print_listing(EVENTS, host, item, **filters)
        return
    from outlast.cli.streams import follow_stream

    given = {name: value for name, value in filters.items() if value}
    for kind, data in follow_stream(host.connect(), path_of(EVENTS.path, item), given):
        if host.as_json:
            click.echo(compact({"kind": kind, **data}))
        elif kind == "end":
            say("ended", f"{item} as {data.get('status')}")
        elif kind == "dropped":
            say("dropped", f"{data.get('count')} emitted values: this end reads too slowly")
        else:
            told = ("number", "event", "published_at") if kind == "event" else ("name", "step_id", "attempt")
            cells = [plain_text(data.get(each)) for each in told]
            click.echo("\t".join([kind, *cells, plain_text(data.get("value"))]))
