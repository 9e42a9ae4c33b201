"""A resource's key as a command takes it: a shell completes it with the first ones of the running host."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from outlast.core.resources import Resource

OFFERED_MAX = 50


class KeyOf(click.ParamType[str]):
    """A key of a resource; it may be any text."""

    def __init__(self, resource: Resource) -> None:
        self.name = resource.key
        self._resource = resource

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The key as given."""
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Those that begin so; none where no host answers, and never an error on the prompt."""
        with contextlib.suppress(Exception), ctx:
            return [
                CompletionItem(each[self.name], help=each.get("status"))
                for each in self._first(ctx.params)
                if each[self.name].startswith(incomplete) and each[self.name].isprintable()
            ]
        return []

    def _first(self, options: dict[str, Any]) -> list[dict[str, Any]]:
        from outlast.cli.command import connect

        remote = connect(options.get("url"), options.get("env_file"))
        found = remote.get(self._resource.path, limit=OFFERED_MAX).document()
        return found.get(self._resource.name) or []


def key_argument(resource: Resource) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The argument that names one row; commands take it as `item`."""
    metavar = "ID" if resource.key.endswith("_id") else resource.key.upper()
    return click.argument("item", metavar=metavar, type=KeyOf(resource))
