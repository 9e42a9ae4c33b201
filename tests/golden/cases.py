"""What is recorded: each workflow with its arguments, whole or cut in the middle as a crash leaves it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from outlast import Request
from outlast.sdk.http import Headers
from outlast.sdk.workflows import Workflow
from tests.golden import workflows as of

SUSPENDED = "suspended"
"""Cut while it sleeps."""


@dataclass(frozen=True)
class Case:
    """One history. `cut` names the step at whose gate the instance is lost."""

    name: str
    workflow: Workflow[..., Any]
    args: tuple[Any, ...] = ()
    cut: str | None = None
    request: Request | None = None


_REQUEST = Request(
    "PUT",
    "/orders/7",
    "a=1&a=2&b=%20x",
    Headers([("content-type", "application/octet-stream"), ("x-twice", "one"), ("x-twice", "two")]),
    b"\x00\xff body",
)

CASES = (
    Case("values", of.values, ("ä",)),
    Case("values_cut", of.values, ("ä",), "raw"),
    Case("transfers", of.transfers),
    Case("transfers_cut", of.transfers, (), "move 30"),
    Case("errors", of.errors),
    Case("errors_cut", of.errors, (), "missing"),
    Case("fails", of.fails),
    Case("answers_404", of.answers_404),
    Case("branches", of.branches),
    Case("branches_cut", of.branches, (), "work x1'"),
    Case("branches_cut_late", of.branches, (), "work last"),
    Case("races", of.races),
    Case("races_cut", of.races, (), "work end"),
    Case("sleeps", of.sleeps),
    Case("sleeps_cut", of.sleeps_on, (), SUSPENDED),
    Case("sleeps_on", of.sleeps_on),
    Case("naps", of.naps),
    Case("naps_cut", of.naps, (), "work while it sleeps'"),
    Case("parents", of.parents),
    Case("parents_cut", of.parents, (), "work together"),
    Case("serves", of.serves, request=_REQUEST),
    Case("serves_bytes", of.serves_bytes),
    Case("threaded", of.threaded, (10,)),
)
