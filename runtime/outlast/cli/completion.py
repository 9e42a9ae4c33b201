"""`outlast completion`: what a shell needs to complete commands."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from outlast.cli.command import Command

SHELLS = ("bash", "zsh", "fish")


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(SHELLS), required=False)
@click.pass_context
def completion(ctx: click.Context, shell: str | None) -> None:
    """Print the completion script of a shell. Default: the shell you use.

    \b
    bash:  eval "$(outlast completion bash)"       in ~/.bashrc
    zsh:   eval "$(outlast completion zsh)"        in ~/.zshrc
    fish:  outlast completion fish | source        in ~/.config/fish/config.fish
    """
    chosen = shell or Path(os.environ.get("SHELL", "")).name
    kind = get_completion_class(chosen) if chosen in SHELLS else None
    if kind is None:
        raise click.UsageError(f"say for which shell: {', '.join(SHELLS)}", ctx)
    click.echo(kind(ctx.find_root().command, {}, "outlast", "_OUTLAST_COMPLETE").source())
