"""For how long functions say that their ended workflows are kept."""

from __future__ import annotations

import math
from collections.abc import Mapping

from outlast.sdk.definitions import WorkflowDefinition


def declared_retentions(workflows: Mapping[str, WorkflowDefinition]) -> dict[str, float | None]:
    """By function, in seconds; None: for ever. Those that say nothing aren't there."""
    return {
        name: None if each.retention_s == math.inf else each.retention_s
        for name, each in workflows.items()
        if each.retention_s is not None
    }
