"""Compares a run with crashes to one without, and words what differs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from outlast.core import kinds
from outlast.core.places import shown_place
from outlast.core.status import LIVE, Status
from outlast.testing.ends import describe_end
from outlast.testing.points import Place
from outlast.testing.seen import CallSeen
from outlast.testing.trials import RecordSeen, Trial
from outlast.testing.worlds import CANCEL


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. `ours`: the fault is Outlast's own. `place`: where to look."""

    title: str
    place: Place | None
    detail: str
    remedy: str
    ours: bool = False
    where: str = ""

    def __str__(self) -> str:
        at = "" if self.place is None else f"{shown_place(*self.place)}: "
        lines = [f"{at}{self.title}"]
        lines += [f"    {part}" for part in (self.where, self.detail, self.remedy) if part]
        return "\n".join(lines)


SAME = (
    "Between two steps a body's code runs again after a crash and must do the same: what differs goes into a "
    "@step, whose result is recorded; for time and chance there are outlast.now(), uuid4() and random()."
)
UNWOUND = (
    "A body is also unwound when it sleeps for long, is cancelled, or its instance shuts down: a step called "
    "then is refused. Let `except` name the errors it means (`except Exception` at most), and put what must "
    "happen in the end after the `try`, or into a step that is called in `except` for those errors."
)


def compare_calm_runs(calm: Trial, again: Trial) -> Finding | None:
    """What differs between two runs without a crash: such a workflow breaks without one."""
    for workflow_id, calls in _first_calls(calm).items():
        others = {each.step_id: each for each in _first_calls(again).get(workflow_id, ())}
        for call in calls:
            other = others.get(call.step_id)
            if other is None or (other.kind, other.name) != (call.kind, call.name):
                return Finding(
                    f"two runs of the same input do different things, without any crash, at {call.name}",
                    call.place, _describe_both(call, other), SAME,
                )  # fmt: skip
            if other.arguments != call.arguments:
                return Finding(
                    f"two runs of the same input call {call.name} with other arguments, without any crash",
                    call.place, _describe_both(call, other), SAME,
                )  # fmt: skip
            key = (workflow_id, call.step_id)
            if calm.records.get(key) != again.records.get(key):
                break  # later differences may follow from this one
    return None


def is_stable(calm: Trial, again: Trial) -> bool:
    """Whether steps return the same each time, so that values can be compared."""
    return calm.ends == again.ends and calm.records == again.records


def compare(calm: Trial, trial: Trial, *, values: bool) -> Iterator[Finding]:
    """Find all that is wrong with `trial`. With `values`, steps must also return the same as in `calm`."""
    return (replace(each, where=trial.where) for each in _compare(calm, trial, values=values))


def _compare(calm: Trial, trial: Trial, *, values: bool) -> Iterator[Finding]:
    yield from _compare_engine(calm, trial)
    yield from _compare_unwinding(trial)
    if trial.act is not None and trial.act.what == CANCEL:
        yield from _compare_cancelling(calm, trial)
        return
    replayed = list(_compare_replay(trial))
    yield from replayed
    if not replayed:
        yield from _compare_ends(calm, trial, values=values)
        yield from _compare_records(calm, trial, values=values)


def _compare_engine(calm: Trial, trial: Trial) -> Iterator[Finding]:
    """Check what Outlast promises for any code."""
    for fault in trial.faults:
        yield Finding("a loop of the engine failed", None, fault, "", ours=True)
    for key, number in trial.seen.commits.items():
        if number > 1:
            yield Finding(f"transaction {key[1]} was committed {number} times", None, "", "", ours=True)
    for number, begun in enumerate(trial.effects_at):
        recorded = trial.recorded_at[number]
        for effect in trial.seen.effects[begun:]:
            if (effect.workflow_id, effect.step_id) in recorded:
                yield Finding(
                    f"{effect.name} ({effect.step_id}) ran again, though it was recorded",
                    place_of(effect.definition.fn), "", "", ours=True,
                )  # fmt: skip
    bound = len(trial.kills) + (trial.acted is not None) + len(trial.mishaps)
    usual = calm.seen.runs()
    for call, number in trial.seen.runs().items():
        if call in usual and number > usual[call] + bound:
            yield Finding(
                f"{call[2]} ({call[1]}) ran {number} times, {usual[call]} without a crash",
                None, "", "", ours=True,
            )  # fmt: skip


def _compare_cancelling(calm: Trial, trial: Trial) -> Iterator[Finding]:
    """A cancelled workflow must end at once, or have ended."""
    if trial.deadlock is not None:
        yield Finding("it never ends", trial.place, trial.deadlock, "")
        return
    for workflow_id, end in trial.ends.items():
        if end[0] in LIVE:
            continue  # one that it had started and detached goes on
        if end[0] is not Status.CANCELLED and end[0] is not calm.ends.get(workflow_id, end)[0]:
            title = f"{workflow_id} was cancelled and ends as {describe_end(end)}"
            yield Finding(title, trial.place, "", "")


def _compare_unwinding(trial: Trial) -> Iterator[Finding]:
    for life in trial.seen.lives:
        for calls in life.calls.values():
            for call in calls:
                if call.refused:
                    title = f"{call.name} is called while the body is being unwound, and refused"
                    yield Finding(title, call.place, "", UNWOUND)
                    return


def _compare_replay(trial: Trial) -> Iterator[Finding]:
    """Find what a later life called instead of what is recorded."""
    for name, place in trial.other_arguments[:1]:
        if not any(each.calls for each in trial.seen.lives):
            yield Finding(f"after the crash the body calls {name} with other arguments", place, "", SAME)
    recorded = trial.recorded_at
    for number, life in enumerate(trial.seen.lives[1:]):
        known = recorded[number] if number < len(recorded) else set()
        for workflow_id, calls in life.calls.items():
            for call in calls:
                former = _find_call(trial, number, workflow_id, call.step_id)
                if former is None or call.refused or (workflow_id, call.step_id) not in known:
                    continue
                if (former.kind, former.name) != (call.kind, call.name):
                    other = f", where it had called {former.name}"
                elif former.arguments != call.arguments:
                    other = " with other arguments"
                else:
                    continue
                title = f"after the crash the body calls {call.name}{other}"
                yield Finding(title, call.place, _describe_both(former, call), SAME)
                return


def _find_call(trial: Trial, number: int, workflow_id: str, step_id: str) -> CallSeen | None:
    for life in reversed(trial.seen.lives[: number + 1]):
        for call in life.calls.get(workflow_id, ()):
            if call.step_id == step_id and not call.refused:
                return call
    return None


def _compare_ends(calm: Trial, trial: Trial, *, values: bool) -> Iterator[Finding]:
    if trial.deadlock is not None:
        yield Finding("it never ends", trial.place, trial.deadlock, "")
        return
    for workflow_id, end in calm.ends.items():
        found = trial.ends.get(workflow_id)
        if found is None:
            yield Finding(f"{workflow_id} was never started", trial.place, "", SAME)
        elif _comparable_end(end, values) != _comparable_end(found, values):
            yield Finding(
                f"{workflow_id} ends in another way: {describe_end(found)}, "
                f"without a crash {describe_end(end)}",
                _last_place(trial, workflow_id), _mutations(calm), SAME,
            )  # fmt: skip


def _compare_records(calm: Trial, trial: Trial, *, values: bool) -> Iterator[Finding]:
    for key, record in calm.records.items():
        found = trial.records.get(key)
        if found is None and _is_called_at_last(trial, *key):
            return  # the body gave it up, as a race may end otherwise; later differences may follow from that
        if found is None or (found.kind, found.name) != (record.kind, record.name):
            told = "nothing" if found is None else found.name
            yield Finding(
                f"{record.name} ({key[1]}) is recorded without a crash, and after this one {told}",
                calm.seen.place_of(*key), "", SAME,
            )  # fmt: skip
            return
        if (
            values
            and record.kind not in kinds.WAITS
            and (came_to := _comparable_value(found)) != (calmly := _comparable_value(record))
        ):
            yield Finding(
                f"{record.name} ({key[1]}) came to something else",
                calm.seen.place_of(*key), f"{came_to!s:.200}, without a crash {calmly!s:.200}",
                "Who runs twice must come to the same: give the outside world a key, such as "
                "context().workflow_id with context().step_id.",
            )  # fmt: skip
            return


def _is_called_at_last(trial: Trial, workflow_id: str, step_id: str) -> bool:
    """Whether the last life of the workflow called this step. Known if the trial was watched closely."""
    for life in reversed(trial.seen.lives):
        if calls := life.calls.get(workflow_id):
            return any(call.step_id == step_id and not call.refused for call in calls)
    return False


def _comparable_end(end: tuple[Status, str | None, str | None], values: bool) -> Any:
    status, output, error = end
    document = json.loads(error) if error else None
    if document is not None and "failure" in document:
        document = (document["failure"]["type"], document["failure"]["message"] if values else "")
    elif document is not None and not values:
        document = document.get("code")
    return status, output if values else None, document


def _last_place(trial: Trial, workflow_id: str) -> Place | None:
    """The last call that its body made before it ended."""
    for life in reversed(trial.seen.lives):
        if calls := life.calls.get(workflow_id):
            return calls[-1].place
    return trial.place


def _mutations(calm: Trial) -> str:
    return "; ".join(
        f"step {each.name} changes an argument of its own, which a replay doesn't do again"
        for each in calm.seen.mutated.values()
    )


def _comparable_value(record: RecordSeen) -> Any:
    if record.error is not None:
        document = json.loads(record.error)
        return document.get("type"), document.get("message")
    return None if record.output is None else json.loads(record.output)


def _first_calls(trial: Trial) -> dict[str, list[CallSeen]]:
    return {
        each: [call for call in calls if not call.refused]
        for each, calls in trial.seen.lives[0].calls.items()
    }


def _describe_both(one: CallSeen, other: CallSeen | None) -> str:
    if other is None:
        return f"once {one.name}{one.arguments[:200]}, then nothing of the kind"
    where = "" if other.place == one.place else f" at {shown_place(*one.place)}"
    return f"once {one.name}{one.arguments[:200]}{where}, then {other.name}{other.arguments[:200]}"


def place_of(fn: Any) -> Place:
    """Where a function is written."""
    return fn.__code__.co_filename, fn.__code__.co_firstlineno


def misused(calm: Trial) -> list[Finding]:
    """Uses of clocks, random numbers, files, the network and blocking sleeps in bodies."""
    return [
        Finding(f"the workflow's body {what}", place, "", SAME if "replay" in what else "")
        for place, what in calm.seen.reads.items()
    ]


def mutated(calm: Trial) -> list[Finding]:
    """Steps that pass values to the body by changing their arguments."""
    return [
        Finding(
            f"step {each.name} changes an argument of its own",
            place_of(each.definition.fn),
            "After a crash a recorded step isn't run again: the body then sees the argument unchanged.",
            "Return what the body is to have.",
        )
        for each in calm.seen.mutated.values()
    ]
