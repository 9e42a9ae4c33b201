"""Which records of a workflow stay when it goes on from an earlier one, in memory: `records_kept`, …"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from outlast.core import kinds
from outlast.core.failures import CANCELLED
from outlast.core.ports import NotNow, Unacceptable
from outlast.core.records import StepRecord

FAR = 2**31
"""The place of a record that is not over."""


def records_kept(records: Mapping[str, StepRecord], steps: Collection[str]) -> list[str]:
    """`outlast.records_kept`."""
    # guard: kept-what-depends-in-memory = FAR
    first = first_place(records, steps)
    return [
        each.step_id
        for each in records.values()
        if each.step_id not in steps and (first == FAR or came_before(each, first))
    ]


def first_place(records: Mapping[str, StepRecord], steps: Collection[str]) -> int:
    """The place of the first of these that is over."""
    places = [records[each].completion_order for each in steps if each in records]
    return min((each for each in places if each is not None), default=FAR)


def came_before(record: StepRecord, place: int) -> bool:
    """Whether it was over, or called, before the record with this place. A body gives up a call later."""
    called = FAR if record.called_after is None or record.error == CANCELLED else record.called_after
    return (record.completion_order or FAR) < place or called < place


def step_named(records: Mapping[str, StepRecord], argument: str, step: str) -> str:
    """`outlast.step_named`."""
    if step in records:
        return step
    found = [each.step_id for each in records.values() if each.name == step]
    if not found:
        raise Unacceptable(f"{argument} names no recorded step of this workflow: see its steps", argument)
    if len(found) > 1:
        raise Unacceptable(f"{argument} is the name of several steps: give the id of one", argument)
    return found[0]


def undos_begun(records: Mapping[str, StepRecord]) -> set[tuple[str, str]]:
    """`outlast.undos_begun`."""
    noted = [each for each in records.values() if each.kind == kinds.UNDO]
    notes = [(each.step_id, json.loads(each.output or "{}")) for each in noted]
    return {(note["next"], note.get("since", step_id)) for step_id, note in notes if "next" in note}


def with_undone(records: Mapping[str, StepRecord], steps: Collection[str]) -> list[str]:
    """`outlast.with_undone`."""
    begun, found = undos_begun(records), list(steps)
    while True:
        kept = set(records_kept(records, found))
        # guard: memory-undone-stays-done = []
        more = [step_id for step_id, since in begun if since not in kept and step_id in kept]
        if not more:
            return found
        found += more


def check_undone(records: Mapping[str, StepRecord], kept: Collection[str]) -> None:
    """`outlast.check_undone`. Raises NotNow."""
    undone = [step_id for step_id, since in undos_begun(records) if since not in kept and step_id in kept]
    if undone:
        first = min((records[each] for each in undone), key=lambda each: each.completion_order or 0)
        step = json.loads(first.output or "{}")["step"]
        raise NotNow(
            f"its saga has undone {step}, or has begun to; begin before that step, or fork it from start"
        )


def check_undoing(records: Mapping[str, StepRecord], kept: Collection[str], *, stopped: bool) -> None:
    """`outlast.check_undoing`, for a live workflow. Raises NotNow."""
    noted = {
        each.step_id: (each.name, json.loads(each.output or "{}"))
        for each in records.values()
        if each.kind == kinds.UNDO
    }
    left = {"undoing": 0, "undone": 0, "standing": 0}
    for name, note in noted.values():
        if name in left:
            left[name] += {"undoing": note.get("total"), "standing": note.get("count", 0)}.get(name, 1)
    if not stopped and left["undoing"] <= left["undone"] + left["standing"]:
        return
    steps = [
        (records[step_id].completion_order or 0, note["step"])
        for step_id, (name, note) in noted.items()
        if step_id in kept and name == f"undo {note.get('step')}"
    ]
    # guard: memory-forks-keep-what-is-undone-next = False
    if steps:
        raise NotNow(
            f"its sagas undo just now, and may undo {min(steps)[1]} next; "
            "wait until it has ended, begin before that step, or fork it from start"
        )
