"""Spans include the time for which the machine was suspended: a lease over meanwhile is not trusted."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core import clock
from outlast.engine import lease

WAKE = """
import time
from outlast.core.clock import monotonic
from outlast.engine.lease import Lease

lease = Lease(10.0)
lease.renewed(monotonic() - {ago_s})
print(lease.trusted, monotonic() - time.monotonic())
"""
SUSPENDED_S = 100_000
NAMESPACE = ["unshare", "--time", "--boottime", str(SUSPENDED_S), "--fork"]
AS_USER = ["unshare", "--user", "--map-root-user", *NAMESPACE[1:]]


def _in_a_machine_that_slept(program: str) -> str:
    """What `program` prints where the kernel counts a long suspend (time_namespaces(7))."""
    refusal = ""
    for namespace in (NAMESPACE, AS_USER):
        try:
            ran = subprocess.run(
                [*namespace, sys.executable, "-c", program], capture_output=True, text=True, timeout=60
            )
        except FileNotFoundError:
            pytest.skip("SKIPPED LOUDLY: there is no unshare(1), so that no suspend can be had")
        if ran.returncode == 0:
            return ran.stdout
        refusal = ran.stderr
        if "unshare" not in refusal:
            break
    if "unshare" in refusal:
        pytest.skip(f"SKIPPED LOUDLY: no time namespace here: {refusal.strip()}")
    raise AssertionError(refusal)


@pytest.mark.skipif(sys.platform != "linux", reason="SKIPPED LOUDLY: time namespaces are Linux's")
def test_a_suspend_counts() -> None:
    trusted, ahead_s = _in_a_machine_that_slept(WAKE.format(ago_s=0)).split()
    assert trusted == "True"
    assert float(ahead_s) == pytest.approx(SUSPENDED_S, abs=1000)


def test_a_lease_renewed_before_a_suspend_is_not_trusted_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `time.monotonic` reads stands still meanwhile, the clock that counts doesn't."""
    slept_s = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: 1.0)
    monkeypatch.setattr(time, "clock_gettime", lambda which: 1.0 + slept_s)
    now = clock._counting_suspends()
    monkeypatch.setattr(lease, "monotonic", now)
    trusted = lease.Lease(10.0)
    trusted.renewed(now())
    assert trusted.trusted
    slept_s = 60.0
    assert not trusted.trusted


def test_dates_go_on_over_a_suspend(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    dates = clock.Clock()
    dates.synchronize(5_000.0, 999.0, 1001.0)
    now += 3600.0
    assert dates.now_s() == 8_600.0


@given(st.floats(1.7e9, 4e9))
def test_whole_microseconds_are_never_earlier(at_s: float) -> None:
    whole = clock.whole_microseconds(at_s)
    assert at_s <= whole < at_s + 2e-6
    assert whole == round(whole, 6)
