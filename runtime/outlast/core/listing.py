"""Which workflows a page of a listing shows, and what a page is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from outlast.core.status import Status


@dataclass(frozen=True, slots=True)
class Filters:
    """What the workflows of a listing have in common; None is no condition. Dates are aware.

    `after` is the last row (`created_at`, `workflow_id`) of the page before; `attribute` a key and its value.
    """

    subject: str | None = None
    """Whose workflows alone; None for all."""
    function: str | None = None
    status: Sequence[Status] | None = None
    version: str | None = None
    """Of the function's file, as it was when the workflow was started."""
    error: str | None = None
    """What the text of its error holds, in any case of letters."""
    queue: str | None = None
    parent: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    attribute: tuple[str, str] | None = None
    after: tuple[datetime, str] | None = None
    limit: int = 100


class Page(NamedTuple):
    """Rows of a listing, in its order."""

    rows: list[dict[str, Any]]
    more: bool
    """Whether others come after these. A page ends early where it is as large as one may be."""
