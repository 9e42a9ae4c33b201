"""Traces of workflows: their ids follow from the workflow's id, the paths of steps, and the records.

So every instance computes the same ids, and nothing is stored. After a long time out of memory a new trace
begins, because tracing tools can't show a trace that lasts for days. A trace's number is the place of the
completion that ended the wait, counted from 1; the first trace is number 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from outlast.core import kinds
from outlast.core.claims import ClaimedWorkflow
from outlast.core.records import StepRecord

GAP_S = 600.0
"""A workflow that was out of memory for longer begins a new trace."""

_WAITS = kinds.WAITS | {kinds.RESULT, kinds.EVENT, kinds.WAIT_ANY, kinds.MAP}
"""Kinds of records for which a workflow may have left the memory."""


class Stay(NamedTuple):
    """A stay of a workflow in memory. `former`: the number of the trace before, if this begins a new one."""

    workflow_id: str
    function: str
    epoch: int
    trace: int = 0
    former: int | None = None

    @property
    def trace_id(self) -> str:
        """As in logs and in W3C's `traceparent`: 32 digits."""
        return f"{trace_id_of(self.workflow_id, self.trace):032x}"


class Tracing(Protocol):
    """Makes spans."""

    def enter_step(self, stay: Stay, step_id: str) -> None:
        """Make the spans of the current context children of this step's span."""


def stay_of(claimed: ClaimedWorkflow, now_s: float) -> Stay:
    """The stay that begins now."""
    number, last = 0, claimed.created_s or now_s
    done = [each for each in claimed.history.records.values() if each.completion_order is not None]
    done.sort(key=_order)
    for place, record in enumerate(done, 1):
        at_s = record.at_s or last
        # guard: traces-without-end
        if record.kind in _WAITS and at_s - last >= GAP_S:
            number = place
        last = max(last, at_s)
    stay = Stay(claimed.workflow_id, claimed.function, claimed.epoch, number)
    if claimed.epoch > 1 and now_s - last >= GAP_S:
        return stay._replace(trace=len(done) + 1, former=number)
    return stay


def _order(record: StepRecord) -> int:
    return record.completion_order or 0


def trace_id_of(workflow_id: str, number: int) -> int:
    """The id of a workflow's trace by its number."""
    return _digest(16, ("trace", workflow_id, str(number)))


def span_id_of(workflow_id: str, *path: str | int) -> int:
    """The id of a span of a workflow."""
    return _digest(8, ("span", workflow_id, *map(str, path)))


def _digest(size: int, parts: Iterable[str]) -> int:
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=size).digest()
    return int.from_bytes(digest) or 1  # an id must not be 0
