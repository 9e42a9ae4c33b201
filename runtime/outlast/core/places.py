"""File and line of the user's code that called Outlast."""

from __future__ import annotations

import asyncio
import sys
import sysconfig
from pathlib import Path
from types import FrameType
from typing import Any

_PACKAGE = str(Path(__file__).parents[1])
_ASYNCIO = str(Path(asyncio.__file__).parent)
_INSTALLED = (*(sysconfig.get_paths()[each] for each in ("purelib", "platlib", "stdlib")), "<frozen")
"""The folders of libraries."""


_ours: dict[str, bool] = {}
"""Answers of `is_ours` by file."""


def is_ours(frame: FrameType) -> bool:
    """Whether the frame runs code of this package or of asyncio."""
    file = frame.f_code.co_filename
    ours = _ours.get(file)
    if ours is None:
        ours = _ours[file] = file.startswith((_PACKAGE, _ASYNCIO))
    return ours


def place_of_caller(ours_at_least: int = 1) -> tuple[str, int]:
    """File and line of the innermost frame that is neither Outlast's nor asyncio's.

    `ours_at_least`: how many frames are known to be Outlast's, including the caller's.
    """
    frame: FrameType | None = sys._getframe(1 + ours_at_least)
    while frame is not None:
        ours = _ours.get(frame.f_code.co_filename)  # on a hot path: each call of a step asks for its place
        if not (is_ours(frame) if ours is None else ours):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return "<unknown>", 0


def place_of_thread(ident: int) -> str | None:
    """Where the user's code is in that thread, as `file:line`; None if it runs none."""
    frame = sys._current_frames().get(ident)
    while frame is not None and not _is_users(frame):
        frame = frame.f_back
    return None if frame is None else shown_place(frame.f_code.co_filename, frame.f_lineno)


def place_of_wait(coro: Any) -> str | None:
    """Where the user's code waits in `coro`, in its innermost frame, as `file:line`."""
    found = _waits_at(coro)
    return None if found is None else shown_place(*found)


def place_of_definition(fn: Any) -> str | None:
    """Where a function is defined, as `file:line`."""
    code = getattr(fn, "__code__", None)
    return None if code is None else shown_place(code.co_filename, code.co_firstlineno)


def shown_place(file: str, line: int) -> str:
    """`file:line`, relative to the working directory if the file is below it."""
    return f"{from_here(Path(file))}:{line}"


def from_here(path: Path) -> Path:
    """`path` relative to the working directory, if it is below it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def place_of_user(coro: Any) -> tuple[str, int]:
    """Like `place_of_caller`, but also past libraries that called Outlast for the user's code.

    If no frame of the user's code is among the callers, because a library's thread or task called, it is the
    place where `coro` waits.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_of_package(frame):
        frame = frame.f_back
    while frame is not None and not _is_of_package(frame):  # above it are the frames that run the loop
        if _is_users(frame):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return _waits_at(coro) or place_of_caller()


def _waits_at(coro: Any) -> tuple[str, int] | None:
    """File and line where the user's code waits in `coro`, in its innermost frame."""
    found = None
    # It may be closing. CPython 3.11 may crash when it is asked what a running coroutine awaits.
    while coro is not None and not _is_running(coro):
        frame = getattr(coro, "cr_frame", None) or getattr(coro, "gi_frame", None)
        if frame is not None and _is_users(frame):
            found = frame.f_code.co_filename, frame.f_lineno
        coro = getattr(coro, "cr_await", None) or getattr(coro, "gi_yieldfrom", None)
    return found


def _is_running(coro: Any) -> bool:
    return bool(getattr(coro, "cr_running", False) or getattr(coro, "gi_running", False))


def _is_of_package(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_PACKAGE)


def _is_users(frame: FrameType) -> bool:
    return not is_ours(frame) and not frame.f_code.co_filename.startswith(_INSTALLED)
