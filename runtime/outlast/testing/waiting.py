"""What workflows wait for, and whether it can come."""

from __future__ import annotations

import json
from typing import NamedTuple

from outlast.core import kinds
from outlast.core.events import taking_name
from outlast.core.places import shown_place
from outlast.core.status import LIVE
from outlast.sdk.operations import Receive, Result, TakeEvent
from outlast.testing.database import Database
from outlast.testing.processes import Process
from outlast.testing.seen import Seen

FAR_S = 50 * 366 * 24 * 3600.0


class Wait(NamedTuple):
    """What a workflow waits for: `kind` is `sleep`, `receive`, `timer`, `step`, `transaction` or `result`.

    `until_s` (Unix seconds) is None if there is no such time; `topic` is a receive's.
    """

    kind: str
    name: str
    step_id: str
    until_s: float | None = None
    topic: str | None = None
    workflow_id: str | None = None


def waits_of(process: Process | None, database: Database, workflow_id: str) -> list[Wait]:
    """All that a workflow waits for now."""
    execution = None if process is None else process.engine._executor.live.get(workflow_id)
    if execution is not None:
        found = []
        for call in execution.calls.values():
            operation = call.operation
            topic = operation.topic if isinstance(operation, Receive) else None
            other = operation.workflow_id if isinstance(operation, Result | TakeEvent) else None
            until_s = (
                call.wake_s if call.wake_s is not None and call.wake_s < database.now() + FAR_S else None
            )
            found.append(Wait(operation.kind, operation.name, call.step_id, until_s, topic, other))
        return found
    row = database.workflows.get(workflow_id)
    if row is None or row.status not in LIVE:
        return []
    waits = []
    for step_id, step in database.steps_of(workflow_id).items():
        if step.completion_order is None:
            until_s = float(json.loads(step.output or "0"))
            topic = (
                step.name.removeprefix("receive").removeprefix(" ") if step.kind == kinds.RECEIVE else None
            )
            waits.append(
                Wait(
                    step.kind,
                    step.name,
                    step_id,
                    until_s if until_s < database.now() + FAR_S else None,
                    topic,
                )
            )
    waits += [
        Wait(kinds.EVENT, taking_name(event, target), "", None, None, target)
        for target, event, waiter in sorted(database.event_waits)
        if waiter == workflow_id and row.owner is None
    ]
    return waits


def why_stuck(process: Process | None, database: Database, seen: Seen, *, certain: bool) -> str | None:
    """Why no workflow can go on; None if one can. `certain`: no timer is left."""
    live = [each for each, row in database.workflows.items() if row.status in LIVE]
    waits = {each: waits_of(process, database, each) for each in live}
    if not certain and not (live and all(_is_hopeless(each, waits, frozenset()) for each in live)):
        return None
    told = [_describe(seen, workflow_id, wait) for workflow_id in live for wait in waits[workflow_id]]
    return "nothing is left that could happen:\n" + "\n".join(
        f"  - {each}" for each in told or ["nothing runs"]
    )


def _is_hopeless(workflow_id: str, waits: dict[str, list[Wait]], seen: frozenset[str]) -> bool:
    """Whether it waits only for messages without a timeout, or for workflows that do."""
    if workflow_id in seen:
        return True
    found = waits.get(workflow_id)
    return bool(found) and all(
        (each.kind == kinds.RECEIVE and each.until_s is None)
        or (
            each.kind in (kinds.RESULT, kinds.EVENT)
            and each.workflow_id is not None
            and each.workflow_id in waits
            and _is_hopeless(each.workflow_id, waits, seen | {workflow_id})
        )
        for each in found or ()
    )


def _describe(seen: Seen, workflow_id: str, wait: Wait) -> str:
    place = seen.place_of(workflow_id, wait.step_id)
    where = "" if place is None else f" at {shown_place(*place)}"
    if wait.kind == kinds.RECEIVE:
        topic = f"topic {wait.topic!r}" if wait.topic else "no topic"
        named = f', topic="{wait.topic}"' if wait.topic else ""
        return (
            f"{workflow_id} waits{where} for a message with {topic}, and nobody sends one: "
            f"`outlast.send(run, …{named})`, or give `receive` a timeout"
        )
    if wait.kind == kinds.RESULT:
        return f"{workflow_id} waits{where} for the end of {wait.workflow_id}"
    if wait.kind == kinds.EVENT:
        return f"{workflow_id} waits{where} for an {wait.name}, which publishes none"
    if wait.kind in (kinds.STEP, kinds.TRANSACTION):
        return f"{workflow_id}: {wait.kind} {wait.name} runs{where}, and what it awaits can't come"
    return f"{workflow_id} waits{where}: {wait.kind} {wait.name}"
