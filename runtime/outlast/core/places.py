"""File and line of the user's code that called us."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import FrameType

_PACKAGE = str(Path(__file__).parents[1])
_ASYNCIO = str(Path(asyncio.__file__).parent)


_ours: dict[str, bool] = {}
"""Files that were asked for."""


def is_ours(frame: FrameType) -> bool:
    """Whether it runs code of this package or of asyncio."""
    file = frame.f_code.co_filename
    ours = _ours.get(file)
    if ours is None:
        ours = _ours[file] = file.startswith((_PACKAGE, _ASYNCIO))
    return ours


def place_of_caller() -> tuple[str, int]:
    """File and line of the innermost frame that is neither ours nor asyncio's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if not is_ours(frame):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return "<unknown>", 0
