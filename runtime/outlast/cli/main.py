"""The `outlast` command: its subcommands, and how each of them ends.

Exit status 0, 1 (failed), 2 (wrong usage), 130 (Ctrl-C). An error is one line on standard error, and with
`--json` also an object on standard output. A command's module is imported only for that command, and imports
what it needs when it runs. So `outlast serve` starts sooner, and `outlast --help` loads no web server.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from click.exceptions import NoArgsIsHelpError

from outlast.cli.command import CommandGroup, nearest
from outlast.cli.failures import CommandFailed
from outlast.cli.screen import escaped_lines, one_line, print_json, say
from outlast.core.errors import OutlastError
from outlast.core.resources import RESOURCES, WORKFLOWS

_RESOURCES = {each.name: each for each in RESOURCES if each.of is None and each is not WORKFLOWS}
_PLACES = {
    "serve": "serve.serve",
    "new": "new.new",
    "list": "listing.list_functions",
    "invoke": "invoke.invoke",
    "workflows": "workflows.workflows",
    **dict.fromkeys(_RESOURCES, "tables.resource_commands"),
    "check": "check.check",
    "db": "db.db",
    "doctor": "doctor.doctor",
    "token": "token.token",
    "completion": "completion.completion",
}
"""The commands in the order of the help, and their places in this package."""

FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130
_UNWRITABLE = {errno.ENOSPC, errno.EBADF, errno.EIO, errno.EDQUOT}


class _Outlast(CommandGroup):
    """The top: Ctrl-C ends it quietly, and so does a reader that stops early (`outlast … | head`)."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, imported or not."""
        return list(_PLACES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command if need be."""
        if cmd_name not in self.commands and cmd_name in _PLACES:
            module, name = _PLACES[cmd_name].split(".")
            found = getattr(import_module(f"outlast.cli.{module}"), name)
            resource = _RESOURCES.get(cmd_name)
            self.add_command(found if resource is None else found(resource), cmd_name)
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the requested command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            return INTERRUPTED
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0


@click.group(cls=_Outlast, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="outlast", message="%(prog)s %(version)s")
def outlast() -> None:
    """Python functions next to Supabase that outlast crashes, deploys and freezes."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    _open_closed_streams()
    args = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        # `obj`: whether this process is the command, which may restart itself, and not part of another
        # program.
        status = outlast.main(args, prog_name="outlast", standalone_mode=False, obj=arguments is None)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - people get one line of any error
        return _report(_undecoded(error, args) or error, _flags(args))
    return status if isinstance(status, int) else 0


def _open_closed_streams() -> None:
    """Replace standard streams that were closed at the start, for which Python has None."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - it stays open


def _undecoded(error: Exception, args: Sequence[str]) -> click.UsageError | None:
    """The error for an argument that isn't UTF-8. A path may be so; text that is sent or printed may not."""
    if not isinstance(error, UnicodeEncodeError):
        return None
    wrong = [each for each in args if re.search("[\ud800-\udfff]", each)]
    return click.UsageError(f"{wrong[0]!r} is no text in UTF-8") if wrong else None


def _flags(args: Sequence[str]) -> frozenset[str]:
    """The given flags that shape an error's report, known even if parsing failed."""
    before = args[: args.index("--")] if "--" in args else args
    return frozenset({"--json", "--debug"}.intersection(before))


def _report(error: Exception, flags: frozenset[str]) -> int:
    if isinstance(error, NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return WRONG_USAGE
    from outlast.observe.redaction import redactor

    if "--debug" in flags and not isinstance(error, click.UsageError):  # a traceback explains no usage error
        import traceback

        text = escaped_lines("".join(traceback.format_exception(error)))
        click.echo(redactor.redact(text), err=True, nl=False)
    code, message, status, more = _describe_error(error)
    message = redactor.redact(message)
    try:
        say("error", message)
        if "--json" in flags:
            print_json({"error": {"code": code, "message": message, **more}})
    except OSError:  # nobody reads it, or it can't be written: only the status can tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


def _describe_error(error: Exception) -> tuple[str, str, int, dict[str, Any]]:
    """Code, one line, exit status and further members for programs."""
    from outlast.core.ports import Unreachable
    from outlast.store.remedies import OF_AWAY, refusal, remedy_for

    if isinstance(error, click.UsageError):
        error = _suggest_similar(error)
        hint = f" (see `{error.ctx.command_path} --help`)" if error.ctx is not None else ""
        return "usage", one_line(error.format_message()) + hint, WRONG_USAGE, {}
    if isinstance(error, click.ClickException):
        return "failed", one_line(error.format_message()), FAILED, {}
    if isinstance(error, OutlastError):
        # The first line is complete in itself. If a server's log follows, --debug shows it.
        message = one_line((str(error).splitlines() or [""])[0])
        status = WRONG_USAGE if getattr(error, "from_option", False) else FAILED
        return error.code, message, status, error.more if isinstance(error, CommandFailed) else {}
    if isinstance(error, Unreachable):
        remedy = remedy_for(str(error))
        what = f"{one_line(str(error))}; remedy: {OF_AWAY if remedy is None else remedy.text}"
        return "database_unavailable", f"can't reach the database: {what}", FAILED, {}
    if (refused := refusal(error)) is not None:
        return "database_refused", one_line(refused), FAILED, {}
    if isinstance(error, OSError) and error.filename is None and error.errno in _UNWRITABLE:
        return "not_written", f"standard output can't be written: {error.strerror}", FAILED, {}
    text = one_line(f"{type(error).__name__}: {error}")
    return "internal_error", f"{text} (a fault of outlast; --debug shows where)", FAILED, {}


def _suggest_similar(error: click.UsageError) -> click.UsageError:
    """Suggest options better than click, which compares dashes, too, and ignores commands below."""
    if not isinstance(error, click.NoSuchOption):
        return error
    group = error.ctx.command if error.ctx is not None else None
    below = group.options_below(error.ctx) if error.ctx and isinstance(group, CommandGroup) else ()
    if error.option_name in below:
        return click.UsageError(f"{error.option_name} stands after the command, not before it.", error.ctx)
    bare = {each.lstrip("-"): each for each in error.possibilities or ()}
    near = nearest(error.option_name.lstrip("-"), bare)
    return click.NoSuchOption(error.option_name, possibilities=[bare[each] for each in near], ctx=error.ctx)
