"""An import that is given up, and an alarm that comes when it has just ended."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from outlast.functions.patience import ImportTooLong, patience


@pytest.fixture(autouse=True)
def free_timer() -> Iterator[None]:
    """The one timer of the process, which pytest's own time limit may have."""
    former = signal.setitimer(signal.ITIMER_REAL, 0)
    handler = signal.getsignal(signal.SIGALRM)
    yield
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, *former)


def test_what_takes_too_long_is_given_up() -> None:
    with pytest.raises(ImportTooLong), patience(0.05):
        while True:
            pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_an_alarm_at_the_very_end_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = signal.getsignal(signal.SIGALRM)
    stop = signal.setitimer

    def stopped_late(which: int, seconds: float, again: float = 0.0) -> Any:
        if seconds == 0:
            signal.raise_signal(signal.SIGALRM)
        return stop(which, seconds, again)

    monkeypatch.setattr(signal, "setitimer", stopped_late)
    with patience(60):
        pass
    monkeypatch.undo()
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is handler
