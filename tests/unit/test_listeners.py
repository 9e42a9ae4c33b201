"""Facts reach all listeners, whatever one of them does."""

from __future__ import annotations

import logging

import pytest

from outlast.core.observations import DatabaseFound, Observation
from outlast.observe.listeners import Listeners


def test_one_that_fails_is_told_of_once_and_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    first: list[Observation] = []
    last: list[Observation] = []

    def broken(_: Observation) -> None:
        raise ValueError("broken")

    observe = Listeners(first.append, broken)
    observe.add(last.append)
    facts = [DatabaseFound(float(number)) for number in range(3)]
    with caplog.at_level(logging.ERROR, "outlast"):
        for each in facts:
            observe(each)
    assert first == last == facts
    (record,) = caplog.records
    assert "DatabaseFound(away_s=0.0)" in record.getMessage()
    assert record.exc_info is not None
