"""Many children of one workflow: how many start together, how many there may be, and the state of a map."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

from pydantic_core import to_json

from outlast.core.names import AGAIN
from outlast.core.status import Status

BLOCK = 1_000
"""How many children start together."""

LIST_MAX = 10_000
"""How many items a list may have. The body holds the list, and makes it again on each replay."""

ITEMS_MAX = 1_000_000
"""How many items a map may have."""

CONCURRENCY_MAX = 100_000
ERRORS_MAX = 100
"""How many errors of its items a failed map tells."""

KEY_CHARS_MAX = 100
MAP = "map."
"""The beginning of the last part of a map's id, and of the name of its progress record.

No call of a body has it.
"""


def map_name(step_id: str, generation: int = 1) -> str:
    """The name of a map within its parent: the last part of its id, and the name of its progress event.

    `generation` is given if a retried workflow begins another map beside the former one at this place.
    """
    return MAP + (step_id if generation == 1 else f"{step_id}.{AGAIN}{generation}")


def fingerprint_of_items(*what: Any) -> str:
    """SHA-256 (hex) of the items of a map, as JSON.

    A value that JSON can't hold counts as its type, so two such values of a type aren't distinguished.
    """
    try:
        text = to_json(what, bytes_mode="base64", fallback=lambda each: type(each).__qualname__)
    except Exception:  # noqa: BLE001 - a foreign class may raise anything
        text = repr([type(each).__qualname__ for each in what]).encode()
    return hashlib.sha256(text).hexdigest()


def is_map(workflow_id: str) -> bool:
    """Whether this is the id of a map, and not of a workflow that runs."""
    return workflow_id.rpartition("/")[2].startswith(MAP)


class NewMap(NamedTuple):
    """A map that begins. It fails if more than `tolerate` of its items fail."""

    map_id: str
    parent: str
    function: str
    subject: str | None
    claims: str | None
    deadline_s: float | None
    concurrency: int
    tolerate: int | float
    """A float is a share of the items."""
    on_fail: str
    fingerprint: str
    """The fingerprint of its items."""
    former: tuple[str, ...] = ()
    """Former names of its function."""

    def tolerated(self, total: int) -> int:
        """How many of `total` items may fail."""
        return self.tolerate if isinstance(self.tolerate, int) else int(self.tolerate * total)


class Query(NamedTuple):
    """The items of a map: rows of a query, with the parameters of its placeholders."""

    text: str
    parameters: tuple[Any, ...]


class MapState(NamedTuple):
    """The state of a map: `started` of its `total` items have a row. `stopped`: no more of them begin.

    `total` is None while the items of a step are still being stored. `reopening`: the retry
    of its failed items isn't over.
    """

    status: Status
    total: int | None
    started: int
    stopped: bool
    reopening: bool = False


class MapCounts(NamedTuple):
    """How many items a map has, how many succeeded, and how many ended otherwise."""

    total: int
    ok: int
    failed: int


class ItemEnd(NamedTuple):
    """How an item of a map ended; its output or error as JSON text."""

    workflow_id: str
    status: Status
    output: str | None
    error: str | None
