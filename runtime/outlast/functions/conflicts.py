"""Files that contradict each other: queues of one name that differ, or have batches of two functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from outlast.functions.folder import show_path
from outlast.functions.routes import FunctionFile
from outlast.sdk.queues import Queue


def refuse_conflicts(files: Iterable[FunctionFile], root: Path) -> dict[str, FunctionFile]:
    """The files by name. One whose queue an earlier file defines otherwise is broken."""
    defined: dict[str, Queue] = {}
    checked: dict[str, FunctionFile] = {}
    for file in files:
        own = [each.queue for each in file.workflows() if each.queue is not None]
        conflicts = (text for queue in own if (text := _conflict(queue, defined, root)) is not None)
        mixed = (text for queue in own if (text := _mixed(queue, own, defined, root)) is not None)
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


def _mixed(queue: Queue, own: Sequence[Queue], defined: Mapping[str, Queue], root: Path) -> str | None:
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
