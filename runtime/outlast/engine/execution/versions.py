"""Settles the version of a workflow before its body begins, and records it."""

from __future__ import annotations

import asyncio

from outlast.core.claims import ClaimedWorkflow
from outlast.core.holds import FUNCTION_MISSING
from outlast.core.ports import Unreachable
from outlast.core.stops import Diverged, HandedOver, LeaseLost
from outlast.core.versions import missing_version
from outlast.engine.execution.execution import Execution

RETRY_S = 0.5


async def settle_version(execution: Execution, claimed: ClaimedWorkflow) -> None:
    """Make sure that the workflow's version is served here, and record it if the row has none.

    A workflow that was started by SQL has no version before. Raises Diverged if its version isn't served.
    """
    definition = execution.definition
    if execution.unserved:
        text = missing_version(claimed.function, claimed.version, definition.number)
        raise Diverged(text, reason=FUNCTION_MISSING)
    # guard: begun-without-a-version
    if claimed.version is None and definition.version is not None:
        await _pin(execution, claimed, str(definition.version))


async def _pin(execution: Execution, claimed: ClaimedWorkflow, version: str) -> None:
    while execution.reason() is None:
        try:
            pinned = await execution.services.holds.pin(execution.workflow_id, execution.epoch, version)
        except Unreachable:
            if execution.draining:
                execution.stop(HandedOver("the instance shuts down"))
            await asyncio.sleep(RETRY_S)
            continue
        if pinned:
            claimed.version = version
        else:
            execution.stop(LeaseLost("it was cancelled or runs elsewhere"))
        return
