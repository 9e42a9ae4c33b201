"""Nothing is found where nothing is wrong."""

from __future__ import annotations

import pytest

from outlast.testing import Outlast
from tests.testing import sound


@pytest.fixture
def kit(outlast: Outlast) -> Outlast:
    """With a stand-in for the one transaction."""
    outlast.stub(sound.pay, by=lambda cents: cents)
    return outlast


@pytest.mark.parametrize("name", sound.ALL)
def test_they_survive_everything(kit: Outlast, name: str) -> None:
    report = kit.crash_everywhere(sound.ALL[name], raises=sound.RAISED.get(name))
    assert not report.findings
    assert not report.remarks
    assert report.crashes >= 4


@pytest.mark.parametrize("name", sound.ALL)
def test_they_are_deterministic_and_can_be_cancelled(kit: Outlast, name: str) -> None:
    _ = kit.deterministic(sound.ALL[name], n=5, raises=sound.RAISED.get(name))
    _ = kit.cancel_everywhere(sound.ALL[name], raises=sound.RAISED.get(name))


@pytest.mark.parametrize("name", sound.ALL)
def test_no_schedule_breaks_them(kit: Outlast, name: str) -> None:
    _ = kit.explore(sound.ALL[name], schedules=40, seed=1, raises=sound.RAISED.get(name))
