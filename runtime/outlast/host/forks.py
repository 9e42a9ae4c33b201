"""Lets a function fork if its child ends by itself: a child that went on would use the host's connections."""

from __future__ import annotations

import logging
import os
import sys
from multiprocessing.util import register_after_fork
from pathlib import Path
from types import FrameType
from typing import Any

from outlast.host.exits import end_now

_PACKAGE = str(Path(__file__).parents[1])
_logger = logging.getLogger("outlast")


def end_forked_hosts() -> None:
    """From now on, end a forked child when its function returns, or awaits, into the host's code."""
    os.register_at_fork(after_in_child=_watch_child)
    # Children of multiprocessing never return to the host, and needn't run ten times slower.
    register_after_fork(_end_watch, _end_watch)


def _watch_child() -> None:
    """In the child: set a profile function, to see when control returns to the host's code.

    A child that calls `os._exit` never returns. The host itself isn't slowed.
    """
    hosts: set[FrameType] = set()
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.startswith(_PACKAGE):
            hosts.add(frame)
        frame = frame.f_back
    if not hosts:
        return

    def watch(frame: FrameType, event: str, _argument: Any) -> None:
        back = frame.f_back in hosts and event in ("call", "return")
        if frame in hosts or back:
            _logger.error("a function forked this process and let the child go on; the child is ended")
            end_now(70)

    sys.setprofile(watch)


def _end_watch(_: object) -> None:
    sys.setprofile(None)
