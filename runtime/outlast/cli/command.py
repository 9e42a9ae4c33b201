"""The base of commands: the options they share, and how they read the settings."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from outlast.cli.screen import say

if TYPE_CHECKING:
    from outlast.cli.remote import Remote
    from outlast.host.settings import Settings

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


_NEAR = 0.65
"""How similar a word must be to be suggested: 1 means equal."""


class Command(click.Command):
    """Takes `--debug` at any place; `outlast.cli.main` reads it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(["--debug"], is_flag=True, expose_value=False, help="Show tracebacks of errors.")
        )


class CommandGroup(Command, click.Group):
    """A group of such commands, listed in the order in which they were added."""

    command_class = Command
    group_class = type

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in that order."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that `args` name. If there is none, the error names similar ones, or all."""
        name, names = args[0], self.list_commands(ctx)
        if name in names or ctx.resilient_parsing or name.startswith("-"):
            return super().resolve_command(ctx, args)
        near = nearest(name, names)
        found = f"Did you mean {near[0]!r}?" if near else f"The commands are {', '.join(names)}."
        raise click.UsageError(f"No such command {name!r}. {found}", ctx)

    def all_commands(self, ctx: click.Context) -> dict[str, click.Command]:
        """Its commands by name, imported if need be."""
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        return {name: command for name, command in found if command is not None}

    def options_below(self, ctx: click.Context) -> Iterator[str]:
        """The options of all its commands."""
        for command in self.all_commands(ctx).values():
            if isinstance(command, CommandGroup):
                yield from command.options_below(ctx)
            yield from (name for each in command.params for name in each.opts)


def nearest(word: str, possible: Iterable[str]) -> list[str]:
    """At most three of `possible` that `word` may mean, the nearest first."""
    from difflib import get_close_matches

    return get_close_matches(word, list(possible), 3, _NEAR)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
env_file_option = click.option(
    "--env-file",
    type=click.Path(path_type=Path),
    help="Read settings from this file instead of .env.",
)
functions_option = click.option(
    "--functions", type=click.Path(path_type=Path), help="The folder of functions. Default: functions."
)
url_option = click.option(
    "--url", help="Where the host is. Default: OUTLAST_URL, else http://127.0.0.1 at PORT, else 8000."
)


class Host(NamedTuple):
    """The running host that a command asks, and how it prints the answer."""

    url: str | None
    env_file: Path | None
    as_json: bool

    def connect(self) -> Remote:
        """See `connect`."""
        return connect(self.url, self.env_file)


def host_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of all commands that ask a running host; the command gets them as `host`."""

    @functools.wraps(command)
    def run(*args: Any, url: str | None, env_file: Path | None, as_json: bool, **options: Any) -> None:
        command(*args, host=Host(url, env_file, as_json), **options)

    return url_option(env_file_option(json_option(run)))


def read_settings(**options: Any) -> Settings:
    """Read the settings, with these options on top; warnings go to standard error. Raises SettingsError."""
    from outlast.host.settings import Settings

    settings = Settings.load(**options)
    for line in settings.warnings:
        say("warning", line)
    return settings


def connect(url: str | None, env_file: Path | None) -> Remote:
    """Connect to the running host that settings and options name, until the command ends.

    Raises SettingsError and SecretKeyError.
    """
    from outlast.cli.remote import Remote

    settings = read_settings(url=url, env_file=env_file)
    address = settings.url or f"http://127.0.0.1:{settings.port}"
    remote = Remote(address, settings.secret_key or _read_kept_key(settings, address))
    click.get_current_context().call_on_close(remote.close)
    return remote


def _read_kept_key(settings: Settings, address: str) -> str | None:
    """The key that `outlast serve` made for the embedded database. It is sent only to this machine."""
    from urllib.parse import urlsplit

    from outlast.host.secret_key import read_secret_key

    return read_secret_key(settings.home) if urlsplit(address).hostname in _LOOPBACK else None
