"""Replay without I/O: the recorded operations, their order, and what a call means for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from outlast.core.kinds import PATCH
from outlast.core.maps import MAP
from outlast.core.patches import patch_of
from outlast.core.records import StepRecord
from outlast.core.stops import Diverged

_RULE = "a workflow's code must do the same on replay"


class History:
    """The records of one workflow, and how far its body has got."""

    __slots__ = ("_records", "_unmet", "left", "orders", "patches")

    def __init__(self, records: Iterable[StepRecord] = (), last_place: int = 0) -> None:
        known = {record.step_id: record for record in records}
        places = [each.completion_order or 0 for each in known.values()]
        # How far a map is has a place in the order, and no call.
        # guard: progress-taken-for-a-call = known
        self._records = {step_id: each for step_id, each in known.items() if not step_id.startswith(MAP)}
        patches = [each for each in self._records.values() if each.kind == PATCH]
        for each in patches:
            del self._records[each.step_id]
        self.patches = {patch_of(each.name): each.output == "true" for each in patches}
        """What `patched` has answered, by its argument."""
        over = [each for each in self._records.values() if each.completion_order is not None]
        over.sort(key=lambda each: each.completion_order or 0, reverse=True)
        self.left = over
        """Completions that have not been handed to the body yet, the next one last."""
        self.orders = max([*places, last_place])
        """The place of the last completion."""
        self._unmet = set(self._records)

    @property
    def replaying(self) -> bool:
        """Whether a recorded completion has still to be handed over, or a recorded wait to be reached."""
        return bool(self.left or self._unmet)

    def meet(self, step_id: str, kind: str, name: str, former: Sequence[str] = ()) -> StepRecord | None:
        """The record of the call of `name`, once of one of `former`; None without one. Raises Diverged."""
        record = self._records.get(step_id)
        if record is None:
            return None
        # guard: names-not-compared
        if (record.name != name and record.name not in former) or (record.kind and record.kind != kind):
            now = f"{kind} {name!r}" if record.name == name else repr(name)
            raise Diverged(
                f"step {step_id} was recorded as {_describe(record, name)}, but the code now calls {now} "
                f"there: {_RULE}",
                step=step_id,
                recorded=(record.kind, record.name),
                called=(kind, name),
                later=any(self._records[each].name == name for each in self._unmet if each != step_id),
            )
        self._unmet.discard(step_id)
        return record

    def take(self) -> StepRecord:
        """The next recorded completion, for a body at rest. Raises Diverged if it has not made that call."""
        record = self.left[-1]
        # guard: uncalled-steps-ignored
        if record.step_id in self._unmet:
            raise Diverged(
                f"step {record.step_id} {record.name!r} is recorded, but the code now waits without having "
                f"called it: {_RULE}",
                step=record.step_id,
                recorded=(record.kind, record.name),
            )
        return self.left.pop()

    def check_all_reached(self) -> None:
        """Raise Diverged if the body, which has ended, did more when it was recorded."""
        # guard: unreached-steps-ignored
        if self._unmet:
            first = min(self._unmet, key=_sort_key)
            record = self._records[first]
            raise Diverged(
                f"step {first} {record.name!r} is recorded, but the code now ends without it: {_RULE}",
                step=first,
                recorded=(record.kind, record.name),
            )


def _describe(record: StepRecord, name: str) -> str:
    return f"{record.kind} {record.name!r}" if record.name == name else repr(record.name)


def _sort_key(step_id: str) -> list[int]:
    return [int(part) for part in step_id.split(".")]
