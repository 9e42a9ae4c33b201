"""What a body sets of its workflow's attributes: a recorded call, as `publish` is."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping

from outlast.core.attributes import attributes_json
from outlast.core.errors import UsageError
from outlast.sdk.calls import Done, ask
from outlast.sdk.operations import SetAttributes
from outlast.sdk.running import line_here


def set_attributes(changes: Mapping[str, str | int | float | bool | None]) -> Awaitable[None]:
    """See Context.set_attributes."""
    try:
        body = attributes_json(changes, nulls=True)
    except ValueError as error:
        raise UsageError(f"set_attributes: {error}") from None
    line = line_here("set_attributes")
    if line is None:
        raise UsageError("set_attributes belongs in a workflow's body: a step returns what is to be set")
    changed = ask(SetAttributes(body or "{}"), line, "set_attributes")
    return Done(None) if line.threaded else changed
