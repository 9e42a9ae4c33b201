"""What replay knows, without any I/O: recorded steps, and what a call that meets them means."""

from __future__ import annotations

from collections.abc import Iterable

from outlast.core.records import StepRecord
from outlast.core.stops import Diverged


class History:
    """The recorded steps of one workflow, and how many completions its order has seen."""

    __slots__ = ("_handed_out", "_records", "_unmet", "_unreleased", "orders")

    def __init__(self, records: Iterable[StepRecord] = ()) -> None:
        self._records = {record.step_id: record for record in records}
        orders = [r.completion_order for r in self._records.values() if r.completion_order is not None]
        self.orders = max(orders, default=0)
        self._unreleased = sorted(orders, reverse=True)
        self._unmet = set(self._records)
        self._handed_out = 0

    @property
    def replaying(self) -> bool:
        """Whether something recorded is still to be handed out, or a sleep that is not over to be reached."""
        return bool(self._unreleased) or any(
            self._records[step_id].completion_order is None for step_id in self._unmet
        )

    def next_order(self) -> int:
        """The place of a completion that happens now."""
        self.orders += 1
        return self.orders

    def meet(self, step_id: str, name: str) -> StepRecord | None:
        """The record that a call of `name` at `step_id` replays; None: run it. Raises Diverged."""
        record = self._records.get(step_id)
        # guard: names-not-compared
        if record is not None and record.name != name:
            raise Diverged(
                f"step {step_id} was recorded as {record.name!r}, but the code now calls {name!r} there: "
                "a workflow's code must do the same on replay"
            )
        self._unmet.discard(step_id)
        return record

    def next_release(self) -> int | None:
        """The lowest recorded place that no call has taken yet."""
        return self._unreleased[-1] if self._unreleased else None

    def release(self, order: int) -> None:
        """Say that the completion at `order` has been handed to its caller (or never will be)."""
        self._handed_out = max(self._handed_out, order)
        if self._unreleased and self._unreleased[-1] == order:
            self._unreleased.pop()
        elif order in self._unreleased:
            self._unreleased.remove(order)

    def check_all_reached(self, calls: int) -> None:
        """Raise Diverged if the body, which ended after `calls` calls and tasks, once did more.

        A task that nobody waited for may end wherever it is: of branches only what came before something that
        was handed out now must have been reached.
        """
        for step_id in sorted(self._unmet):
            record = self._records[step_id]
            place, later = record.completion_order, int(step_id.partition(".")[0]) > calls
            if later or (place is not None and place < self._handed_out):
                raise Diverged(
                    f"step {step_id} {record.name!r} is recorded, but the code now ends without it: "
                    "a workflow's code must do the same on replay"
                )
