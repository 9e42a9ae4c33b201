"""`outlast workflows`: look at workflows of the running host, wait for them, send to them, cancel them."""

from __future__ import annotations

from typing import Any

import click

from outlast.cli.cells import ago, moment, status_text, time_between
from outlast.cli.check import export
from outlast.cli.command import Command, Host, host_options
from outlast.cli.data import key_option, read_data
from outlast.cli.events import events
from outlast.cli.kinds import key_argument
from outlast.cli.screen import escaped_lines, plain_text, print_json, print_pairs, readable_json, tell
from outlast.cli.tables import print_row, resource_commands
from outlast.core.clock import Clock, monotonic
from outlast.core.resources import WORKFLOWS, path_of
from outlast.core.verbs import SEND

WAIT_MAX_S = 7 * 86_400


@click.command(cls=Command)
@key_argument(WORKFLOWS)
@host_options
def show(item: str, host: Host) -> None:
    """Show a workflow: its status, times, input, and output or error."""
    print_row(
        WORKFLOWS, host.connect().get(path_of(WORKFLOWS.item_path, item)).document(), host, _print_workflow
    )


@click.command(cls=Command)
@key_argument(WORKFLOWS)
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=click.IntRange(0, WAIT_MAX_S),
    help="Wait no longer than this. Default: until it ends.",
)
@host_options
def wait(item: str, timeout_s: int | None, host: Host) -> None:
    """Wait until a workflow has ended, and print its output.

    The exit status is 1 if it didn't end as SUCCESS, or not in time.
    """
    from outlast.cli.following import failure_of, follow

    ends = None if timeout_s is None else monotonic() + timeout_s
    workflow = follow(host.connect(), item, ends)
    failure = failure_of(workflow)
    if failure is not None:
        raise failure
    print_json(workflow if host.as_json else workflow.get("output"))


@click.command(cls=Command)
@key_argument(WORKFLOWS)
@click.option("--topic", help="The topic. Default: the one without a name.")
@click.option(
    "--data",
    metavar="JSON|@FILE|-",
    required=True,
    callback=read_data,
    help="The message: JSON, @FILE for a file's, - for standard input's.",
)
@key_option
@host_options
def send(item: str, topic: str | None, data: bytes, key: str, host: Host) -> None:
    """Send a message to a workflow. The same key sends it once."""
    remote = host.connect()
    path = path_of(SEND.paths[1], item, topic) if topic else path_of(SEND.paths[0], item)
    headers = {"content-type": "application/json", "idempotency-key": key}
    sent = remote.check(remote.call("POST", path, headers=headers, body=data)).document()
    tell(sent, f"sent {plain_text(sent.get('message_id'))}", as_json=host.as_json)


workflows = resource_commands(WORKFLOWS, show, events, wait, send, export)


def _print_workflow(workflow: dict[str, Any]) -> None:
    """Print status and times first, then input and output as indented JSON."""
    now = Clock().now()
    pairs = [
        ("Workflow", str(workflow.get("workflow_id"))),
        ("Function", str(workflow.get("function"))),
        ("Status", status_text(workflow)),
    ]
    for title, name in (("Created", "created_at"), ("Started", "started_at"), ("Ended", "completed_at")):
        if (at := moment(workflow.get(name))) is not None:
            pairs.append((title, f"{at.astimezone():%Y-%m-%d %H:%M:%S} ({ago(at, now)})"))
    if took := time_between(workflow, "created_at", "completed_at"):
        pairs.append(("Took", took))
    if workflow.get("waiting_on"):
        pairs.append(("Waiting on", str(workflow["waiting_on"])))
    for title, name in (
        ("Recovered", "recovery_attempts"),
        ("Generation", "generation"),
        ("Owner", "owner"),
        ("Parent", "parent"),
        ("Fork of", "forked_from"),
    ):
        if workflow.get(name):
            pairs.append((title, str(workflow[name])))
    print_pairs(pairs)
    for title, name in (("Input", "input"), ("Output", "output"), ("Error", "error")):
        if workflow.get(name) is not None:
            click.echo(f"\n{title}\n{_readable(workflow[name])}")


def _readable(value: Any) -> str:
    """Indented JSON, then its tracebacks as separate lines."""
    tracebacks: list[str] = []
    rest = _without_tracebacks(value, tracebacks) if isinstance(value, dict) else value
    return "\n".join([readable_json(rest), *(escaped_lines(each.rstrip("\n")) for each in tracebacks)])


def _without_tracebacks(document: dict[str, Any], found: list[str]) -> dict[str, Any]:
    """`document` without its own traceback and that of its `failure`, which are added to `found`."""
    rest = {}
    for name, value in document.items():
        if name == "traceback" and isinstance(value, str):
            found.append(value)
        elif name == "failure" and isinstance(value, dict):
            rest[name] = _without_tracebacks(value, found)
        else:
            rest[name] = value
    return rest
