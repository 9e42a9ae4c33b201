"""The watchdog when telling fails, and when it comes too late to see who blocked the loop."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from outlast.core.observations import LoopFreed, Observation
from outlast.host import watchdog
from outlast.host.watchdog import Watchdog


async def test_a_failing_log_ends_no_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its signs of life a worker that is well would be killed."""
    monkeypatch.setattr(watchdog, "BLOCKED_S", 0.3)
    told = threading.Event()
    alive = threading.Event()

    def fails(_: Observation) -> None:
        told.set()
        raise RuntimeError("no log")

    Watchdog(Path("functions"), fails, alive.set).start(asyncio.get_running_loop())
    assert told.wait(10)  # this is what blocks the loop
    alive.clear()
    assert await asyncio.to_thread(alive.wait, 10)


def test_nobody_is_named_who_may_be_innocent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop goes on by the time that the watchdog gets the interpreter: what runs now is another."""
    seen: list[Observation] = []
    watching = Watchdog(Path(__file__).parent, seen.append)
    monkeypatch.setattr(watchdog, "_start_stopwatch", lambda: lambda: 2.0)
    threading.Timer(0.05, watching._sign.set).start()
    watching._until_sign()
    (freed,) = seen
    assert isinstance(freed, LoopFreed)
    assert (freed.blocked_s, freed.workflow_id) == (2.0, None)
    assert "test_watchdog" not in freed.where
