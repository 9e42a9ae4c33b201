"""What a record gives the body: plain JSON of a start, a result or a sent message; of others nothing."""

from __future__ import annotations

from typing import Any

from outlast.core.codec import Codec
from outlast.core.records import StepRecord
from outlast.engine.execution.calls import PendingCall

PLAIN = Codec(of="the result")


def value(call: PendingCall, record: StepRecord) -> Any:
    """See operations.table."""
    return PLAIN.decode(record.output)


def nothing(call: PendingCall, record: StepRecord) -> None:
    """See operations.table."""
