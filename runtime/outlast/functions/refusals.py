"""What files declare that can't be, queues or schedules: such a file is broken for itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from outlast.core.errors import OutlastError
from outlast.core.queues import key_at
from outlast.core.schedules import NAME, NAME_RULE
from outlast.functions.folder import show_path
from outlast.functions.options import schedule_name
from outlast.functions.routes import FunctionFile, Routes
from outlast.sdk.definitions import WorkflowDefinition
from outlast.sdk.queues import Queue


class BadSchedule(Exception):
    """A schedule that can't be declared, and in which line; the text says what to do."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


def refuse_bad_schedules(files: Mapping[str, FunctionFile], root: Path) -> dict[str, FunctionFile]:
    """The files of a folder, of which those are broken whose schedules can't be declared."""
    checked: dict[str, FunctionFile] = {}
    names: dict[str, str] = {}
    newest = Routes(files.values()).declared
    for file in files.values():
        try:
            _check_file(file, newest, names)
        except BadSchedule as error:
            where = f"{show_path(root, file.path)}:{error.line}"
            file = FunctionFile(file.name, file.path, file.version, f"{where}: {error}", {})
        checked[file.name] = file
    return checked


def _check_file(file: FunctionFile, newest: Mapping[str, WorkflowDefinition], names: dict[str, str]) -> None:
    """Raise BadSchedule for what can't be declared. `names` are those of schedules, and whose they are.

    Of a function with versions the newest one's count.
    """
    for function, workflow in file.named_workflows():
        if newest.get(function) is not workflow:
            continue
        line = workflow.fn.__code__.co_firstlineno
        for schedule in workflow.schedules:
            name = schedule.name or schedule_name(workflow.keyed_as(function))
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
    queue = workflow.queue
    # guard: ticks-without-a-key = True
    if queue is None or queue.options.get("key") is None:
        return None
    if queue.key is not None:
        return (
            f"the key of queue {queue.name!r} is a function; for schedules it must be a path into the input"
        )
    if key_at(path := queue.options["key"], given) is None:
        return (
            f"queue {queue.name!r} needs a key, and its input has none at {path!r}: write it in input={{…}}"
        )
    return None


def refuse_conflicting_queues(files: Iterable[FunctionFile], root: Path) -> dict[str, FunctionFile]:
    """The files by name. One whose queue an earlier file defines otherwise is broken."""
    defined: dict[str, Queue] = {}
    checked: dict[str, FunctionFile] = {}
    for file in files:
        own = [each.queue for each in file.workflows() if each.queue is not None]
        conflicts = (text for queue in own if (text := _conflict(queue, defined, root)) is not None)
        mixed = (text for queue in own if (text := _why_mixed(queue, own, defined, root)) is not None)
        error = file.error or next(conflicts, None) or next(mixed, None)
        checked[file.name] = file if error == file.error else replace(file, error=error, served={})
        if error is None:
            defined.update((each.name, each) for each in own)
    return checked


def _conflict(queue: Queue, defined: Mapping[str, Queue], root: Path) -> str | None:
    other = defined.get(queue.name)
    if other is None or other is queue or _agree(queue, other):
        return None
    here, there = _place(queue, root), _place(other, root)
    remedy = "define it once, and import it from there"
    return f"{here}: UsageError: queue {queue.name!r} is defined otherwise at {there}; {remedy}"


def _why_mixed(queue: Queue, own: Sequence[Queue], defined: Mapping[str, Queue], root: Path) -> str | None:
    """Whether a queue has batches of several functions: one that is full of both would be full of neither."""
    # guard: batches-of-two-functions
    if queue.batches and (queue.name in defined or [each.name for each in own].count(queue.name) > 1):
        what = f"queue {queue.name!r} has batch=, and two functions"
        return f"{_place(queue, root)}: UsageError: {what}; give each a queue of its own"
    return None


def _agree(one: Queue, other: Queue) -> bool:
    return one.options == other.options and one.key is other.key


def _place(queue: Queue, root: Path) -> str:
    path, line = Path(queue.place[0]), queue.place[1]
    return f"{show_path(root, path) if path.is_relative_to(root) else path}:{line}"
