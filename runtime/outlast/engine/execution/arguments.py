"""Compares the arguments of a replayed call with the recorded ones."""

from __future__ import annotations

from outlast.core.observations import ArgumentsChanged
from outlast.core.places import place_of_caller
from outlast.core.records import StepRecord
from outlast.core.stops import Diverged
from outlast.engine.execution.services import Services
from outlast.sdk.operations import Operation


def compare_arguments(
    services: Services, workflow_id: str, function: str, operation: Operation, record: StepRecord
) -> None:
    """Report or refuse a call whose arguments differ from the recorded ones. Raises Diverged."""
    setting = services.replay_arguments
    if record.arguments is None or setting == "off" or operation.fingerprint == record.arguments:
        return
    file, line = place_of_caller()
    place = f"{file}:{line}"
    # guard: other-arguments-replayed
    if setting == "hold":
        raise Diverged(
            f"step {record.step_id} {record.name!r} was recorded with other arguments than {place} now "
            "calls it with: a workflow's code must do the same on replay",
            step=record.step_id,
            recorded=(record.kind, record.name),
            called=(operation.kind, operation.name),
            place=place,
        )
    services.observe(ArgumentsChanged(workflow_id, function, record.step_id, record.name, place))
