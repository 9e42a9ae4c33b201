"""Replays histories of production against today's code: rows as Postgres returns them as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from outlast.core.codec import Codec, encode_answer
from outlast.core.errors import UsageError
from outlast.core.holds import side_by_side
from outlast.core.kinds import MAP
from outlast.core.maps import MAP as IN_MAP
from outlast.core.records import NewWorkflow, StepRecord
from outlast.core.status import LIVE, Status
from outlast.core.versions import missing_version
from outlast.engine.execution.calls import PendingCall
from outlast.engine.execution.execution import Execution
from outlast.testing.catalog import GivenCatalog
from outlast.testing.errors import Deadlock, Unproved
from outlast.testing.operations import WatchedOperations
from outlast.testing.rows import Record, Workflow
from outlast.testing.worlds import Setting, World

Bundle = str | Path | Iterable[Mapping[str, Any]]
"""A file with a JSON document in each line, or those documents."""

TOLD_MAX = 20
"""At most this many findings of a bundle are reported."""

_PARTS = ("workflow_status", "operation_outputs")


@dataclass(frozen=True)
class Recorded:
    """One workflow as it is recorded: its rows, with JSON columns decoded."""

    row: Mapping[str, Any]
    records: list[Mapping[str, Any]]
    items: list[Mapping[str, Any]] | None = None
    """How the items of its maps have ended, in order; None if the history doesn't say."""

    @property
    def name(self) -> str:
        """Its id."""
        return str(self.row["workflow_id"])


class _RecordsAlone(WatchedOperations):
    """Begins nothing that isn't recorded: there the history is over."""

    def begin(self, execution: Execution, call: PendingCall) -> None:
        """See Operations."""
        self._seen.operations.setdefault((execution.workflow_id, call.step_id), call.operation)


def recorded(bundle: Bundle) -> list[Recorded]:
    """The histories of a bundle. Raises UsageError, and OSError if the file can't be read."""
    found = []
    for where, document in _documents(bundle):
        if not isinstance(document, Mapping) or any(part not in document for part in _PARTS):
            raise UsageError(
                f"{where} is no history: it is a JSON object with the row of workflow_status and the rows of "
                "operation_outputs; docs/testing.md has the query that gives them"
            )
        records = list(document["operation_outputs"] or ())
        found.append(Recorded(document["workflow_status"], records, document.get("map_items")))
    if not found:
        raise UsageError("outlast.replay: the bundle holds no history")
    return found


def check_all(histories: Sequence[Recorded], catalog: GivenCatalog) -> None:
    """Replay them. Raises Unproved with each one that would do something else than is recorded."""
    told = [f"  {name}: {what}" for name, what in divergences(histories, catalog) if what is not None]
    if told:
        more = [] if len(told) <= TOLD_MAX else [f"  and {len(told) - TOLD_MAX} more"]
        count = f"{len(told)} of {len(histories)} histories"
        raise Unproved("\n".join([f"{count} diverge:", *told[:TOLD_MAX], *more]))


BATCH = 100
"""This many histories share a world, because making one takes longer than replaying a history."""


def divergences(histories: Sequence[Recorded], catalog: GivenCatalog) -> list[tuple[str, str | None]]:
    """For each the id, and what today's code does differently; None if nothing."""
    found: dict[int, str | None] = {}
    for places in _batches(histories):
        batch = [histories[place] for place in places]
        alone = len({each.name for each in batch}) < len(batch)
        told = None if alone else _together(batch, catalog)
        found.update(
            zip(places, [divergence(each, catalog) for each in batch] if told is None else told, strict=True)
        )
    return [(each.name, found[place]) for place, each in enumerate(histories)]


def _batches(histories: Sequence[Recorded]) -> Iterator[list[int]]:
    """Yield the places of histories that share a world.

    An item of a map, as a history of its own, never shares one with its map, which adds the item as it ended.
    """
    by_depth: dict[int, list[int]] = {}
    for place, each in enumerate(histories):
        by_depth.setdefault(each.name.count(f"/{IN_MAP}"), []).append(place)
    for places in by_depth.values():
        yield from (places[first : first + BATCH] for first in range(0, len(places), BATCH))


def divergence(history: Recorded, catalog: GivenCatalog) -> str | None:
    """What today's code does differently from what is recorded; None if nothing."""
    world, stuck = _replay([history], catalog)
    later = [
        f"{name} is called with other arguments ({file}:{line})"
        for name, (file, line) in world.other_arguments
    ]
    return _verdict(history, world, catalog, stuck, later[0] if later else None)


def _together(histories: Sequence[Recorded], catalog: GivenCatalog) -> list[str | None] | None:
    """The same for several in one world; None if a difference can't be assigned to one of them."""
    world, stuck = _replay(histories, catalog)
    if world.other_arguments:
        return None
    return [_verdict(each, world, catalog, stuck, None) for each in histories]


def _replay(histories: Sequence[Recorded], catalog: GivenCatalog) -> tuple[World, bool]:
    """A world in which they were replayed, and whether it stopped before all had ended."""
    world = World(Setting(catalog), watch=False, operations=_RecordsAlone)
    for history in histories:
        if not _is_served(history, catalog):
            continue
        new, began_s = _new(history.row), _unix(history.row.get("started_at") or history.row["created_at"])
        world.database.workflows[new.workflow_id] = Workflow(
            new,
            None,
            0,
            began_s,
            began_s,
            claimable_at=world.now_s(),
            began_at=began_s,
            born=_born(history.row),
        )
        for record in history.records:
            step = _step(record)
            world.database.records[new.workflow_id, step.step_id] = Record(step, 0, began_s)
        for item in history.items or ():
            _give_item(item, world)
    stuck = False
    try:
        world.drive(world.over)
    except Deadlock:  # something waits for what isn't recorded
        stuck = True
    world.end()
    return world, stuck


def _born(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """Where its body's times and random numbers come from, if that isn't the row itself."""
    root = {} if row.get("root_id") is None else {"root": row["root_id"]}
    return {**(row.get("born") or {}), **root} or None


def _give_item(item: Mapping[str, Any], world: World) -> None:
    """Add an item of a map, as it has ended."""
    workflow_id, map_id = item["workflow_id"], item["map_id"]
    status, now = Status(item["status"]), world.now_s()
    world.database.workflows[workflow_id] = Workflow(
        NewWorkflow(workflow_id, "", None, parent=map_id),
        None,
        0,
        now,
        now,
        status=status if status not in LIVE else Status.CANCELLED,
        output=_text(item.get("output")),
        error=_text(item.get("error")),
        untold=False,
    )
    world.database.maps.keys.setdefault(map_id, []).append(workflow_id[len(map_id) + 1 :])


def _is_served(history: Recorded, catalog: GivenCatalog) -> bool:
    function = history.row["function"]
    if catalog.workflow(function) is None:
        catalog.serve_file(function.partition("/")[0])
    return catalog.of_version(function, history.row.get("version")) is not None


def _verdict(
    history: Recorded, world: World, catalog: GivenCatalog, stuck: bool, later: str | None
) -> str | None:
    function = history.row["function"]
    newest = catalog.workflow(function)
    if newest is None:
        return (
            f"no workflow {function} is there: import it, or start it once, before its histories are replayed"
        )
    if not _is_served(history, catalog):
        return missing_version(function, history.row.get("version"), newest.number)
    if history.items is None and any(record.get("kind") == MAP for record in history.records):
        return None  # the history lacks what its body read of a map, so it can't be followed further
    row = world.database.workflows[history.name]
    if row.error is not None and (held := json.loads(row.error).get("held")) is not None:
        return side_by_side({**held, "version": None})
    if later:
        return later
    if Status(history.row["status"]) in LIVE:
        return None
    waits = None
    if stuck and row.status in LIVE:
        unrecorded = [
            operation.name
            for (workflow_id, step_id), operation in world.seen.operations.items()
            if workflow_id == history.name and (workflow_id, step_id) not in world.database.records
        ]
        waits = f"goes on, where it had ended: it calls what is recorded nowhere ({', '.join(unrecorded)})"
    return _other_end(history.row, row, waits, newest.codec)


def _as_recorded_now(codec: Codec, output: Any) -> Any:
    """The output as it would be recorded now: a member added since has its default."""
    with suppress(Exception):  # a user's validator may raise anything; then it is another output
        return from_json(encode_answer(codec, codec.decode(to_json(output).decode()))[0])
    return output


def _other_end(once: Mapping[str, Any], now: Workflow, stuck: str | None, codec: Codec) -> str | None:
    """How the end differs. What came from outside, such as a cancellation, can't be replayed."""
    if once["status"] == Status.SUCCESS:
        if stuck:
            return stuck
        output = None if now.output is None else json.loads(now.output)
        if now.status is Status.SUCCESS and output in (
            once["output"],
            _as_recorded_now(codec, once["output"]),
        ):
            return None
        ended = now.output if now.error is None else _kind(json.loads(now.error))
        return f"ended as SUCCESS {to_json(once['output']).decode()}, and now as {now.status.value} {ended}"
    if once["status"] != Status.ERROR or (once["error"] or {}).get("code") != "workflow_error":
        return None
    error = None if now.error is None else json.loads(now.error)
    if error is not None and _kind(error) == _kind(once["error"]):
        return None
    ended = now.output or _kind(error or {})
    return stuck or f"ended as {_kind(once['error'])}, and now as {now.status.value} {ended}"


def _kind(error: Mapping[str, Any]) -> str:
    failure = error.get("failure") or {}
    return f"{failure.get('type', error.get('code'))}: {failure.get('message', error.get('message', ''))}"


def _documents(bundle: Bundle) -> Iterator[tuple[str, Any]]:
    if not isinstance(bundle, str | Path):
        yield from ((f"document {number}", each) for number, each in enumerate(bundle, 1))
        return
    for number, line in enumerate(Path(bundle).read_text("utf-8").split("\n"), 1):
        if line.strip():
            try:
                yield f"{bundle}:{number}", json.loads(line)
            except ValueError:
                yield f"{bundle}:{number}", None


def _new(row: Mapping[str, Any]) -> NewWorkflow:
    """The deadline is left out, because it depended on the clock of that time."""
    return NewWorkflow(
        workflow_id=row["workflow_id"],
        function=row["function"],
        input=_text(row.get("input")),
        request=_text(row.get("request")),
        idempotency_key=row.get("idempotency_key"),
        subject=row.get("subject"),
        claims=_text(row.get("claims")),
        version=row.get("version"),
        parent=row.get("parent"),
        tick=_text(row.get("tick")),
    )


def _step(row: Mapping[str, Any]) -> StepRecord:
    failed = row.get("error") is not None
    return StepRecord(
        row["step_id"],
        row["name"],
        None if failed else to_json(row.get("output")).decode(),
        _text(row.get("error")),
        row["attempts"],
        row["completion_order"],
        row.get("kind") or "",
        None if row.get("at") is None else _unix(row["at"]),
        row.get("arguments"),
    )


def _text(value: Any) -> str | None:
    return None if value is None else to_json(value).decode()


def _unix(date: str) -> float:
    return datetime.fromisoformat(date).timestamp()
