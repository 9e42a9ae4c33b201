"""Checks production's histories against the code of a folder: the work of `outlast check --replay`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from outlast.core.status import LIVE, Status
from outlast.sdk.definitions import WorkflowDefinition
from outlast.testing.catalog import GivenCatalog
from outlast.testing.histories import Recorded, divergences, recorded

_NOT_SERVED = (
    "this folder serves no {function}: deploy its file, or give the function that it became "
    'aliases=["{function}"]'
)


class Findings(NamedTuple):
    """How many histories were replayed, what diverges, by id, and the ended ones that were skipped."""

    checked: int
    diverging: list[tuple[str, str]]
    gone: Counter[str]
    """How many by function: the folder no longer serves it, and none of them will go on."""


def check_histories(
    documents: Iterable[Mapping[str, Any]], workflows: Iterable[tuple[str, WorkflowDefinition]]
) -> Findings:
    """Replay histories against these workflows, of every version. No step is run.

    Raises UsageError for what isn't a history.
    """
    catalog = GivenCatalog()
    for name, definition in workflows:
        catalog.add(name, definition)
    replayed: list[Recorded] = []
    lost: list[tuple[str, str]] = []
    gone: Counter[str] = Counter()
    for history in recorded(documents):
        function = str(history.row["function"])
        if catalog.workflow(function) is not None:
            replayed.append(history)
        elif Status(history.row["status"]) in LIVE:
            lost.append((history.name, _NOT_SERVED.format(function=function)))
        else:
            gone[function] += 1
    found = [(name, what) for name, what in divergences(replayed, catalog) if what is not None]
    return Findings(len(replayed) + len(lost), found + lost, gone)
