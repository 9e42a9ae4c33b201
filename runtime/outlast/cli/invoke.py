"""`outlast invoke`: calls a function of the running host and waits for its result."""

from __future__ import annotations

import math
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import click
from click.shell_completion import CompletionItem

from outlast.cli.command import Command, Host, host_options
from outlast.cli.data import key_option, read_data
from outlast.cli.failures import CommandFailed
from outlast.cli.screen import escaped_lines, is_terminal, print_json, say, tell
from outlast.core.clock import monotonic
from outlast.core.names import is_function_name
from outlast.core.printable import escape

if TYPE_CHECKING:
    from outlast.cli.remote import Answer, Remote

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
WAIT_MAX_S = 7 * 86_400
ANSWER_TIMEOUT_S = 3_660.0
"""A host may be set to hold a call for an hour."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A request that can be sent again: its key makes it the same request."""

    name: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes | None
    key: str
    no_wait: bool

    def headers_until(self, ends: float | None) -> dict[str, str]:
        """The headers, with how long the host may hold the call: until `ends`, a time of `monotonic`."""
        if self.no_wait:
            return {**self.headers, "prefer": "respond-async"}
        if ends is None:
            return self.headers
        return {**self.headers, "prefer": f"wait={max(0, math.ceil(ends - monotonic()))}"}


class _FunctionName(click.ParamType[str]):
    """NAME, or NAME/SUB/PATH."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as given, if a function can be called by it."""
        if not is_function_name(value.partition("/")[0]):
            self.fail(f"{value!r} names no function: a letter, then letters, digits, _ and -", param, ctx)
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The functions of this folder."""
        folders = (Path("functions"), Path("supabase/functions"))
        names = {each.stem for folder in folders for each in folder.glob("*.py")}
        names |= {each.parent.name for folder in folders for each in folder.glob("*/index.py")}
        return [
            CompletionItem(each) for each in sorted(names) if each.startswith(incomplete) and each[0] != "_"
        ]


@click.command(cls=Command)
@click.argument("name", type=_FunctionName())
@click.option(
    "--data",
    metavar="JSON|@FILE|-",
    callback=read_data,
    help="The body: JSON, @FILE for a file's, - for standard input's.",
)
@key_option
@click.option(
    "--async", "no_wait", is_flag=True, help="Don't wait: print the workflow id once it is durable."
)
@click.option(
    "--method", type=click.Choice(_METHODS, case_sensitive=False), default="POST", show_default=True
)
@click.option(
    "--wait",
    "wait_s",
    metavar="SECONDS",
    type=click.IntRange(0, WAIT_MAX_S),
    help="Wait no longer than this for the result. Default: until the workflow ends.",
)
@host_options
def invoke(
    name: str, data: bytes | None, key: str, no_wait: bool, method: str, wait_s: int | None, host: Host
) -> None:
    """Call the function NAME of the running host and print its answer.

    NAME may be NAME/SUB/PATH. The exit status is 1 if the answer is an error.
    """
    if no_wait and wait_s is not None:
        raise click.UsageError("--async doesn't wait: leave --wait out", click.get_current_context())
    remote = host.connect()
    ends = None if wait_s is None else monotonic() + wait_s
    headers = {"idempotency-key": key} | ({"content-type": "application/json"} if data is not None else {})
    path = "/functions/v1/" + "/".join(quote(part, safe="") for part in name.split("/"))
    call = _Call(name, method.upper(), path, headers, data, key, no_wait)
    answer = _ask(remote, call, ends)
    pending = _pending_id(answer)
    if no_wait:
        _print_started(remote, answer, pending, host.as_json)
        return
    if pending is not None:
        answer = _result(remote, call, pending, ends)
    _print_answer(remote, call, answer, host.as_json)


def _ask(remote: Remote, call: _Call, ends: float | None, workflow_id: str | None = None) -> Answer:
    """Return the answer. The call is repeated, with the same key, while the host refuses temporarily.

    If the call is known to be `workflow_id`, the host may also be away, because nothing can run twice. Raises
    CommandFailed.
    """
    from outlast.cli.following import retry_while_away
    from outlast.cli.remote import CONNECTION_BROKEN, UNREACHABLE, is_from_proxy, is_refusal, is_temporary

    refused = False

    def ask() -> Answer:
        nonlocal refused, workflow_id
        headers = call.headers_until(ends)
        answer = remote.call(
            call.method, call.path, headers=headers, body=call.body, answer_timeout_s=ANSWER_TIMEOUT_S
        )
        if not is_refusal(answer) and not (workflow_id is not None and is_from_proxy(answer)):
            return answer
        failure = remote.problem_of(answer)
        workflow_id = workflow_id or failure.more.get("workflow_id")
        if not refused and sys.stderr.isatty():
            say("waiting", f"for a host: {failure}")
        refused = True
        raise failure

    def passes(failure: CommandFailed) -> bool:
        never_ran = refused and (failure.code == UNREACHABLE or "http_status" in failure.more)
        return is_temporary(failure) and (workflow_id is not None or never_ran)

    try:
        return retry_while_away(ask, ends, passes)
    except CommandFailed as failure:
        broken = failure.code == CONNECTION_BROKEN  # whether the function was started is unknown
        if not broken and not passes(failure):
            raise
        what = "the connection broke before the answer" if broken else str(failure)
        again = f"the same again with --key {call.key} gets the result"
        waits = (
            f", and so does: outlast workflows wait {shlex.quote(workflow_id)}"
            if workflow_id is not None
            else ""
        )
        more = failure.more | {"key": call.key, "workflow_id": workflow_id}
        raise CommandFailed(failure.code, f"{what}; {again}{waits}", **more) from failure


def _pending_id(answer: Answer) -> str | None:
    """The id of a workflow that still runs; None for any other answer, also a function's own 202."""
    from outlast.cli.remote import decoded

    if answer.status != 202 or "idempotency-replayed" in answer.headers:
        return None
    if "/workflows/v1/" not in answer.headers.get("location", ""):
        return None
    document = decoded(answer)
    found = document.get("workflow_id") if isinstance(document, dict) else None
    return found if isinstance(found, str) else None


def _result(remote: Remote, call: _Call, workflow_id: str, ends: float | None) -> Answer:
    """Wait for the end, then ask for the answer that the first caller would have got."""
    from outlast.cli.following import follow

    if sys.stderr.isatty():
        say("waiting", f"for {workflow_id}")
    follow(remote, workflow_id, ends)
    return _ask(remote, call, None, workflow_id)


def _print_started(remote: Remote, answer: Answer, pending: str | None, as_json: bool) -> None:
    """Print the id of the started workflow, or of one started before; what isn't durable has none."""
    from outlast.cli.remote import decoded

    workflow_id = pending or answer.headers.get("workflow-id")
    if workflow_id is None and answer.status >= 400:
        raise remote.problem_of(answer)
    if workflow_id is None:
        raise CommandFailed(
            "not_durable",
            f"it is no workflow, and has answered HTTP {answer.status} already: leave --async out",
            http_status=answer.status,
            body=decoded(answer),
        )
    tell({"workflow_id": workflow_id, "ended": pending is None}, escape(workflow_id), as_json=as_json)


def _print_answer(remote: Remote, call: _Call, answer: Answer, as_json: bool) -> None:
    """Print the body; for an error its line, and its body, too, if the function wrote it itself."""
    from outlast.cli.remote import decoded, problem_document

    if answer.status >= 400:
        if problem_document(answer) is None and not as_json:
            _print_body(answer)
        raise remote.problem_of(answer)
    if as_json:
        replayed = answer.headers.get("idempotency-replayed")
        print_json(
            {
                "workflow_id": answer.headers.get("workflow-id"),
                "http_status": answer.status,
                "replayed": None if replayed is None else replayed == "true",
                "body": decoded(answer),
            }
        )
    else:
        _print_body(answer)


def _print_body(answer: Answer) -> None:
    """Print JSON with a final newline, and indented for people. Other bodies are written as they came.

    For a terminal, control characters are escaped.
    """
    from outlast.cli.remote import decoded

    if not answer.body:
        return
    if not is_terminal():
        click.echo(answer.body, nl=answer.is_json)
    elif answer.is_json:
        print_json(decoded(answer))
    else:
        click.echo(escaped_lines(answer.body.decode("utf-8", "backslashreplace")))
