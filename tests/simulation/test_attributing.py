"""What a body reads of its attributes is the same on each replay, and has what it has set itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from outlast.core import kinds
from outlast.engine.execution.calls import PendingCall
from outlast.engine.execution.execution import Execution
from outlast.engine.operations import plain, table
from tests.simulation.attributing import FAULTS, RUNS
from tests.simulation.runs import here

CHUNK = 20


@pytest.mark.parametrize(
    "first", [pytest.param(n * CHUNK, marks=pytest.mark.slow if n else ()) for n in range(5)]
)
def test_what_was_read_is_read_again(first: int) -> None:
    for seed in range(first, first + CHUNK):
        assert RUNS.play(seed) == [], seed


@pytest.mark.slow
def test_there_is_something_to_see() -> None:
    seen = RUNS.sights(range(15))
    assert set(FAULTS) <= seen.keys()
    assert seen["again"] > 3
    assert seen["outside"] > 10


def way(monkeypatch: pytest.MonkeyPatch, **changed: Any) -> None:
    """Let reads be done in another way."""
    known = table._WAYS[kinds.READ_ATTRIBUTES]
    monkeypatch.setitem(table._WAYS, kinds.READ_ATTRIBUTES, known._replace(**changed))


def test_a_read_that_replays_as_what_stands_now_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def now(call: PendingCall, record: Any) -> Any:
        found = plain.value(call, record)
        rows = [row for row in here[0].database.workflows.values() if row.attributes is not None]
        return json.loads(rows[0].attributes) if len(here[0].calls) == 1 and rows else found

    way(monkeypatch, value=now)
    assert RUNS.notices("and then", range(30))


def test_a_read_that_does_not_wait_for_what_was_set_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    known = table._WAYS[kinds.READ_ATTRIBUTES]

    def at_once(execution: Execution, call: PendingCall) -> None:
        call.handed = None
        known.begin(execution, call)

    way(monkeypatch, begin=at_once)
    assert RUNS.notices("has set", range(30))
