"""Of which version a workflow is: known before its body begins, and written down."""

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
    """Let a workflow begin that is of a version which is served here; it stays one of that.

    Raises Diverged where it isn't served. What is started by SQL bears no version before.
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
