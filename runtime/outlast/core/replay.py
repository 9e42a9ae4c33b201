"""Replay without I/O: the ids of calls, recorded operations, their order, and what they mean for a call.

Step ids are paths: `4` is the fourth call of the body, `5.1` the first call of the task that was the fifth. A
branch is a sequence of calls: of the workflow's body, or of a task that it created. Each call and each new
task takes the branch's next number. So the same code gets the same ids, in whatever order its tasks happen to
run. Timers are counted apart: `0.1` is the first one of the body, `5.1.0.1` that of the task `5.1`. The task
that closes an abandoned async generator is a branch among them: `0.2.1`.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from outlast.core.kinds import PATCH, RECEIVE
from outlast.core.maps import MAP
from outlast.core.patches import patch_of
from outlast.core.records import StepRecord
from outlast.core.stops import Diverged

PATH_CHARS_MAX = 200
"""The longest path of a branch. A longer one is replaced by a hash, which is a number, as all parts are."""

_RULE = "a workflow's code must do the same on replay"


class History:
    """The records of one workflow, and how far its body has got.

    Everything is computed as each record is added. Doing it for a hundred thousand at once would block the
    event loop.
    """

    __slots__ = ("_unmet", "kinds", "last_place", "left", "patches", "received", "records")

    def __init__(self) -> None:
        self.records: dict[str, StepRecord] = {}
        """All records by id."""
        self.kinds: set[str] = set()
        self.received: list[StepRecord] = []
        """The records of receives."""
        self.patches: dict[str, bool] = {}
        """What `patched` has answered, by name."""
        self.left: list[StepRecord] = []
        """Completions that the body hasn't been handed yet.

        Once the body runs, the next one is the last item.
        """
        self.last_place = 0
        """The place of the last completion."""
        self._unmet: set[str] = set()

    def add(self, record: StepRecord) -> None:
        """Add a record, in any order, before the body begins."""
        step_id, kind, place = record.step_id, record.kind, record.completion_order
        self.records[step_id] = record
        if place is not None and place > self.last_place:
            self.last_place = place
        self.kinds.add(kind)
        if kind == PATCH:
            self.patches[patch_of(record.name)] = record.output == "true"
            return
        # The progress of a map has a place in the order, but no call.
        # guard: progress-taken-for-a-call
        if step_id.startswith(MAP):
            return
        self._unmet.add(step_id)
        if place is not None:
            self.left.append(record)
        if kind == RECEIVE:
            self.received.append(record)

    def begin(self) -> None:
        """The body begins: all records have been added."""
        self.left.sort(key=_place, reverse=True)

    @property
    def replaying(self) -> bool:
        """Whether recorded completions are left to hand over, or recorded waits to reach."""
        return bool(self.left or self._unmet)

    def meet(self, step_id: str, kind: str, name: str, former: Sequence[str] = ()) -> StepRecord | None:
        """The record of this call, whose name may have been one of `former`; None if there is none.

        Raises Diverged.
        """
        record = self.records.get(step_id)
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
                later=any(self.records[each].name == name for each in self._unmet if each != step_id),
            )
        self._unmet.discard(step_id)
        return record

    def take(self) -> StepRecord:
        """The next recorded completion, for a body at rest.

        Raises Diverged if the body hasn't made that call.
        """
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
        """Raise Diverged if the body has ended, but did more when it was recorded."""
        # guard: unreached-steps-ignored
        if self._unmet:
            first = min(self._unmet, key=_sort_key)
            record = self.records[first]
            raise Diverged(
                f"step {first} {record.name!r} is recorded, but the code now ends without it: {_RULE}",
                step=first,
                recorded=(record.kind, record.name),
            )


def _describe(record: StepRecord, name: str) -> str:
    return f"{record.kind} {record.name!r}" if record.name == name else repr(record.name)


def _place(record: StepRecord) -> int:
    return record.completion_order or 0


def _sort_key(step_id: str) -> list[int]:
    return [int(part) for part in step_id.split(".")]


class Branch:
    """A sequence of calls, and the numbers that it has used."""

    __slots__ = ("count", "draws", "prefix", "timers")

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.count = 0
        self.timers = 0
        self.draws = 0

    def next_id(self) -> str:
        """The id of this branch's next call or task."""
        self.count += 1
        return f"{self.prefix}{self.count}"

    def next_timer_id(self) -> str:
        """The id of this branch's next timer."""
        self.timers += 1
        return f"{self.prefix}0.{self.timers}"

    def next_draw(self) -> str:
        """The name of this branch's next random draw."""
        self.draws += 1
        return f"{self.prefix}draw {self.draws}"

    def fork(self) -> Branch:
        """The branch of a task that is created now."""
        # guard: paths-without-branches = self
        return Branch(_bounded(self.next_id()) + ".")


def _bounded(path: str) -> str:
    """A path; its hash, if tasks are nested so deeply that it would be too long for an index."""
    # guard: paths-without-bound = path
    return path if len(path) <= PATH_CHARS_MAX else str(int.from_bytes(sha256(path.encode()).digest()))
