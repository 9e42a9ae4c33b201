"""What a body sets and reads of its workflow's attributes: recorded calls."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from outlast.core.attributes import attributes_json
from outlast.core.errors import UsageError
from outlast.sdk.calls import Done, ask
from outlast.sdk.operations import ReadAttributes, SetAttributes
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


def read_attributes() -> Any:
    """See Context.attributes."""
    line = line_here("attributes")
    if line is None:
        raise UsageError("attributes are read in a workflow's body: hand a step those that it needs")
    return ask(ReadAttributes(), line, "attributes")
