"""Runs bodies again from their records alone: they must call what is recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from outlast.core.errors import WorkflowTimeout
from outlast.core.maps import MAP, is_map
from outlast.core.records import NewWorkflow, StepRecord
from outlast.core.status import Status
from outlast.sdk.definitions import WorkflowDefinition
from outlast.testing.catalog import GivenCatalog
from outlast.testing.errors import Deadlock
from outlast.testing.points import Place
from outlast.testing.processes import Process
from outlast.testing.rows import Record, Workflow
from outlast.testing.seen import CallSeen
from outlast.testing.worlds import Setting, World

ITEMS_FIRST_S = 60.0


@dataclass(frozen=True)
class History:
    """Ended workflows as they are recorded. `calls`: what their bodies called, if known."""

    workflows: list[tuple[NewWorkflow, float, Status, str | None, str | None, dict[str, Any] | None]]
    """For each: the row, when it began (Unix seconds), status, output, error and `born`."""
    records: list[tuple[str, StepRecord]]
    calls: dict[str, list[CallSeen]]
    keys: dict[str, list[str]]
    """The order of the items, for maps that read their items bit by bit."""


@dataclass(frozen=True)
class Divergence:
    """Where a replay does something else."""

    text: str
    place: Place | None


def replay_history(
    history: History,
    definitions: dict[str, WorkflowDefinition],
    graves: list[Process],
    *,
    later_s: float = 0.0,
    seed: int = 0,
) -> Divergence | None:
    """Run all of it again `later_s` after it was recorded, with another seed; return the first difference."""
    catalog = GivenCatalog()
    for name, definition in definitions.items():
        catalog.add(name, definition)
    world = World(Setting(catalog, seed=seed), watch=False)
    world.setting.doubles.only_stubs = True
    world.time.now += later_s
    deepest = max((_depth(new.workflow_id) for new, *_ in history.workflows), default=0)
    for new, began_s, status, output, error, born in history.workflows:
        # Its deadline was kept, or not, by the clock of then.
        row = Workflow(
            new._replace(queue=None, deadline_s=None), None, 0, began_s, began_s, began_at=began_s, born=born
        )
        if is_map(new.workflow_id):  # it has no body
            row.status, row.output, row.error = status, output, error
        else:
            # Bodies read the results of maps, so items of maps go first.
            row.claimable_at = world.now_s() + ITEMS_FIRST_S * (deepest - _depth(new.workflow_id))
        world.database.workflows[new.workflow_id] = row
    for workflow_id, step in history.records:
        world.database.records[workflow_id, step.step_id] = Record(step, 0, world.now_s())
    world.database.maps.keys.update({map_id: list(keys) for map_id, keys in history.keys.items()})
    try:
        world.drive(world.over)
    except Deadlock as error:
        return Divergence(str(error), None)
    finally:
        graves += world.abandon()
    return _difference(world, history)


def _depth(workflow_id: str) -> int:
    """How many maps it is nested in."""
    return workflow_id.count(f"/{MAP}")


def _difference(world: World, history: History) -> Divergence | None:
    calls = world.seen.lives[0].calls
    for new, _, status, output, error, _ in history.workflows:
        found = _other_call(history.calls.get(new.workflow_id, []), calls.get(new.workflow_id, []))
        if found is not None:
            return found
        if _came_from_outside(status, error):
            continue
        row = world.database.workflows[new.workflow_id]
        if (row.status, row.output) != (status, output) or (row.error or "")[:60] != (error or "")[:60]:
            made = calls.get(new.workflow_id)
            text = (
                f"{new.workflow_id} ended as {status.value} {output or error}, and now as {row.status.value} "
            )
            return Divergence(text + str(row.output or row.error), made[-1].place if made else None)
    return None


def _came_from_outside(status: Status, error: str | None) -> bool:
    """Whether it ended by a cancel or by its time: a replay of its body can't come to that."""
    return status is Status.CANCELLED or (error is not None and WorkflowTimeout.code in error[:60])


def _other_call(once: list[CallSeen], now: list[CallSeen]) -> Divergence | None:
    later = {each.step_id: each for each in now if not each.refused}
    for call in once:
        if call.refused:
            continue
        other = later.get(call.step_id)
        if other is None:
            return Divergence(f"{call.name}{call.arguments[:200]} is called no more", call.place)
        if (other.kind, other.name, other.arguments) != (call.kind, call.name, call.arguments):
            differs, former = other.arguments[:200], call.arguments[:200]
            text = f"{other.name}{differs} is called, where once {call.name}{former} was"
            return Divergence(text, other.place)
    return None


def history_of(database: Any, calls: dict[str, list[CallSeen]]) -> History:
    """The history in a world's database."""
    return History(
        [
            (row.new, row.began_at or row.created_at, row.status, row.output, row.error, row.born)
            for row in database.workflows.values()
        ],
        [(key[0], record.step) for key, record in database.records.items()],
        calls,
        {map_id: list(keys) for map_id, keys in database.maps.keys.items()},
    )
