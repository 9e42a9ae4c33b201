"""Many children of one workflow: how many start together, how many there may be, and how a map stands."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

from pydantic_core import to_json

from outlast.core.names import AGAIN
from outlast.core.status import Status

BLOCK = 1_000
"""So many start together."""

LIST_MAX = 10_000
"""So many items a list may have: a body holds it, and makes it anew on each replay."""

ITEMS_MAX = 1_000_000
"""So many items a map may have."""

CONCURRENCY_MAX = 100_000
ERRORS_MAX = 100
"""So many of its items' errors a failed map tells."""

KEY_CHARS_MAX = 100
MAP = "map."
"""With what the last part of a map's id begins, and its progress's record, which no call of a body makes."""


def map_name(step_id: str, generation: int = 1) -> str:
    """What a map is called within its parent: the last part of its id, and the event of its progress.

    `generation`: of one that a retried workflow has begun beside another one of before.
    """
    return MAP + (step_id if generation == 1 else f"{step_id}.{AGAIN}{generation}")


def fingerprint_of_items(*what: Any) -> str:
    """SHA-256 (hex) of what a map goes over, as JSON.

    A value that is none counts as its type: two of it aren't told apart.
    """
    try:
        text = to_json(what, bytes_mode="base64", fallback=lambda each: type(each).__qualname__)
    except Exception:  # noqa: BLE001 - a foreign class may raise anything
        text = repr([type(each).__qualname__ for each in what]).encode()
    return hashlib.sha256(text).hexdigest()


def is_map(workflow_id: str) -> bool:
    """Whether it is a map's id, not a workflow's that runs."""
    return workflow_id.rpartition("/")[2].startswith(MAP)


class NewMap(NamedTuple):
    """A map that begins. It fails when more than `tolerate` of its items do."""

    map_id: str
    parent: str
    function: str
    subject: str | None
    claims: str | None
    deadline_s: float | None
    concurrency: int
    tolerate: int | float
    """A share of its items, if it is a float."""
    on_fail: str
    fingerprint: str
    """Of what it goes over."""
    former: tuple[str, ...] = ()
    """Names that its function had."""

    def tolerated(self, total: int) -> int:
        """How many of `total` items may fail."""
        return self.tolerate if isinstance(self.tolerate, int) else int(self.tolerate * total)


class Query(NamedTuple):
    """The items of a map: rows of a query, with the parameters of its placeholders."""

    text: str
    parameters: tuple[Any, ...]


class MapState(NamedTuple):
    """How a map stands: `started` of its `total` items have a row. `stopped`: no more of them begin.

    `total` is None while what a step yields is being kept. `reopening`: its failed items are still let go on.
    """

    status: Status
    total: int | None
    started: int
    stopped: bool
    reopening: bool = False


class MapCounts(NamedTuple):
    """How many items of a map there are, and how many ended well, or in another way."""

    total: int
    ok: int
    failed: int


class ItemEnd(NamedTuple):
    """How an item of a map ended; its output or error as JSON text."""

    workflow_id: str
    status: Status
    output: str | None
    error: str | None
