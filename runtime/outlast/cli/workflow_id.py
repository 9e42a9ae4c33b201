"""A workflow's id as a command takes it: a shell completes it with the newest ones of the running host."""

from __future__ import annotations

import contextlib
from typing import Any

import click
from click.shell_completion import CompletionItem

OFFERED_MAX = 50


class WorkflowId(click.ParamType[str]):
    """An id; it may be any text."""

    name = "id"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The id as given."""
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The newest that begin so; none where no host answers, and never an error on the prompt."""
        with contextlib.suppress(Exception), ctx:
            return [
                CompletionItem(each["workflow_id"], help=each.get("status"))
                for each in _newest_workflows(ctx.params)
                if each["workflow_id"].startswith(incomplete) and each["workflow_id"].isprintable()
            ]
        return []


def _newest_workflows(options: dict[str, Any]) -> list[dict[str, Any]]:
    from outlast.cli.command import connect

    answer = connect(options.get("url"), options.get("env_file")).get("/workflows/v1", limit=OFFERED_MAX)
    return answer.document().get("workflows") or []
