"""Schedules that can't be declared: their file is broken for itself, as one that can't be imported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from outlast.core.errors import OutlastError
from outlast.core.schedules import NAME, NAME_RULE
from outlast.functions.folder import show_path
from outlast.functions.routes import FunctionFile, Routes
from outlast.functions.schedules import name_of
from outlast.sdk.definitions import WorkflowDefinition


class BadSchedule(Exception):
    """A schedule that can't be declared, and in which line; the text says what to do."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


def refuse_bad_schedules(files: Mapping[str, FunctionFile], root: Path) -> dict[str, FunctionFile]:
    """The files of a folder, of which those are broken whose schedules can't be declared."""
    checked: dict[str, FunctionFile] = {}
    names: dict[str, str] = {}
    for file in files.values():
        try:
            _check_file(file, names)
        except BadSchedule as error:
            where = f"{show_path(root, file.path)}:{error.line}"
            file = FunctionFile(file.name, file.path, file.version, f"{where}: {error}", {})
        checked[file.name] = file
    return checked


def _check_file(file: FunctionFile, names: dict[str, str]) -> None:
    """Raise BadSchedule for what can't be declared. `names` are those of schedules, and whose they are."""
    for function, workflow in Routes([file]).workflows.items():
        line = workflow.fn.__code__.co_firstlineno
        for schedule in workflow.schedules:
            name = schedule.name or name_of(function)
            if not NAME.fullmatch(name):
                raise BadSchedule(line, f"the schedule of {function} needs a name= of its own: {NAME_RULE}")
            if name in names:
                both = f"{names[name]} and {function} both have a schedule {name!r}"
                raise BadSchedule(line, f"{both}: give one of them another name=")
            names[name] = function
            if (why := _why_not_started(workflow, schedule.input)) is not None:
                raise BadSchedule(line, f"schedule {name!r} can't start {function}: {why}")


def _why_not_started(workflow: WorkflowDefinition, given: str) -> str | None:
    if workflow.inputs.request_parameters:
        return "it takes a Request, which only a call over HTTP has"
    try:
        if workflow.inputs.reads_json:
            workflow.inputs.take_json(given)
    except OutlastError as error:
        return (
            f"its input {given:.100} doesn't fit: {error}; write input={{…}} in the schedule, or give the "
            "parameters defaults"
        )
    return None
