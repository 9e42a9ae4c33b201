"""Production's histories against the code of a folder, without a test: what `outlast check --replay` does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from outlast.sdk.definitions import WorkflowDefinition
from outlast.testing.catalog import GivenCatalog
from outlast.testing.histories import divergences, recorded


def check_histories(
    documents: Iterable[Mapping[str, Any]], workflows: Iterable[tuple[str, WorkflowDefinition]]
) -> tuple[int, list[tuple[str, str]]]:
    """How many histories there are, and by id what diverges. No step is run.

    Raises UsageError for what is no history.
    """
    catalog = GivenCatalog()
    for name, definition in workflows:
        catalog.add(name, definition)
    found = recorded(documents)
    return len(found), [(name, what) for name, what in divergences(found, catalog) if what is not None]
