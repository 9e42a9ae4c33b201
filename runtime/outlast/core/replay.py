"""What replay knows, without any I/O: recorded steps, and what a call that meets them means."""

from __future__ import annotations

from collections.abc import Iterable

from outlast.core.records import StepRecord
from outlast.core.stops import Diverged


class History:
    """The recorded steps of one workflow, and how many completions its order has seen."""

    __slots__ = ("_records", "_unreleased", "orders")

    def __init__(self, records: Iterable[StepRecord] = ()) -> None:
        self._records = {record.step_id: record for record in records}
        orders = [r.completion_order for r in self._records.values() if r.completion_order is not None]
        self.orders = max(orders, default=0)
        self._unreleased = sorted(orders, reverse=True)

    def next_order(self) -> int:
        """The place of a completion that happens now."""
        self.orders += 1
        return self.orders

    def meet(self, step_id: str, name: str) -> StepRecord | None:
        """The record that a call of `name` at `step_id` replays; None: run it. Raises Diverged."""
        record = self._records.get(step_id)
        if record is not None and record.name != name:
            raise Diverged(
                f"step {step_id} was recorded as {record.name!r}, but the code now calls {name!r} there: "
                "a workflow's code must do the same on replay"
            )
        return record

    def next_release(self) -> int | None:
        """The lowest recorded place that no call has taken yet."""
        return self._unreleased[-1] if self._unreleased else None

    def release(self, order: int) -> None:
        """Say that the completion at `order` has been handed to its caller (or never will be)."""
        if self._unreleased and self._unreleased[-1] == order:
            self._unreleased.pop()
        elif order in self._unreleased:
            self._unreleased.remove(order)

    def check_all_reached(self, calls: int) -> None:
        """Raise Diverged if the body ended after `calls` calls although it once made a later one."""
        for step_id, record in self._records.items():
            if int(step_id.partition(".")[0]) > calls:
                raise Diverged(
                    f"step {step_id} {record.name!r} is recorded, but the code now ends before it: "
                    "a workflow's code must do the same on replay"
                )
