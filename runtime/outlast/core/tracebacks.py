"""Tracebacks for users: consecutive frames of Outlast are folded into one line."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from traceback import FrameSummary, StackSummary, TracebackException
from typing import Any

_OURS = f"{Path(__file__).parents[1]}/"
_LIBRARY = Path(threading.__file__).parent
_CARRIERS = tuple(
    f"{_LIBRARY}/{each}" for each in ("asyncio/", "concurrent/futures/", "threading.py", "contextlib.py")
)
"""Files of the standard library that only pass a call on.

They are folded if they are next to Outlast's frames.
"""


def format_traceback(error: BaseException) -> str:
    """The traceback of `error` and its causes.

    If all frames are Outlast's, they are shown, unless it is an error that Outlast raises on purpose.
    """
    try:
        told = TracebackException.from_exception(error)
        for each in _chain(told):
            each.stack = _fold(each.stack, ours_too=_is_told_by_us(each))
        return "".join(told.format())
    except Exception:  # noqa: BLE001 - a foreign class may refuse its notes, or what it was raised from
        return f"{type(error).__qualname__}: {text_of(error)}\n"


def described(error: BaseException) -> str:
    """Its class and its text."""
    return f"{type(error).__name__}: {text_of(error)}"


def text_of(error: BaseException, instead: str = "") -> str:
    """Its text; `instead` where it has none. A group's own tells nothing: its first member's follows it."""
    first = error
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    try:
        return str(error) if first is error else f"{error}: {described(first)}"
    # guard: texts-of-errors-believed
    except Exception:  # noqa: BLE001 - a foreign __str__ may raise anything
        return instead


def place_of(error: BaseException) -> str:
    """File and line of the innermost call that isn't Outlast's; empty if there is none."""
    stack = TracebackException.from_exception(error).stack
    places = [f"{each.filename}:{each.lineno}" for each in stack if _kind(each) == "user"]
    return places[-1] if places else ""


def _chain(told: TracebackException) -> Iterator[TracebackException]:
    """An error, its causes and contexts, and the members of groups, each once."""
    waiting: list[TracebackException | None] = [told]
    while waiting:
        each = waiting.pop()
        if each is not None:
            yield each
            waiting += [each.__cause__, each.__context__, *(getattr(each, "exceptions", None) or ())]


def _is_told_by_us(told: TracebackException) -> bool:
    """Whether Outlast raises this error on purpose: then its text is enough, and frames don't matter."""
    if (kind := getattr(told, "exc_type_str", None)) is None:  # before Python 3.13
        kind = getattr(told.exc_type, "__module__", "")
    return str(kind).startswith("outlast.core.errors")


def _fold(stack: StackSummary, *, ours_too: bool) -> StackSummary:
    kinds = [_kind(frame) for frame in stack]
    if "user" not in kinds and not ours_too:
        return stack
    frames: list[FrameSummary] = []
    for is_users, group in groupby(zip(kinds, stack, strict=True), lambda each: each[0] == "user"):
        run = list(group)
        if is_users or all(kind == "carrier" for kind, _ in run):
            frames += [frame for _, frame in run]
        else:
            frames.append(_Fold(len(run)))
    folded = _Folded()
    folded.extend(frames)
    return folded


def _kind(frame: FrameSummary) -> str:
    if frame.filename.startswith(_OURS):
        return "ours"
    return "carrier" if frame.filename.startswith(_CARRIERS) else "user"


class _Fold(FrameSummary):
    """A line in place of `count` frames."""

    def __init__(self, count: int) -> None:
        super().__init__("<outlast>", count, "", lookup_line=False, line="")
        self.count = count


class _Folded(StackSummary):
    """A stack with folds in it."""

    def format_frame_summary(self, frame_summary: FrameSummary, **kwargs: Any) -> str:
        """`traceback`'s hook for one frame."""
        if isinstance(frame_summary, _Fold):
            return f"  … {frame_summary.count} frame{'s'[: frame_summary.count > 1]} of Outlast …\n"
        return super().format_frame_summary(frame_summary, **kwargs)
