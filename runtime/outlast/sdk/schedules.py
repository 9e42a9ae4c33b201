"""`schedules`: schedules that functions create while they run, and verbs for any schedule."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from outlast.core.errors import UsageError
from outlast.core.schedules import Schedule
from outlast.core.timetables import Cron, Every
from outlast.core.verbs import (
    BACKFILL_SCHEDULE,
    CREATE_SCHEDULE,
    DELETE_SCHEDULE,
    PAUSE_SCHEDULE,
    RESUME_SCHEDULE,
    TRIGGER_SCHEDULE,
    Verb,
)
from outlast.sdk.calls import Done, do_with_host
from outlast.sdk.definitions import WorkflowDefinition
from outlast.sdk.handles import WorkflowHandle
from outlast.sdk.running import line_here
from outlast.sdk.starting import definition_of
from outlast.sdk.workflows import Workflow

Row = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Backfilled:
    """The result of a backfill."""

    count: int
    """How many ticks. For a cron expression 10,000 means that many or more."""
    newest: tuple[datetime, ...]
    """The newest of them; ten at most."""


class Schedules:
    """Verbs of schedules for handlers, ASGI apps and steps: `await schedules.pause("digest")`.

    In `def` functions without `await`. In a workflow's body they raise UsageError: put them into a step. All
    raise UsageError for invalid arguments, ScheduleNotFound and DatabaseUnavailable.
    """

    def create(self, name: str, workflow: Workflow[..., Any], schedule: Schedule) -> Awaitable[None]:
        """Create a schedule for `workflow`: `schedules.create("digest-42", digest, cron("@daily", input=…))`.

        The same call again changes nothing. Another schedule or workflow replaces the former one of this
        name. A schedule that a function's file declares can't be changed.
        """
        definition = definition_of("schedules.create", workflow)
        if not isinstance(schedule, Schedule):
            raise UsageError(f"schedules.create takes cron(…), every(…) or at(…), not {schedule!r:.100}")
        if schedule.name not in (None, name):
            raise UsageError(f"schedules.create gets the name {name!r}: leave name= out of the schedule")
        given = json.loads(schedule.input)
        if definition.inputs.reads_json:
            definition.inputs.take_json(schedule.input)
        arguments = {"name": name, **_arguments(schedule), "input": given}
        return _do(CREATE_SCHEDULE, None, arguments, _nothing, definition)

    def delete(self, name: str) -> Awaitable[None]:
        """Delete a schedule that was created while running, or that no file declares any more."""
        return _do(DELETE_SCHEDULE, name, {}, _nothing)

    def pause(self, name: str, why: str | None = None) -> Awaitable[None]:
        """Pause it: it starts nothing until it is resumed."""
        return _do(PAUSE_SCHEDULE, name, {} if why is None else {"why": why}, _nothing)

    def resume(self, name: str) -> Awaitable[None]:
        """Resume it. Ticks of the past aren't run."""
        return _do(RESUME_SCHEDULE, name, {}, _nothing)

    def trigger(self, name: str, *, idempotency_key: str | None = None) -> Awaitable[WorkflowHandle[Any]]:
        """Start its workflow now, whatever else runs. The same key starts it once."""
        given = {} if idempotency_key is None else {"idempotency_key": idempotency_key}
        return _do(TRIGGER_SCHEDULE, name, given, lambda row: WorkflowHandle(row["workflow_id"]))

    def backfill(
        self, name: str, after: datetime, until: datetime, *, dry_run: bool = False
    ) -> Awaitable[Backfilled]:
        """Start its ticks after `after` and up to `until`, which is in the past; each is started once.

        With `dry_run` it only returns them.
        """
        for each in (after, until):
            if not isinstance(each, datetime) or each.utcoffset() is None:
                raise UsageError(f"schedules.backfill takes datetimes with a zone, not {each!r:.100}")
        given = {"after": after, "until": until, "dry_run": dry_run}
        return _do(BACKFILL_SCHEDULE, name, given, _backfilled)


schedules = Schedules()


def _nothing(_: Row) -> None:
    pass


def _backfilled(row: Row) -> Backfilled:
    newest = (datetime.fromisoformat(each).astimezone(UTC) for each in json.loads(row["newest"]))
    return Backfilled(row["count"], tuple(newest))


def _arguments(schedule: Schedule) -> dict[str, Any]:
    """A schedule as the arguments of the verb `create`."""
    when, policies = schedule.timetable, schedule.policies
    if isinstance(when, Cron):
        given: dict[str, Any] = {"cron": when.expression, "tz": when.zone}
    elif isinstance(when, Every):
        given = {"every": timedelta(seconds=when.seconds)}
    else:
        given = {"at": when.when}
    return {
        **given,
        "catchup": policies.catchup.value,
        "overlap": policies.overlap.value,
        "until": policies.until,
        "times": policies.times,
        "jitter": timedelta(seconds=policies.jitter_s),
        "pause_after": policies.pause_after,
    }


def _do(
    verb: Verb,
    name: str | None,
    arguments: Mapping[str, Any],
    read: Callable[[Row], T],
    workflow: WorkflowDefinition | None = None,
) -> Awaitable[T]:
    called = f"schedules.{verb.name}"
    if name is not None and not isinstance(name, str):
        raise UsageError(f"{called} takes the name of a schedule, not {name!r:.100}")
    if line_here(called) is not None:
        raise UsageError(f"{called} isn't recorded in a workflow's body: put it into a step")
    done = do_with_host(
        called,
        lambda host: host.manage_schedule(verb, name, arguments, workflow),
        read,
        "is called in a handler, an ASGI app or a step",
    )
    return done if isinstance(done, Awaitable) else Done(done)
