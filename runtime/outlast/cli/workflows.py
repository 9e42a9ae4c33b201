"""`outlast workflows`: look at workflows of the running host, wait for them, send to them, cancel them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from outlast.cli.command import CommandGroup, connect, env_file_option, json_option, url_option
from outlast.cli.data import header_key, read_data
from outlast.cli.screen import (
    Column,
    compact,
    escaped_lines,
    is_terminal,
    plain_text,
    print_json,
    print_pairs,
    print_table,
    readable_json,
)
from outlast.cli.times import ago, moment, span
from outlast.cli.workflow_id import WorkflowId
from outlast.core.clock import Clock, monotonic
from outlast.core.status import LIVE, Status

LIMIT_MAX = 10_000
STEPS_MAX = 100_000
WAIT_MAX_S = 7 * 86_400
FOREVER = timedelta(days=50 * 365)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


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


@click.group(cls=CommandGroup)
def workflows() -> None:
    """Look at workflows, wait for them, send them messages, cancel them."""


@workflows.command("list")
@click.option("--function", help="Only this function's.")
@click.option(
    "--status",
    type=click.Choice([*Status], case_sensitive=False),
    multiple=True,
    help="Only those that stand so. May be repeated.",
)
@click.option("--error", help="Only those whose error's text holds this.")
@click.option("--version", help="Only those of this version of the function's file.")
@click.option("--queue", help="Only those of this queue, such as pgmq:orders.")
@click.option("--since", type=_Moment(), help="Created since then: 30m, 2h or 7d ago, or a date.")
@click.option("--until", type=_Moment(), help="Created before then.")
@click.option(
    "--limit", type=click.IntRange(1, LIMIT_MAX), default=20, show_default=True, help="At most so many."
)
@url_option
@env_file_option
@json_option
def list_workflows(
    function: str | None,
    status: tuple[Status, ...],
    error: str | None,
    version: str | None,
    queue: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    url: str | None,
    env_file: Path | None,
    as_json: bool,
) -> None:
    """List workflows, the newest first."""
    found = connect(url, env_file).rows(
        "workflows",
        "/workflows/v1",
        limit,
        function=function,
        status=status or None,
        error=error,
        version=version,
        queue=queue,
        since=since,
        until=until,
    )
    if as_json:
        print_json({"workflows": found})
    else:
        print_table(_workflow_columns(Clock().now()), found, "no workflows")


@workflows.command()
@click.argument("workflow_id", metavar="ID", type=WorkflowId())
@url_option
@env_file_option
@json_option
def show(workflow_id: str, url: str | None, env_file: Path | None, as_json: bool) -> None:
    """Show a workflow: its status, times, input, and output or error."""
    from outlast.cli.remote import workflow_path

    workflow = connect(url, env_file).get(workflow_path(workflow_id)).document()
    if as_json:
        print_json(workflow)
    elif is_terminal():
        _print_workflow(workflow)
    else:
        for name, value in workflow.items():
            click.echo(f"{plain_text(name)}\t{plain_text(value)}")


@workflows.command()
@click.argument("workflow_id", metavar="ID", type=WorkflowId())
@url_option
@env_file_option
@json_option
def steps(workflow_id: str, url: str | None, env_file: Path | None, as_json: bool) -> None:
    """List the steps of a workflow in the order they ended, then those that run."""
    from outlast.cli.remote import workflow_path

    found = connect(url, env_file).rows("steps", workflow_path(workflow_id, "/steps"), STEPS_MAX)
    if as_json:
        print_json({"steps": found})
    else:
        columns = _step_columns(Clock().now())
        if any(row.get("instance") for row in found):
            columns.append(_INSTANCE)
        print_table(columns, found, "no step is recorded, and none runs")


@workflows.command()
@click.argument("workflow_id", metavar="ID", type=WorkflowId())
@click.option("--event", "name", help="Only events of this name.")
@url_option
@env_file_option
@json_option
def events(workflow_id: str, name: str | None, url: str | None, env_file: Path | None, as_json: bool) -> None:
    """List the events that a workflow has published, in their order."""
    from outlast.cli.remote import workflow_path

    found = connect(url, env_file).rows(
        "events", workflow_path(workflow_id, "/events"), STEPS_MAX, event=name
    )
    if as_json:
        print_json({"events": found})
    else:
        print_table(_event_columns(Clock().now()), found, "no event is published")


@workflows.command()
@click.argument("workflow_id", metavar="ID", type=WorkflowId())
@url_option
@env_file_option
@json_option
def cancel(workflow_id: str, url: str | None, env_file: Path | None, as_json: bool) -> None:
    """Cancel a workflow. What it has done stays done; it does nothing more."""
    from outlast.cli.remote import workflow_path

    remote = connect(url, env_file)
    remote.checked(remote.call("POST", workflow_path(workflow_id, "/cancel")))
    if as_json:
        print_json({"workflow_id": workflow_id, "status": "CANCELLED"})
    else:
        click.echo(f"cancelled {plain_text(workflow_id)}")


@workflows.command()
@click.argument("workflow_id", metavar="ID", type=WorkflowId())
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=click.IntRange(0, WAIT_MAX_S),
    help="Wait no longer than this. Default: until it ends.",
)
@url_option
@env_file_option
@json_option
def wait(
    workflow_id: str, timeout_s: int | None, url: str | None, env_file: Path | None, as_json: bool
) -> None:
    """Wait until a workflow has ended, and print its output.

    The status is 1 where it ended other than as SUCCESS, or did not end in time.
    """
    from outlast.cli.following import failure_of, follow

    ends = None if timeout_s is None else monotonic() + timeout_s
    workflow = follow(connect(url, env_file), workflow_id, ends)
    failure = failure_of(workflow)
    if failure is not None:
        raise failure
    print_json(workflow if as_json else workflow.get("output"))


@workflows.command()
@click.argument("workflow_id", metavar="ID", type=WorkflowId())
@click.option("--topic", help="The topic. Default: the one without a name.")
@click.option(
    "--data",
    metavar="JSON|@FILE|-",
    required=True,
    callback=read_data,
    help="The message: JSON, @FILE for a file's, - for standard input's.",
)
@click.option("--key", callback=header_key, help="The Idempotency-Key. Default: a fresh one.")
@url_option
@env_file_option
@json_option
def send(
    workflow_id: str,
    topic: str | None,
    data: bytes,
    key: str,
    url: str | None,
    env_file: Path | None,
    as_json: bool,
) -> None:
    """Send a message to a workflow. The same key sends it once."""
    from urllib.parse import quote

    from outlast.cli.remote import workflow_path

    remote = connect(url, env_file)
    path = workflow_path(workflow_id, "/messages" + (f"/{quote(topic, safe='')}" if topic else ""))
    headers = {"content-type": "application/json", "idempotency-key": key}
    sent = remote.checked(remote.call("POST", path, headers=headers, body=data)).document()
    if as_json:
        print_json(sent)
    else:
        click.echo(f"sent {plain_text(sent.get('message_id'))}")


def _workflow_columns(now: datetime) -> list[Column]:
    return [
        Column("WORKFLOW", lambda row: str(row.get("workflow_id")), lambda row: row.get("workflow_id")),
        Column("FUNCTION", lambda row: str(row.get("function")), lambda row: row.get("function")),
        Column("STATUS", lambda row: _standing(row, now), lambda row: row.get("status"), coloured=True),
        Column(
            "CREATED", lambda row: ago(moment(row.get("created_at")), now), lambda row: row.get("created_at")
        ),
        Column(
            "TOOK",
            lambda row: _took(row, "created_at", "completed_at"),
            lambda row: row.get("completed_at"),
        ),
        Column(
            "RECOVERED",
            lambda row: f"{row['recovery_attempts']}×" if row.get("recovery_attempts") else "",
            lambda row: row.get("recovery_attempts"),
        ),
        Column("ERROR", _error_text, _error_text),
    ]


def _error_text(row: dict[str, Any]) -> str:
    """The first line of an error's message."""
    error = row.get("error")
    text = str(error.get("message") or "") if isinstance(error, dict) else ""
    return text.strip().partition("\n")[0]


def _step_columns(now: datetime) -> list[Column]:
    return [
        Column("STEP", lambda row: str(row.get("step_id")), lambda row: row.get("step_id")),
        Column("NAME", lambda row: str(row.get("name")), lambda row: row.get("name")),
        Column("STATUS", lambda row: _step_standing(row, now), lambda row: row.get("status"), coloured=True),
        Column("ATTEMPTS", lambda row: str(row.get("attempts", "")), lambda row: row.get("attempts")),
        Column("TOOK", lambda row: _step_took(row, now), lambda row: row.get("started_at")),
        Column(
            "ENDED",
            lambda row: ago(moment(row.get("completed_at")), now),
            lambda row: row.get("completed_at"),
        ),
        Column("OUTPUT", _step_output, lambda row: row.get("error") or row.get("output")),
    ]


_INSTANCE = Column("INSTANCE", lambda row: str(row.get("instance") or ""), lambda row: row.get("instance"))
"""Where a step runs."""


def _event_columns(now: datetime) -> list[Column]:
    return [
        Column("NUMBER", lambda row: str(row.get("number")), lambda row: row.get("number")),
        Column("EVENT", lambda row: str(row.get("event")), lambda row: row.get("event")),
        Column(
            "PUBLISHED",
            lambda row: ago(moment(row.get("published_at")), now),
            lambda row: row.get("published_at"),
        ),
        Column("VALUE", lambda row: compact(row.get("value")), lambda row: row.get("value")),
    ]


def _standing(row: dict[str, Any], now: datetime) -> str:
    """The status, and when a sleeper wakes."""
    status = str(row.get("status"))
    wakes = moment(row.get("claimable_at"))
    if status not in LIVE or wakes is None or wakes <= now:
        return status
    return f"{status} ({_until(wakes, now)})"


def _until(wakes: datetime, now: datetime) -> str:
    """When a wait is over; one for a message alone lasts a hundred years."""
    return f"wakes {ago(wakes, now)}" if wakes - now < FOREVER else "receiving"


def _took(row: dict[str, Any], first: str, last: str) -> str:
    began, ended = moment(row.get(first)), moment(row.get(last))
    return "" if began is None or ended is None else span((ended - began).total_seconds())


def _step_took(row: dict[str, Any], now: datetime) -> str:
    """How long it took; of one that runs, how long by now."""
    if row.get("status") == "RUNNING":
        row = {**row, "completed_at": now.isoformat()}
    return _took(row, "started_at", "completed_at")


def _step_standing(row: dict[str, Any], now: datetime) -> str:
    """The status, when a sleep will be over, and when the next attempt of a step begins."""
    status, wakes = str(row.get("status")), moment(row.get("wake_at"))
    retries = moment(row.get("retry_at"))
    if retries is not None:
        return f"{status} (next attempt {ago(retries, now)})"
    return status if wakes is None else f"{status} ({_until(wakes, now)})"


def _step_output(row: dict[str, Any]) -> str:
    error = row.get("error")
    if isinstance(error, dict) and error.get("message"):
        return str(error["message"])
    return compact(error if error is not None else row.get("output"))


def _print_workflow(workflow: dict[str, Any]) -> None:
    """Status and times first; then what went in and came out, as indented JSON."""
    now = Clock().now()
    pairs = [
        ("Workflow", str(workflow.get("workflow_id"))),
        ("Function", str(workflow.get("function"))),
        ("Status", _standing(workflow, now)),
    ]
    for title, name in (("Created", "created_at"), ("Started", "started_at"), ("Ended", "completed_at")):
        if (at := moment(workflow.get(name))) is not None:
            pairs.append((title, f"{at.astimezone():%Y-%m-%d %H:%M:%S} ({ago(at, now)})"))
    if took := _took(workflow, "created_at", "completed_at"):
        pairs.append(("Took", took))
    for title, name in (("Recovered", "recovery_attempts"), ("Owner", "owner"), ("Parent", "parent")):
        if workflow.get(name):
            pairs.append((title, str(workflow[name])))
    print_pairs(pairs)
    for title, name in (("Input", "input"), ("Output", "output"), ("Error", "error")):
        if workflow.get(name) is not None:
            click.echo(f"\n{title}\n{_readable(workflow[name])}")


def _readable(value: Any) -> str:
    """Indented JSON; below it the tracebacks in it, as the lines that they are."""
    tracebacks: list[str] = []
    rest = _without_tracebacks(value, tracebacks) if isinstance(value, dict) else value
    return "\n".join([readable_json(rest), *(escaped_lines(each.rstrip("\n")) for each in tracebacks)])


def _without_tracebacks(document: dict[str, Any], found: list[str]) -> dict[str, Any]:
    """`document` without its own traceback and that of its `failure`, which go to `found`."""
    rest = {}
    for name, value in document.items():
        if name == "traceback" and isinstance(value, str):
            found.append(value)
        elif name == "failure" and isinstance(value, dict):
            rest[name] = _without_tracebacks(value, found)
        else:
            rest[name] = value
    return rest
