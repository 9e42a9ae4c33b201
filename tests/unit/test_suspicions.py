"""When an instance whose session is gone is taken for dead."""

from __future__ import annotations

import pytest

from outlast.core.background import RETRY
from outlast.core.claims import LostInstance
from outlast.engine.instances import suspicions
from outlast.engine.instances.suspicions import (
    LOOK_AGAIN_S,
    LOOKS,
    LOOKS_AFTER_RESTART,
    Suspicions,
)


class Time:
    """A clock in the test's hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(suspicions, "monotonic", time)
    return time


def gone(lease: float = 1.0, *, restarted: bool = False) -> LostInstance:
    return LostInstance("other", lease, expired=False, restarted=restarted)


def looks_until_dead(time: Time, lost: LostInstance) -> int:
    seen = Suspicions()
    for looks in range(1, 100):
        if seen.look([lost]):
            return looks
        time.now += LOOK_AGAIN_S
    raise AssertionError("never")


def test_a_lease_that_is_over_needs_no_second_look(time: Time) -> None:
    over = LostInstance("other", 1.0, expired=True)
    seen = Suspicions()
    assert seen.look([over]) == [over]
    assert not seen


def test_a_gone_session_must_stay_gone(time: Time) -> None:
    assert looks_until_dead(time, gone()) == LOOKS


def test_after_a_restart_for_longer_than_anybody_takes_to_come_back(time: Time) -> None:
    began = time.now
    assert looks_until_dead(time, gone(restarted=True)) == LOOKS_AFTER_RESTART
    assert time.now - began > RETRY.backoff_max_s + 0.5


def test_looks_in_close_succession_are_one(time: Time) -> None:
    seen = Suspicions()
    for _ in range(20):
        assert not seen.look([gone()])
        time.now += LOOK_AGAIN_S / 100


def test_who_came_back_in_between_begins_anew(time: Time) -> None:
    seen = Suspicions()
    for lost in ([gone()], [gone()], [], [gone()], [gone()], [gone(2.0)], [gone(2.0)]):
        assert not seen.look(lost)
        assert bool(seen) == bool(lost)
        time.now += LOOK_AGAIN_S
    assert seen.look([gone(2.0)])
