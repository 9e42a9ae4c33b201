"""Histories of replay, made of records."""

from __future__ import annotations

from collections.abc import Iterable

from outlast.core.records import StepRecord
from outlast.core.replay import History


def history_of(records: Iterable[StepRecord]) -> History:
    """One whose body is about to begin."""
    history = History()
    for each in records:
        history.add(each)
    history.begin()
    return history
