"""`outlast completion`: the scripts that shells need to complete commands."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from outlast.cli.command import Command

SHELLS = ("bash", "zsh", "fish")

BASH = r"""
_outlast_completion() {
    local rest="$COMP_LINE" words=() before="" piece gap i type value
    # Bash parts words at `:` and `=`, which ids have. What no blank parts is one.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        piece="${COMP_WORDS[i]}"
        gap="${rest%%[![:space:]]*}"
        rest="${rest#"$gap"}"
        rest="${rest#"$piece"}"
        if [[ $i == 0 || $gap ]]; then
            before=""
            words+=("$piece")
        else
            before="${words[-1]}"
            words[-1]+="$piece"
        fi
    done
    [[ $piece == [:=]* ]] && before="${words[-1]}"
    before="${before//[^:=]/}"
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain)
                # What is chosen replaces the last piece.
                for ((i = 0; i < ${#before}; i++)); do value="${value#*[:=]}"; done
                printf -v value %q "$value"
                COMPREPLY+=("$value") ;;
        esac
    done < <(COMP_WORDS="${words[*]}" COMP_CWORD=$((${#words[@]} - 1)) _OUTLAST_COMPLETE=bash_complete "$1")
}
((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404)) && complete -o nosort -F _outlast_completion outlast
"""
"""Click's script inserts an id as it is, so the shell could run what it holds. Zsh and fish quote it."""


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
