"""`outlast completion`: what a shell needs to complete commands."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from outlast.cli.command import Command

SHELLS = ("bash", "zsh", "fish")

BASH = r"""
_outlast_completion() {
    local line="${COMP_LINE:0:COMP_POINT}" breaks="${COMP_WORDBREAKS//[^:=]/}" before="" words type value
    read -r -a words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    # What is chosen replaces only what stands after the last of these.
    [[ $breaks ]] && before="${words[-1]%"${words[-1]##*[$breaks]}"}"
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) printf -v value %q "${value#"$before"}"; COMPREPLY+=("$value") ;;
        esac
    done < <(COMP_WORDS="${words[*]}" COMP_CWORD=$((${#words[@]} - 1)) _OUTLAST_COMPLETE=bash_complete "$1")
}
complete -o nosort -F _outlast_completion outlast
"""
"""Click's inserts an id as it is, which may hold what a shell would run. Zsh and fish quote it."""


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
    if chosen == "bash":
        click.echo(BASH.strip())
        return
    kind = get_completion_class(chosen) if chosen in SHELLS else None
    if kind is None:
        raise click.UsageError(f"say for which shell: {', '.join(SHELLS)}", ctx)
    click.echo(kind(ctx.find_root().command, {}, "outlast", "_OUTLAST_COMPLETE").source())
